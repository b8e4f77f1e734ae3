package webhook

import (
	"testing"

	"golang.org/x/crypto/sha3"
)

// TestKeccak: the hash is the one that everybody else computes, at every length around the size of a block.
func TestKeccak(t *testing.T) {
	data := make([]byte, 3*keccakRate+2)
	for i := range data {
		data[i] = byte(i * 7)
	}
	for n := range data {
		h := sha3.NewLegacyKeccak256()
		h.Write(data[:n])
		if got := keccak256(data[:n]); got != [32]byte(h.Sum(nil)) {
			t.Fatalf("%d bytes: %x", n, got)
		}
	}
}
