package evm

import (
	"bytes"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
)

// rawList is a list of encoded transactions or receipts. The list types of go-ethereum write nothing but the type byte
// of what they do not know.
type rawList [][]byte

func (l rawList) Len() int                           { return len(l) }
func (l rawList) EncodeIndex(i int, w *bytes.Buffer) { w.Write(l[i]) }

// rootOf is the root of the tree that holds each of the values under its index.
func rootOf(values [][]byte) common.Hash {
	return types.DeriveSha(rawList(values), trie.NewStackTrie(nil))
}

// path collects the nodes of a proof, from the root on.
type path [][]byte

func (p *path) Put(_, node []byte) error { *p = append(*p, bytes.Clone(node)); return nil }
func (p *path) Delete([]byte) error      { return nil }

// pathTo are the nodes of the tree of values from its root to one of them, by which the root proves that value.
func pathTo(values [][]byte, index int) (path, error) {
	t := trie.NewEmpty(nil)
	for i, v := range values {
		if err := t.Update(rlp.AppendUint64(nil, uint64(i)), v); err != nil {
			return nil, err
		}
	}
	var p path
	return p, t.Prove(rlp.AppendUint64(nil, uint64(index)), &p)
}
