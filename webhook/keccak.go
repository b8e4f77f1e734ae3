package webhook

import (
	"encoding/binary"
	"math/bits"
)

// keccakRate is how many bytes one round of Keccak-256 takes in.
const keccakRate = 136

// keccak256 is the hash of Ethereum: Keccak with the padding that it had before it became SHA-3, which the standard
// library does not have.
func keccak256(data []byte) (sum [32]byte) {
	var state [25]uint64
	absorb := func(block []byte) {
		for i := range keccakRate / 8 {
			state[i] ^= binary.LittleEndian.Uint64(block[8*i:])
		}
		keccakF(&state)
	}
	for len(data) >= keccakRate {
		absorb(data[:keccakRate])
		data = data[keccakRate:]
	}
	var last [keccakRate]byte
	copy(last[:], data)
	last[len(data)] ^= 0x01
	last[keccakRate-1] ^= 0x80
	absorb(last[:])
	for i := range 4 {
		binary.LittleEndian.PutUint64(sum[8*i:], state[i])
	}
	return sum
}

// Where each lane goes in a round, and by how much it is rotated, along the path that the permutation takes.
var (
	keccakLane   = [24]int{10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1}
	keccakRotate = [24]int{1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44}
	keccakRound  = keccakConstants()
)

// keccakConstants are the constants of the 24 rounds, from the shift register of the specification.
func keccakConstants() (constants [24]uint64) {
	register := uint(1)
	for round := range constants {
		for j := range 7 {
			if register&1 == 1 {
				constants[round] |= 1 << (1<<j - 1)
			}
			register <<= 1
			if register&0x100 != 0 {
				register ^= 0x171
			}
		}
	}
	return constants
}

// keccakF is the permutation of 1600 bits.
func keccakF(a *[25]uint64) {
	var column [5]uint64
	for _, constant := range keccakRound {
		for x := range 5 {
			column[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := range 5 {
			d := column[(x+4)%5] ^ bits.RotateLeft64(column[(x+1)%5], 1)
			for y := 0; y < 25; y += 5 {
				a[x+y] ^= d
			}
		}
		carried := a[1]
		for i, lane := range keccakLane {
			a[lane], carried = bits.RotateLeft64(carried, keccakRotate[i]), a[lane]
		}
		for y := 0; y < 25; y += 5 {
			copy(column[:], a[y:y+5])
			for x := range 5 {
				a[y+x] = column[x] ^ ^column[(x+1)%5]&column[(x+2)%5]
			}
		}
		a[0] ^= constant
	}
}
