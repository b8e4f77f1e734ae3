package webhook

import (
	"bytes"
	"errors"
)

// errEncoding: bytes that are not what they should be.
var errEncoding = errors.New("the bytes are not encoded as they should be")

// item is one value in Ethereum's encoding (RLP): a string of bytes, or a list of items.
type item struct {
	list    bool
	content []byte // of a list, the encoded items
	whole   []byte // with the prefix
}

// nextItem reads the first item of b and returns what follows it.
func nextItem(b []byte) (it item, rest []byte, err error) {
	if len(b) == 0 {
		return it, nil, errEncoding
	}
	prefix, length, at := b[0], 0, 1
	switch {
	case prefix < 0x80:
		return item{content: b[:1], whole: b[:1]}, b[1:], nil
	case prefix <= 0xb7:
		length = int(prefix - 0x80)
	case prefix < 0xc0:
		at, length = longItem(b, int(prefix-0xb7))
	case prefix <= 0xf7:
		it.list, length = true, int(prefix-0xc0)
	default:
		it.list = true
		at, length = longItem(b, int(prefix-0xf7))
	}
	if length < 0 || length > len(b)-at {
		return it, nil, errEncoding
	}
	it.content, it.whole = b[at:at+length], b[:at+length]
	return it, b[at+length:], nil
}

// longItem reads a length of size bytes, -1 when there is none.
func longItem(b []byte, size int) (at, length int) {
	if size > 4 || len(b) < 1+size {
		return 1, -1
	}
	for _, digit := range b[1 : 1+size] {
		length = length<<8 | int(digit)
	}
	return 1 + size, length
}

// items are the items of a list that is all of b.
func items(b []byte) ([]item, error) {
	list, rest, err := nextItem(b)
	if err != nil || !list.list || len(rest) > 0 {
		return nil, errEncoding
	}
	var all []item
	for b = list.content; len(b) > 0; {
		var it item
		if it, b, err = nextItem(b); err != nil {
			return nil, err
		}
		all = append(all, it)
	}
	return all, nil
}

// indexKey is the key of a transaction in the trees of its block, in digits of four bits.
func indexKey(index uint64) []byte {
	var number []byte
	for n := index; n > 0; n >>= 8 {
		number = append([]byte{byte(n)}, number...)
	}
	key := number
	if len(number) != 1 || number[0] >= 0x80 {
		key = append([]byte{0x80 + byte(len(number))}, number...)
	}
	digits := make([]byte, 0, 2*len(key))
	for _, b := range key {
		digits = append(digits, b>>4, b&15)
	}
	return digits
}

// proven is the value that a tree holds under an index, by the nodes on the way to it from the root.
func proven(root []byte, nodes [][]byte, index uint64) ([]byte, error) {
	key := indexKey(index)
	want := item{content: root}
	for {
		node := want.whole
		if !want.list {
			if len(want.content) != 32 || len(nodes) == 0 {
				return nil, errors.New("the nodes do not lead to the index")
			}
			if sum := keccak256(nodes[0]); !bytes.Equal(sum[:], want.content) {
				return nil, errors.New("a node does not have the hash that the one above it gives")
			}
			node, nodes = nodes[0], nodes[1:]
		}
		parts, err := items(node)
		if err != nil {
			return nil, err
		}
		switch {
		case len(parts) == 17 && len(key) == 0:
			return lastOf(parts[16], nodes)
		case len(parts) == 17:
			want, key = parts[key[0]], key[1:]
		case len(parts) == 2 && !parts[0].list:
			path, leaf, ok := pathDigits(parts[0].content)
			if !ok || !bytes.HasPrefix(key, path) {
				return nil, errors.New("the nodes lead to another index")
			}
			want, key = parts[1], key[len(path):]
			if leaf && len(key) == 0 {
				return lastOf(want, nodes)
			} else if leaf || len(path) == 0 {
				return nil, errors.New("the nodes end before the index")
			}
		default:
			return nil, errEncoding
		}
	}
}

func lastOf(value item, left [][]byte) ([]byte, error) {
	if value.list || len(value.content) == 0 || len(left) > 0 {
		return nil, errors.New("the nodes do not end with a value")
	}
	return value.content, nil
}

// pathDigits reads the digits that a node skips.
func pathDigits(compact []byte) (digits []byte, leaf, ok bool) {
	if len(compact) == 0 || compact[0] > 0x3f {
		return nil, false, false
	}
	if compact[0]&0x10 != 0 {
		digits = append(digits, compact[0]&15)
	}
	for _, b := range compact[1:] {
		digits = append(digits, b>>4, b&15)
	}
	return digits, compact[0]&0x20 != 0, true
}
