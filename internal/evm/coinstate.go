package evm

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// maxInOneCall is how many balances are read in one call.
const maxInOneCall = 500

// readBalances is the code of a contract that is never deployed: it runs in a call that creates it. It reads the
// addresses that follow it, 32 bytes each, and returns their balances in the same order.
var readBalances = []byte{
	0x60, 0x25, // PUSH1 37: the length of this code
	0x80, 0x38, 0x03, // DUP1 CODESIZE SUB: the length of the addresses
	0x80, 0x91, // DUP1 SWAP2
	0x60, 0x00, 0x39, // PUSH1 0 CODECOPY: the addresses to memory
	0x60, 0x00, // PUSH1 0: the place of the first
	0x5b,                   // JUMPDEST 12
	0x81, 0x81, 0x10, 0x15, // DUP2 DUP2 LT ISZERO: is the place past the end?
	0x60, 0x20, 0x57, // PUSH1 32 JUMPI
	0x80, 0x51, 0x31, // DUP1 MLOAD BALANCE
	0x81, 0x52, // DUP2 MSTORE: the balance in the place of the address
	0x60, 0x20, 0x01, // PUSH1 32 ADD: the next place
	0x60, 0x0c, 0x56, // PUSH1 12 JUMP
	0x00,       // STOP, never reached
	0x5b,       // JUMPDEST 32
	0x50,       // POP
	0x60, 0x00, // PUSH1 0
	0xf3, // RETURN
}

// CoinBalances are what accounts hold of the chain's own coin after a block, from one provider that has that very block
// at its height. Provider says which.
func (p *Pool) CoinBalances(
	ctx context.Context, at chain.Ref, accounts []chain.Address,
) (balances []*big.Int, provider string, err error) {
	err = p.try(ctx, fmt.Sprintf("balances at block %d", at.Number), func(ctx context.Context, n *conn) (err error) {
		provider = n.pr.name
		balances, err = coinBalances(ctx, n, at, accounts)
		return err
	})
	return balances, provider, err
}

func coinBalances(ctx context.Context, n *conn, at chain.Ref, accounts []chain.Address) ([]*big.Int, error) {
	balances := make([]*big.Int, 0, len(accounts))
	for some := range slices.Chunk(accounts, maxInOneCall) {
		got, err := balancesInOneCall(ctx, n, at, some)
		if err != nil {
			return nil, err
		}
		balances = append(balances, got...)
	}
	return balances, nil
}

// balancesInOneCall reads balances in one call where the node allows that, else one by one.
func balancesInOneCall(ctx context.Context, n *conn, at chain.Ref, accounts []chain.Address) ([]*big.Int, error) {
	if len(accounts) > 2 && !n.pr.lacks(noCreateCall) {
		data := slices.Clone(readBalances)
		for _, a := range accounts {
			data = append(data, common.LeftPadBytes(a[:], 32)...)
		}
		var out hexutil.Bytes
		err := callPinned(ctx, n, at, 1, func(_ int, block any) rpc.BatchElem {
			return rpc.BatchElem{
				Method: "eth_call", Args: []any{map[string]any{"data": hexutil.Bytes(data)}, block}, Result: &out,
			}
		})
		if err == nil && len(out) == 32*len(accounts) {
			balances := make([]*big.Int, len(accounts))
			for i := range balances {
				balances[i] = new(big.Int).SetBytes(out[32*i : 32*i+32])
			}
			return balances, nil
		}
		if err != nil && (ctx.Err() != nil || !refusal(err)) {
			return nil, err
		}
		n.pr.learn(noCreateCall, 1)
	}
	var balances []*big.Int
	for some := range slices.Chunk(accounts, maxSingle) {
		got := make([]bigQuantity, len(some))
		have := make([]*bigQuantity, len(some))
		err := callPinned(ctx, n, at, len(some), func(i int, block any) rpc.BatchElem {
			have[i] = &got[i]
			return rpc.BatchElem{
				Method: "eth_getBalance", Args: []any{common.Address(some[i]), block}, Result: &have[i],
			}
		})
		if err != nil {
			return nil, err
		}
		for _, q := range have {
			if q == nil {
				return nil, fmt.Errorf("%w: a balance is null", ErrInconsistent)
			}
			balances = append(balances, q.big())
		}
	}
	return balances, nil
}

// Accounts asks every provider, by itself, for the coin, the nonce and the code of an account after a block.
func (p *Pool) Accounts(ctx context.Context, at chain.Ref, account chain.Address) []chain.AccountAnswer {
	answers := make([]chain.AccountAnswer, len(p.providers))
	for i, pr := range p.providers {
		a := &answers[i]
		a.Provider = pr.name
		a.Err = p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
			var coin *bigQuantity
			var nonce *quantity
			var code *hexutil.Bytes
			address := common.Address(account)
			err := callPinned(ctx, n, at, 3, func(i int, block any) rpc.BatchElem {
				return []rpc.BatchElem{
					{Method: "eth_getBalance", Args: []any{address, block}, Result: &coin},
					{Method: "eth_getTransactionCount", Args: []any{address, block}, Result: &nonce},
					{Method: "eth_getCode", Args: []any{address, block}, Result: &code},
				}[i]
			})
			if err == nil && (coin == nil || nonce == nil || code == nil) {
				err = fmt.Errorf("%w: an account without balance, nonce or code", ErrInconsistent)
			}
			if err == nil {
				a.Coin, a.Nonce, a.HasCode = coin.big(), uint64(*nonce), len(*code) > 0
			}
			return err
		})
	}
	return answers
}
