package chain

import (
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Hash is a block or transaction hash.
type Hash [32]byte

// Address is an account's or a contract's address.
type Address [20]byte

// ParseHash reads 0x and 64 hexadecimal digits of either case.
func ParseHash(s string) (h Hash, err error) { return h, parse(h[:], s) }

// ParseAddress reads 0x and 40 hexadecimal digits of either case; it does not judge an EIP-55 checksum.
func ParseAddress(s string) (a Address, err error) { return a, parse(a[:], s) }

// Hex is 0x and 64 lower-case digits.
func (h Hash) Hex() string { return "0x" + hex.EncodeToString(h[:]) }

// Hex is 0x and 40 lower-case digits.
func (a Address) Hex() string { return "0x" + hex.EncodeToString(a[:]) }

func (h Hash) String() string    { return h.Hex() }
func (a Address) String() string { return a.Hex() }

// MarshalText writes [Hash.Hex].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.Hex()), nil }

// UnmarshalText reads what [ParseHash] reads.
func (h *Hash) UnmarshalText(b []byte) error { return parse(h[:], string(b)) }

// MarshalText writes [Address.Hex].
func (a Address) MarshalText() ([]byte, error) { return []byte(a.Hex()), nil }

// UnmarshalText reads what [ParseAddress] reads.
func (a *Address) UnmarshalText(b []byte) error { return parse(a[:], string(b)) }

func parse(into []byte, s string) error {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) != 2*len(into) {
		return fmt.Errorf("chain: want 0x and %d hexadecimal digits", 2*len(into))
	}
	if _, err := hex.Decode(into, []byte(digits)); err != nil {
		return fmt.Errorf("chain: want 0x and %d hexadecimal digits", 2*len(into))
	}
	return nil
}

// Ref names one block.
type Ref struct {
	Number uint64
	Hash   Hash
}

// Header is what connects a block to its parent.
type Header struct {
	Number uint64
	Hash   Hash
	Parent Hash
	Time   time.Time // UTC, whole seconds
}

// Ref names the header's block.
func (h Header) Ref() Ref { return Ref{h.Number, h.Hash} }

// Source says where a transfer was read.
type Source string

// Sources of transfers. The chain's own coin has one of them a block: the logs that the chain itself writes about coin,
// else traces, else the transactions, beside which balances find the rest.
const (
	FromTransaction Source = "chain" // the recipient of a transaction, or a log of a token
	FromLog         Source = "log"   // a log of the chain about its own coin
	FromTrace       Source = "trace"
	FromWithdrawal  Source = "withdrawal" // of the consensus layer, in the block's body
	FromBalance     Source = "balance"    // what an address holds beyond the transfers that were found
)

// Block is a block as far as money is concerned.
type Block struct {
	Header
	Txs  []Tx
	Logs []Log // of listed tokens
	// CoinsFrom is [FromLog] or [FromTrace] when Coins holds every movement of the chain's own coin in the block; Txs then
	// adds nothing. It is empty when only Txs tells of coin.
	CoinsFrom   Source
	Coins       []Coin
	Withdrawals []Withdrawal
	Provider    string // who gave the block; "" when nobody says
}

// Coin is a movement of the chain's own coin, by a transaction or by a contract that it calls.
type Coin struct {
	TxHash   Hash
	From, To Address
	Value    *big.Int
	LogIndex int // -1 when it was not read from a log
}

// Withdrawal is coin that the consensus layer pays out at the end of a block.
type Withdrawal struct {
	Index uint64 // counts the withdrawals of the chain
	To    Address
	Value *big.Int // in the smallest unit
}

// Tx is a transaction that carries the chain's own coin. To is nil when it creates a contract.
type Tx struct {
	Hash  Hash
	From  Address
	To    *Address
	Value *big.Int
}

// Log is a decoded ERC-20 Transfer event of a listed token.
type Log struct {
	TxHash   Hash
	LogIndex int // -1 when the node gives none
	Contract Address
	From, To Address
	Value    *big.Int
	// Doubtful is set when something about the log does not fit the block, such as a transaction that the block does not
	// list. The receipt of its transaction tells whether it counts.
	Doubtful bool
}
