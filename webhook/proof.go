package webhook

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// PaymentProof is the answer of GET /api/v1/payments/{id}/proof: what proves the transfers of a payment.
type PaymentProof struct {
	PaymentID string `json:"payment_id"`
	Chain     string `json:"chain"`
	ChainID   uint64 `json:"chain_id"`
	Asset     Asset  `json:"asset"`
	Address   string `json:"address"` // EIP-55
	// Transfers are the last [MaxTransfers] of the payment that are on the chain; TransfersTotal counts all.
	Transfers      []TransferProof `json:"transfers"`
	TransfersTotal int             `json:"transfers_total"`
}

// TransferProof is a transfer with its proof, or the reason why it has none.
type TransferProof struct {
	Transfer
	Proof  *BlockProof `json:"proof"`  // null when there is none
	Reason *string     `json:"reason"` // null when there is a proof
}

// BlockProof proves that a block holds a transaction and its receipt. Bytes are written as 0x and hexadecimal digits.
type BlockProof struct {
	Header string `json:"header"` // its hash is the block's hash
	Index  uint64 `json:"index"`  // of the transaction in the block, as far as its roots count it
	// Transaction and Receipt are the nodes on the way from the roots in the header to the two.
	Transaction []string `json:"transaction"`
	Receipt     []string `json:"receipt"`
	// Log is the place of the transfer among the logs of the receipt; null when the transaction itself carries the coin.
	Log *int `json:"log"`
}

// ProvenTransfer is a transfer that a proof holds.
type ProvenTransfer struct {
	TxHash      string
	BlockNumber uint64
	BlockHash   string
	BlockTime   time.Time
	Amount      *big.Int // base units
}

// Proven is what [VerifyProof] found.
type Proven struct {
	Transfers []ProvenTransfer
	Amount    *big.Int // of all of them
	// Unproven are the transfers that have no proof, each with its reason.
	Unproven []TransferProof
}

// ErrProof is in every error of [VerifyProof].
var ErrProof = errors.New("webhook: the proof does not hold")

// VerifyProof checks, without a network, that the blocks that a proof names hold transfers to a payment: the header
// hashes to the block's hash, the transaction and its receipt to the roots in the header, the transaction succeeded and
// has the hash that is given, and the log in the receipt, or the transaction itself, pays the amount in the payment's
// asset to the payment's address. No transfer counts twice.
//
// The payment is the one that you know, from your own record or a verified event: id, chain, address and asset of the
// proof must be its. What remains to be trusted is that the chain has the blocks: compare BlockHash with a node or an
// explorer of your choice. A transfer without a proof is in Unproven and not in Amount; nothing is said of it.
func VerifyProof(payment Payment, proof PaymentProof) (Proven, error) {
	found := Proven{Amount: new(big.Int)}
	same := strings.EqualFold
	if proof.PaymentID != payment.ID || proof.ChainID != payment.ChainID || !same(proof.Address, payment.Address) ||
		!same(contractOf(proof.Asset), contractOf(payment.Asset)) {
		return found, fmt.Errorf("%w: it is about another payment, address or asset", ErrProof)
	}
	seen := make(map[string]bool)
	for i, t := range proof.Transfers {
		if t.Proof == nil {
			found.Unproven = append(found.Unproven, t)
			continue
		}
		at, key, err := t.check(payment)
		if err == nil && seen[key] {
			err = errors.New("it is listed twice")
		}
		if err != nil {
			return Proven{Amount: new(big.Int)}, fmt.Errorf("%w: transfer %d: %w", ErrProof, i, err)
		}
		seen[key] = true
		found.Transfers = append(found.Transfers, at)
		found.Amount.Add(found.Amount, at.Amount)
	}
	return found, nil
}

func contractOf(a Asset) string {
	if a.Contract == nil {
		return ""
	}
	return *a.Contract
}

