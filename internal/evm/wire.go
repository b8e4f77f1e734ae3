package evm

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// maxTime is the last timestamp that RFC 3339 can write.
const maxTime = 253402300799

// Nodes write values in more ways than the specification allows. The types of this file read what has one clear
// meaning.

// quantity is a number: with or without leading zeros, "0x" for zero, or a JSON number.
type quantity uint64

func (q *quantity) UnmarshalJSON(b []byte) error {
	v, err := parseQuantity(b)
	if err != nil {
		return err
	}
	if !v.IsUint64() {
		return errors.New("a number of more than 64 bits")
	}
	*q = quantity(v.Uint64())
	return nil
}

// bigQuantity is a [quantity] of up to 256 bits.
type bigQuantity big.Int

func (q *bigQuantity) UnmarshalJSON(b []byte) error {
	v, err := parseQuantity(b)
	if err == nil {
		*q = bigQuantity(*v)
	}
	return err
}

func (q *bigQuantity) big() *big.Int { return (*big.Int)(q) }

func parseQuantity(b []byte) (*big.Int, error) {
	base, digits, allowed := 10, string(b), "0123456789"
	if bytes.HasPrefix(b, []byte(`"`)) {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return nil, err
		}
		if len(text) < 2 || text[0] != '0' || text[1]|0x20 != 'x' {
			return nil, errors.New("a quantity without 0x")
		}
		base, digits, allowed = 16, "0"+text[2:], "0123456789abcdefABCDEF"
	}
	v, ok := new(big.Int).SetString(digits, base)
	if !ok || strings.Trim(digits, allowed) != "" {
		return nil, errors.New("not a quantity")
	}
	if v.BitLen() > 256 {
		return nil, errors.New("a number of more than 256 bits")
	}
	return v, nil
}

// optionalAddress is nil for null, "" and "0x", which nodes write where a transaction creates a contract.
type optionalAddress struct{ *common.Address }

func (a *optionalAddress) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null", `""`, `"0x"`:
		a.Address = nil
		return nil
	}
	return json.Unmarshal(b, &a.Address)
}

// bloom is a block's filter of logs. It is nil when the node gives none, or one that is not 256 bytes long.
type bloom struct{ *types.Bloom }

func (f *bloom) UnmarshalJSON(b []byte) error {
	f.Bloom = nil
	raw, err := hex.DecodeString(strings.TrimPrefix(strings.Trim(string(b), `"`), "0x"))
	if err == nil && len(raw) == types.BloomByteLength {
		filter := types.BytesToBloom(raw)
		f.Bloom = &filter
	}
	return nil
}

// loose is a field that may be missing or unreadable; it is nil then. One such field in one log must not make the whole
// answer unreadable.
type loose[T any] struct{ v *T }

func (l *loose[T]) UnmarshalJSON(b []byte) error {
	l.v = nil
	var v T
	if string(b) != "null" && json.Unmarshal(b, &v) == nil {
		l.v = &v
	}
	return nil
}

// wireHeader holds what we read of a header.
type wireHeader struct {
	Number    *quantity    `json:"number"`
	Hash      *common.Hash `json:"hash"`
	Parent    *common.Hash `json:"parentHash"`
	Timestamp *quantity    `json:"timestamp"`
	Bloom     bloom        `json:"logsBloom"`
}

func (w *wireHeader) header() (chain.Header, error) {
	if w == nil {
		return chain.Header{}, ErrMissing
	}
	if w.Number == nil || w.Hash == nil || w.Parent == nil || w.Timestamp == nil || *w.Timestamp > maxTime {
		return chain.Header{}, fmt.Errorf("%w: a block without number, hash, parentHash or a sane timestamp", ErrInconsistent)
	}
	return chain.Header{
		Number: uint64(*w.Number), Hash: chain.Hash(*w.Hash), Parent: chain.Hash(*w.Parent),
		Time: time.Unix(int64(*w.Timestamp), 0).UTC(),
	}, nil
}

// wireTx is a transaction of any type that a chain may have.
type wireTx struct {
	Hash  *common.Hash    `json:"hash"`
	From  optionalAddress `json:"from"`
	To    optionalAddress `json:"to"`
	Value *bigQuantity    `json:"value"`
}

// wireBlock is a header with the transactions.
type wireBlock struct {
	wireHeader
	Transactions     []wireTx     `json:"transactions"`
	TransactionsRoot *common.Hash `json:"transactionsRoot"`
	GasUsed          *quantity    `json:"gasUsed"`
	Withdrawals      []struct {
		Index   *quantity       `json:"index"`
		Address optionalAddress `json:"address"`
		Amount  *bigQuantity    `json:"amount"` // gwei
	} `json:"withdrawals"`
}

// empty reports whether the header says that the block holds no transaction.
func (w *wireBlock) empty() bool {
	return w.TransactionsRoot != nil && *w.TransactionsRoot == types.EmptyTxsHash || w.GasUsed != nil && *w.GasUsed == 0
}

// wireLog is what we read of a log.
type wireLog struct {
	Address   loose[common.Address] `json:"address"`
	Topics    loose[[]common.Hash]  `json:"topics"`
	Data      loose[hexutil.Bytes]  `json:"data"`
	BlockHash loose[common.Hash]    `json:"blockHash"`
	TxHash    loose[common.Hash]    `json:"transactionHash"`
	Index     loose[quantity]       `json:"logIndex"`
	Removed   loose[bool]           `json:"removed"`
}

// removed reports whether the node says that the log is no longer on the chain.
func (l wireLog) removed() bool { return l.Removed.v != nil && *l.Removed.v }

// isTransfer reports whether a log is an event with the name of an ERC-20 transfer, of whatever shape.
func (l wireLog) isTransfer() bool {
	return l.Address.v != nil && l.Topics.v != nil && len(*l.Topics.v) > 0 && (*l.Topics.v)[0] == transferTopic
}

// wireReceipt is what we read of a receipt.
type wireReceipt struct {
	TxHash    *common.Hash `json:"transactionHash"`
	BlockHash *common.Hash `json:"blockHash"`
	Status    *quantity    `json:"status"`
	Logs      []wireLog    `json:"logs"`
}

// belongs checks that a receipt is that of a transaction in a block.
func (r *wireReceipt) belongs(tx common.Hash, block chain.Hash) error {
	switch {
	case r == nil || r.TxHash == nil || r.BlockHash == nil:
		return fmt.Errorf("%w: no receipt of transaction %s, or one that names no block", ErrMissing, tx.Hex())
	case *r.TxHash != tx:
		return fmt.Errorf("%w: asked for the receipt of %s, got that of %s", ErrInconsistent, tx.Hex(), r.TxHash.Hex())
	case chain.Hash(*r.BlockHash) != block:
		return fmt.Errorf("%w: transaction %s is in block %s, not in %s",
			ErrInconsistent, tx.Hex(), r.BlockHash.Hex(), block.Hex())
	}
	return nil
}

// succeeded reads the status.
func (r *wireReceipt) succeeded() (bool, error) {
	if r.Status == nil || *r.Status > 1 {
		return false, fmt.Errorf("%w: the receipt of %s has no status", ErrInconsistent, r.TxHash.Hex())
	}
	return *r.Status == 1, nil
}
