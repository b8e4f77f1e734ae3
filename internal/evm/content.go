package evm

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// content is what a node says of a block, held against the hash of that block: the header hashes to it, and the header
// has the roots of the transactions and the receipts. Each of the three may be proven, refuted, or impossible to tell.
type content struct {
	ref    chain.Ref
	full   fullHeader
	header []byte // what hashes to the block's hash
	// Of the transactions that the roots cover, in the order of the block.
	txs      []contentTx
	receipts []fullReceipt
	rawTxs   [][]byte // nil when one of them is not known
	// Why a part is not proven: nil when it is. An [ErrInconsistent] in it is a contradiction.
	headerErr, txsErr, receiptsErr, withdrawalsErr error
	rawReceipts                                    [][]byte
	withdrawals                                    []*types.Withdrawal
	pseudo                                         map[common.Hash]bool // entries of the block that no root covers
	others                                         []fullReceipt        // of entries that the root does not cover
}

// contentTx is a transaction as far as a proof speaks of it.
type contentTx struct {
	fullTx
	raw []byte
	err error // why there is no raw
	// undecoded says that the raw bytes were asked for and are of a form that nobody here reads: what the block says of
	// recipient and value was held against nothing.
	undecoded bool
}

// bound reports whether recipient and value are what the hash of the transaction covers. That of the first transaction
// of an Arbitrum block covers neither.
func (t *contentTx) bound() bool {
	return !t.undecoded && (len(t.raw) == 0 || t.raw[0] != typeArbitrum)
}

// contentOf reads a block with its transactions.
func contentOf(text json.RawMessage) (*content, error) {
	var body struct {
		Hash         *common.Hash      `json:"hash"`
		Number       *quantity         `json:"number"`
		Transactions []json.RawMessage `json:"transactions"`
	}
	if err := json.Unmarshal(text, &body); err != nil || body.Hash == nil || body.Number == nil {
		return nil, fmt.Errorf("%w: a block without hash or number", ErrInconsistent)
	}
	c := &content{
		ref:    chain.Ref{Number: uint64(*body.Number), Hash: chain.Hash(*body.Hash)},
		pseudo: make(map[common.Hash]bool),
	}
	if err := json.Unmarshal(text, &c.full); err != nil {
		c.full, c.headerErr = fullHeader{}, fmt.Errorf("%w: the header: %w", errNoEncoding, err)
	} else {
		c.header, c.headerErr = c.full.encode()
	}
	for i, raw := range body.Transactions {
		var tx contentTx
		if err := json.Unmarshal(raw, &tx.fullTx); err != nil {
			var only struct {
				Hash *common.Hash `json:"hash"`
			}
			if json.Unmarshal(raw, &only) != nil {
				only.Hash = nil
			}
			tx.fullTx, tx.err = fullTx{Hash: only.Hash}, fmt.Errorf("%w: %w", errNoEncoding, err)
		}
		if tx.Hash == nil {
			return nil, fmt.Errorf("%w: transaction %d of block %d has no hash", ErrInconsistent, i, c.ref.Number)
		}
		if tx.err == nil && tx.pseudo() {
			c.pseudo[*tx.Hash] = true
			continue
		}
		if tx.err == nil {
			tx.raw, tx.err = tx.encode()
		}
		c.txs = append(c.txs, tx)
	}
	c.withdrawalsErr = c.checkWithdrawals(text)
	return c, nil
}

// unknown are the transactions whose bytes have to be asked for.
func (c *content) unknown() (hashes []common.Hash) {
	for _, tx := range c.txs {
		if tx.raw == nil {
			hashes = append(hashes, *tx.Hash)
		}
	}
	return hashes
}

// know adds the bytes of transactions that were asked for. Those that do not hash to a transaction are not taken.
func (c *content) know(raws [][]byte) {
	found := make(map[common.Hash][]byte, len(raws))
	for _, raw := range raws {
		if len(raw) > 0 {
			found[crypto.Keccak256Hash(raw)] = raw
		}
	}
	for i := range c.txs {
		if raw := found[*c.txs[i].Hash]; raw != nil && c.txs[i].raw == nil {
			c.txs[i].raw, c.txs[i].err = raw, c.txs[i].holdsTo(raw)
		}
	}
}

// holdsTo checks what a block says of a transaction against the bytes of it, where those are of a known form.
func (t *contentTx) holdsTo(raw []byte) error {
	var tx types.Transaction
	if t.undecoded = tx.UnmarshalBinary(raw) != nil; t.undecoded {
		return nil
	}
	value, to := t.Value.big(), t.To.Address
	if value == nil {
		value = new(big.Int)
	}
	if value.Cmp(tx.Value()) != 0 || (to == nil) != (tx.To() == nil) || to != nil && *to != *tx.To() {
		return fmt.Errorf("%w: what the block says of transaction %s is not in its bytes", ErrInconsistent, t.Hash.Hex())
	}
	return nil
}