// check verifies one transfer. The key tells it from every other one.
func (t TransferProof) check(payment Payment) (at ProvenTransfer, key string, err error) {
	amount, ok := new(big.Int).SetString(t.Amount, 10)
	if !ok || amount.Sign() <= 0 || t.TxHash == nil {
		return at, "", errors.New("it has no amount or no transaction")
	}
	address, err := unhex(payment.Address, 20)
	if err != nil {
		return at, "", err
	}
	b, err := t.Proof.open()
	if err != nil {
		return at, "", err
	}
	at = ProvenTransfer{TxHash: *t.TxHash, BlockNumber: b.number, BlockHash: t.BlockHash,
		BlockTime: time.Unix(int64(b.time), 0).UTC(), Amount: amount}
	if hash, err := unhex(t.BlockHash, 32); err != nil || !bytes.Equal(hash, b.hash[:]) || b.number != t.BlockNumber {
		return at, "", errors.New("the header is that of another block")
	}
	sum := keccak256(b.transaction)
	if hash, err := unhex(*t.TxHash, 32); err != nil || !bytes.Equal(hash, sum[:]) {
		return at, "", errors.New("the transaction is another one")
	}
	logs, err := receiptLogs(b.receipt)
	if err != nil {
		return at, "", err
	}
	if t.Proof.Log == nil {
		if payment.Asset.Contract != nil {
			return at, "", errors.New("a token moves by a log, and none is named")
		}
		return at, fmt.Sprintf("%x", sum), paysCoin(b.transaction, address, amount)
	}
	n := *t.Proof.Log
	if n < 0 || n >= len(logs) {
		return at, "", errors.New("the receipt has no such log")
	}
	return at, fmt.Sprintf("%x %d", sum, n), logs[n].pays(payment, address, amount)
}

// openedProof is what the bytes of a proof hold.
type openedProof struct {
	hash                 [32]byte
	number, time         uint64
	transaction, receipt []byte
}

// Where fields lie in a header: of Ethereum's list, and of the shorter one of Celo as a chain of its own.
type headerLayout struct{ transactions, receipts, number, time int }

var (
	longHeader  = headerLayout{4, 5, 8, 11}
	shortHeader = headerLayout{3, 4, 6, 8}
)

const shortHeaderFields = 10

// open follows the proof from the header to the transaction and the receipt.
func (p *BlockProof) open() (o openedProof, err error) {
	header, err := unhex(p.Header, -1)
	if err != nil {
		return o, err
	}
	fields, err := items(header)
	if err != nil || len(fields) < shortHeaderFields || len(fields) > shortHeaderFields && len(fields) < 15 {
		return o, errors.New("the header is none")
	}
	at := longHeader
	if len(fields) == shortHeaderFields {
		at = shortHeader
	}
	o.hash = keccak256(header)
	if o.number, err = fields[at.number].uint64(); err != nil {
		return o, err
	}
	if o.time, err = fields[at.time].uint64(); err != nil {
		return o, err
	}
	if o.transaction, err = follow(fields[at.transactions], p.Transaction, p.Index); err != nil {
		return o, fmt.Errorf("the transaction: %w", err)
	}
	if o.receipt, err = follow(fields[at.receipts], p.Receipt, p.Index); err != nil {
		return o, fmt.Errorf("the receipt: %w", err)
	}
	return o, nil
}

func follow(root item, texts []string, index uint64) ([]byte, error) {
	nodes := make([][]byte, len(texts))
	for i, text := range texts {
		var err error
		if nodes[i], err = unhex(text, -1); err != nil {
			return nil, err
		}
	}
	if root.list || len(root.content) != 32 {
		return nil, errEncoding
	}
	return proven(root.content, nodes, index)
}

// unhex reads 0x and hexadecimal digits; size -1 means any number of bytes.
func unhex(text string, size int) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, "0x")
	b, err := hex.DecodeString(digits)
	if !ok || err != nil || size >= 0 && len(b) != size {
		return nil, errors.New("a value that is not 0x and hexadecimal digits")
	}
	return b, nil
}

func (it item) uint64() (n uint64, err error) {
	if it.list || len(it.content) > 8 {
		return 0, errEncoding
	}
	for _, b := range it.content {
		n = n<<8 | uint64(b)
	}
	return n, nil
}
