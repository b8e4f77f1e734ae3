package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"

	"github.com/ethereum/go-ethereum/common"
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

// SendNative sends wei from an account to an address and returns the transaction's hash once the pool has it; it does
// not wait for a block. Concurrent calls, for one key or many, get consecutive nonces.
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

// send is signAndPool for callers that do not hold c.mu.
func (c *Chain) send(ctx context.Context, from Key, tx *types.DynamicFeeTx) (common.Hash, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.signAndPool(ctx, from, tx)
}

// signAndPool completes tx with chain id, fees and nonce, signs it and puts it into the pool. c.mu is held for reading.
func (c *Chain) signAndPool(ctx context.Context, from Key, tx *types.DynamicFeeTx) (common.Hash, error) {
	if err := ctx.Err(); err != nil {
		return common.Hash{}, err
	}
	if from.IsZero() {
		return common.Hash{}, errors.New("no key")
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	statedb, err := c.blockchain.State()
	if err != nil {
		return common.Hash{}, fmt.Errorf("state: %w", err)
	}
	tx.ChainID = big.NewInt(ChainID)
	tx.GasTipCap = big.NewInt(params.GWei)
	tx.GasFeeCap = big.NewInt(100 * params.GWei)
	tx.Nonce = c.pool.nonce(from.address, statedb)
	signed, err := types.SignNewTx(from.private, c.pool.signer, tx)
	if err != nil {
		return common.Hash{}, fmt.Errorf("sign: %w", err)
	}
	if err := c.pool.add(signed, c.blockchain.CurrentBlock(), statedb); err != nil {
		return common.Hash{}, fmt.Errorf("pool: %w", err)
	}
	return signed.Hash(), nil
}

// WaitMined waits until the canonical branch holds the transaction. It does not mine: Run does, or the caller. A
// transaction that failed comes back with ErrReverted and its place.
func (c *Chain) WaitMined(ctx context.Context, txHash string) (Mined, error) {
	for {
		c.mu.RLock()
		mined, err := c.receipt(common.HexToHash(txHash))
		changed := c.changed
		c.mu.RUnlock()
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
		case <-c.closed:
			return Mined{}, fmt.Errorf("wait for %s: chain closed: %w", txHash, net.ErrClosed)
		case <-changed:
		}
	}
}

// NativeBalance is an account's balance at the head, in wei.
func (c *Chain) NativeBalance(address string) (*big.Int, error) {
	account, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	state, err := c.blockchain.State()
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