// checkTxs holds the transactions against the root in the header.
func (c *content) checkTxs() {
	if c.txsErr = c.headerErr; c.txsErr != nil {
		return
	}
	raws := make([][]byte, len(c.txs))
	for i, tx := range c.txs {
		if tx.err != nil {
			c.txsErr = tx.err
			return
		}
		raws[i] = tx.raw
	}
	if root := rootOf(raws); root != *c.full.Transactions {
		c.txsErr = fmt.Errorf("%w: the %d transactions of block %d have the root %s, and its header has %s",
			ErrInconsistent, len(raws), c.ref.Number, root, c.full.Transactions)
		return
	}
	c.rawTxs = raws
}

// checkReceipts holds the receipts of a block against the root in the header. One of an entry that is no transaction is
// left out, and every transaction must have one.
func (c *content) checkReceipts(receipts []fullReceipt) {
	if c.receiptsErr = c.headerErr; c.receiptsErr != nil {
		return
	}
	byTx := make(map[common.Hash]int, len(receipts))
	for i, r := range receipts {
		if r.TxHash == nil || r.BlockHash != nil && chain.Hash(*r.BlockHash) != c.ref.Hash {
			c.receiptsErr = fmt.Errorf("%w: a receipt without a transaction, or of another block", ErrInconsistent)
			return
		}
		byTx[*r.TxHash] = i
	}
	c.receipts = make([]fullReceipt, len(c.txs))
	defer func() { c.others = leftOver(receipts, byTx) }()
	for i, tx := range c.txs {
		at, ok := byTx[*tx.Hash]
		if !ok {
			c.receiptsErr = fmt.Errorf("%w: no receipt of transaction %s", ErrInconsistent, tx.Hash.Hex())
			return
		}
		c.receipts[i] = receipts[at]
		delete(byTx, *tx.Hash)
	}
	for _, change := range receiptForms {
		raws := make([][]byte, len(c.receipts))
		for i, r := range c.receipts {
			change(&r)
			if raws[i], c.receiptsErr = r.encode(); c.receiptsErr != nil {
				return
			}
		}
		root := rootOf(raws)
		if root == *c.full.Receipts {
			c.rawReceipts, c.receiptsErr = raws, nil
			return
		}
		c.receiptsErr = fmt.Errorf("%w: the %d receipts of block %d have the root %s, and its header has %s",
			ErrInconsistent, len(raws), c.ref.Number, root, c.full.Receipts)
	}
}

// leftOver are the receipts that no transaction of the block has taken.
func leftOver(receipts []fullReceipt, byTx map[common.Hash]int) (left []fullReceipt) {
	for _, i := range byTx {
		left = append(left, receipts[i])
	}
	return left
}

// receiptForms are the forms in which receipts are tried: as they are given, and without what some upgrades of the OP
// stack and of Celo do not hash yet.
var receiptForms = []func(*fullReceipt){
	func(*fullReceipt) {},
	func(r *fullReceipt) { r.DepositVersion, r.BaseFee = nil, nil },
}

// wireWithdrawal is a withdrawal, whose numbers are read as leniently as where it is credited.
type wireWithdrawal struct {
	Index     *quantity       `json:"index"`
	Validator *quantity       `json:"validatorIndex"`
	Address   optionalAddress `json:"address"`
	Amount    *quantity       `json:"amount"` // gwei
}

// checkWithdrawals holds the withdrawals in the body of a block against the root in the header.
func (c *content) checkWithdrawals(text json.RawMessage) error {
	if c.headerErr != nil {
		return c.headerErr
	}
	var body struct {
		Withdrawals []*wireWithdrawal `json:"withdrawals"`
	}
	switch err := json.Unmarshal(text, &body); {
	case err != nil && c.full.Withdrawals != nil:
		return fmt.Errorf("%w: withdrawals: %w", ErrInconsistent, err)
	case err != nil:
		return fmt.Errorf("%w: withdrawals: %w", errNoEncoding, err)
	case c.full.Withdrawals == nil && len(body.Withdrawals) == 0:
		return nil
	case c.full.Withdrawals == nil:
		return fmt.Errorf("%w: block %d has withdrawals, and its header no root of them", ErrInconsistent, c.ref.Number)
	}
	for _, w := range body.Withdrawals {
		if w == nil || w.Index == nil || w.Validator == nil || w.Address.Address == nil || w.Amount == nil {
			return fmt.Errorf("%w: a withdrawal is null, or lacks a field", ErrInconsistent)
		}
		c.withdrawals = append(c.withdrawals, &types.Withdrawal{Index: uint64(*w.Index), Validator: uint64(*w.Validator),
			Address: *w.Address.Address, Amount: uint64(*w.Amount)})
	}
	root := types.DeriveSha(types.Withdrawals(c.withdrawals), trie.NewStackTrie(nil))
	switch {
	case root != *c.full.Withdrawals && len(body.Withdrawals) == 0: // the OP stack keeps another root in this place
		return fmt.Errorf("%w: the withdrawals", errNoEncoding)
	case root != *c.full.Withdrawals:
		return fmt.Errorf("%w: the withdrawals of block %d have the root %s, and its header has %s",
			ErrInconsistent, c.ref.Number, root, c.full.Withdrawals)
	}
	return nil
}

// proven reports whether everything that was asked for is proven, and why not.
func (c *content) proven() error { return errors.Join(c.headerErr, c.txsErr, c.receiptsErr) }

// refuted reports whether an error says that what a node told contradicts the hash of the block.
func refuted(err error) bool { return errors.Is(err, ErrInconsistent) }
