package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"
)

// ErrReverted marks a transaction that was mined and failed: its fee is paid, nothing else happened.
var ErrReverted = errors.New("transaction reverted")

// Mined is where a transaction stands in the canonical branch.
type Mined struct {
	TxHash   string
	Block    Head
	Reverted bool

	contract common.Address // what a creation created
}

// SendNative sends wei from an account to an address and returns the transaction's hash once the pool has it; it does not wait
// for a block. Concurrent calls, for one key or many, get consecutive nonces.
func (c *Chain) SendNative(ctx context.Context, from Key, to string, wei *big.Int) (txHash string, err error) {
	receiver, err := parsePayment(to, wei)
	if err != nil {
		return "", fmt.Errorf("send native: %w", err)
	}
	// More than a plain transfer needs, so that a contract may receive too.
	hash, err := c.send(ctx, from, &types.DynamicFeeTx{To: &receiver, Value: wei, Gas: 100_000})
	if err != nil {
		return "", fmt.Errorf("send native to %s: %w", to, err)
	}
	return hash.Hex(), nil
}

// SendToken is SendNative for base units of the demo token. Sending more than the account has is mined as a revert.
func (c *Chain) SendToken(ctx context.Context, from Key, to string, units *big.Int) (txHash string, err error) {
	receiver, err := parsePayment(to, units)
	if err != nil {
		return "", fmt.Errorf("send token: %w", err)
	}
	data, err := c.tokenCode.transfer(receiver, units)
	if err != nil {
		return "", fmt.Errorf("send token to %s: %w", to, err)
	}
	hash, err := c.send(ctx, from, &types.DynamicFeeTx{To: &c.token, Gas: 150_000, Data: data})
	if err != nil {
		return "", fmt.Errorf("send token to %s: %w", to, err)
	}
	return hash.Hex(), nil
}

// send is pool for callers that do not hold the gate.
func (c *Chain) send(ctx context.Context, from Key, tx *types.DynamicFeeTx) (common.Hash, error) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return c.pool(ctx, from, tx)
}

// pool completes tx with chain id, fees and nonce, signs it and puts it into the pool. The gate is held.
func (c *Chain) pool(ctx context.Context, from Key, tx *types.DynamicFeeTx) (common.Hash, error) {
	if err := ctx.Err(); err != nil {
		return common.Hash{}, err
	}
	if from.IsZero() {
		return common.Hash{}, errors.New("no key")
	}
	c.sending.Lock()
	defer c.sending.Unlock()

	// WaitMined may have told the caller of a block before the pool has heard of it.
	if err := c.syncPool(); err != nil {
		return common.Hash{}, err
	}
	tx.ChainID = big.NewInt(ChainID)
	tx.GasTipCap = big.NewInt(params.GWei)
	tx.GasFeeCap = big.NewInt(100 * params.GWei)
	tx.Nonce = c.nextNonce(from.address)
	signed, err := types.SignNewTx(from.private, types.LatestSignerForChainID(tx.ChainID), tx)
	if err != nil {
		return common.Hash{}, fmt.Errorf("sign: %w", err)
	}
	// Synchronously, so that the next nextNonce counts it.
	if err := c.eth.TxPool().Add([]*types.Transaction{signed}, true)[0]; err != nil {
		return common.Hash{}, fmt.Errorf("pool: %w", err)
	}
	return signed.Hash(), nil
}

// nextNonce is the pool's next nonce for an account. A transaction that arrives while the pool takes in a new block may stay
// queued behind its predecessors until the next one, and the pool's own count leaves it out.
func (c *Chain) nextNonce(account common.Address) uint64 {
	pool := c.eth.TxPool()
	next := pool.PoolNonce(account)
	_, queued := pool.ContentFrom(account) // by rising nonce
	for _, tx := range queued {
		if tx.Nonce() == next {
			next++
		}
	}
	return next
}

// WaitMined waits until the canonical branch holds the transaction. It does not mine: Run does, or the caller. A transaction that
// failed comes back with ErrReverted and its place.
func (c *Chain) WaitMined(ctx context.Context, txHash string) (Mined, error) {
	heads := make(chan core.ChainHeadEvent, 16)
	subscription := c.eth.BlockChain().SubscribeChainHeadEvent(heads)
	defer subscription.Unsubscribe()
	for {
		mined, err := c.receipt(common.HexToHash(txHash))
		if err != nil {
			return Mined{}, fmt.Errorf("wait for %s: %w", txHash, err)
		}
		if mined != nil {
			if mined.Reverted {
				return *mined, fmt.Errorf("%s: %w", txHash, ErrReverted)
			}
			return *mined, nil
		}
		select {
		case <-ctx.Done():
			return Mined{}, fmt.Errorf("wait for %s: %w", txHash, ctx.Err())
		case err := <-subscription.Err():
			return Mined{}, fmt.Errorf("wait for %s: chain closed: %w", txHash, errors.Join(err, net.ErrClosed))
		case <-heads:
		}
	}
}

// receipt is nil, without an error, while the canonical branch does not hold the transaction.
func (c *Chain) receipt(hash common.Hash) (*Mined, error) {
	chain := c.eth.BlockChain()
	lookup, _ := chain.GetCanonicalTransaction(hash)
	if lookup == nil {
		return nil, nil
	}
	block := chain.GetBlock(lookup.BlockHash, lookup.BlockIndex)
	receipts := chain.GetReceiptsByHash(lookup.BlockHash)
	if block == nil || uint64(len(receipts)) <= lookup.Index {
		return nil, fmt.Errorf("receipt of %s is missing", hash)
	}
	r := receipts[lookup.Index]
	return &Mined{
		TxHash:   hash.Hex(),
		Block:    headOf(block),
		Reverted: r.Status != types.ReceiptStatusSuccessful,
		contract: r.ContractAddress,
	}, nil
}

// NativeBalance is an account's balance at the head, in wei.
func (c *Chain) NativeBalance(address string) (*big.Int, error) {
	account, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	state, err := c.eth.BlockChain().State()
	if err != nil {
		return nil, fmt.Errorf("balance of %s: %w", address, err)
	}
	return state.GetBalance(account).ToBig(), nil
}

// parsePayment checks what geth's encoders do not: they take an amount modulo 2^256.
func parsePayment(to string, amount *big.Int) (common.Address, error) {
	if amount == nil || amount.Sign() < 0 || amount.BitLen() > 256 {
		return common.Address{}, fmt.Errorf("amount %v: want 0 to 2^256-1", amount)
	}
	return parseAddress(to)
}

func parseAddress(s string) (common.Address, error) {
	if !common.IsHexAddress(s) {
		return common.Address{}, fmt.Errorf("address %q: want 0x and 40 hexadecimal digits", s)
	}
	return common.HexToAddress(s), nil
}
