package evm

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// maxSingle is how many accounts are asked for in one batch of single calls.
	maxSingle = 50
	// maxMulticall is how many are asked for in one call of Multicall3.
	maxMulticall = 500
)

// multicallABI is what we call of Multicall3 and of an ERC-20 contract.
const multicallABI = `[
{"name":"aggregate3","type":"function","stateMutability":"payable",
 "inputs":[{"name":"calls","type":"tuple[]","components":[
  {"name":"target","type":"address"},{"name":"allowFailure","type":"bool"},{"name":"callData","type":"bytes"}]}],
 "outputs":[{"name":"returnData","type":"tuple[]","components":[
  {"name":"success","type":"bool"},{"name":"returnData","type":"bytes"}]}]},
{"name":"getEthBalance","type":"function","stateMutability":"view",
 "inputs":[{"name":"addr","type":"address"}],"outputs":[{"name":"balance","type":"uint256"}]},
{"name":"balanceOf","type":"function","stateMutability":"view",
 "inputs":[{"name":"account","type":"address"}],"outputs":[{"name":"balance","type":"uint256"}]}]`

// call3 is Multicall3's Call3.
type call3 struct {
	Target       common.Address
	AllowFailure bool
	CallData     []byte
}

// Balances are what accounts hold of an asset ([chain.Native] or a contract's address) after a block, in base units and
// in the order of the accounts. The provider that answers has that very block at its height. Ask at final blocks, so
// that no later reorg makes the answer wrong; a node that has pruned the state of the block says so in the error.
func (p *Pool) Balances(ctx context.Context, at chain.Ref, asset string, accounts []chain.Address) ([]*big.Int, error) {
	var token *common.Address
	if asset != chain.Native {
		a, err := chain.ParseAddress(asset)
		if err != nil {
			return nil, fmt.Errorf("evm: balances of %q: %w", asset, err)
		}
		token = (*common.Address)(&a)
	}
	calls, err := abi.JSON(strings.NewReader(multicallABI))
	if err != nil {
		return nil, err
	}
	size, read := maxSingle, func(ctx context.Context, n *conn, some []chain.Address) ([]*big.Int, error) {
		return singleBalances(ctx, n, calls, at, token, some)
	}
	if p.multicall != nil {
		size, read = maxMulticall, func(ctx context.Context, n *conn, some []chain.Address) ([]*big.Int, error) {
			return multicallBalances(ctx, n, calls, *p.multicall, at, token, some)
		}
	}
	balances := make([]*big.Int, 0, len(accounts))
	for some := range slices.Chunk(accounts, size) {
		var got []*big.Int
		call := fmt.Sprintf("balances of %s at block %d", asset, at.Number)
		err := p.try(ctx, call, func(ctx context.Context, n *conn) (err error) {
			got, err = read(ctx, n, some)
			return err
		})
		if err != nil {
			return nil, err
		}
		balances = append(balances, got...)
	}
	return balances, nil
}

// Nonces are how many transactions accounts had sent after a block, in the order of the accounts; see [Pool.Balances].
func (p *Pool) Nonces(ctx context.Context, at chain.Ref, accounts []chain.Address) ([]uint64, error) {
	nonces := make([]uint64, 0, len(accounts))
	for some := range slices.Chunk(accounts, maxSingle) {
		got := make([]quantity, len(some))
		err := p.try(ctx, fmt.Sprintf("nonces at block %d", at.Number), func(ctx context.Context, n *conn) error {
			return callPinned(ctx, n, at, len(some), func(i int, block any) rpc.BatchElem {
				args := []any{common.Address(some[i]), block}
				return rpc.BatchElem{Method: "eth_getTransactionCount", Args: args, Result: &got[i]}
			})
		})
		if err != nil {
			return nil, err
		}
		for _, n := range got {
			nonces = append(nonces, uint64(n))
		}
	}
	return nonces, nil
}

func singleBalances(
	ctx context.Context, n *conn, calls abi.ABI, at chain.Ref, token *common.Address, accounts []chain.Address,
) ([]*big.Int, error) {
	coins, returned := make([]bigQuantity, len(accounts)), make([]hexutil.Bytes, len(accounts))
	err := callPinned(ctx, n, at, len(accounts), func(i int, block any) rpc.BatchElem {
		if token == nil {
			return rpc.BatchElem{Method: "eth_getBalance", Args: []any{common.Address(accounts[i]), block}, Result: &coins[i]}
		}
		data := append(slices.Clone(calls.Methods["balanceOf"].ID), common.LeftPadBytes(accounts[i][:], 32)...)
		call := map[string]any{"to": token, "data": hexutil.Bytes(data)}
		return rpc.BatchElem{Method: "eth_call", Args: []any{call, block}, Result: &returned[i]}
	})
	if err != nil {
		return nil, err
	}
	balances := make([]*big.Int, len(accounts))
	for i := range accounts {
		if token == nil {
			balances[i] = coins[i].big()
		} else if balances[i], err = word(returned[i]); err != nil {
			return nil, fmt.Errorf("balanceOf(%s): %w", accounts[i], err)
		}
	}
	return balances, nil
}

func multicallBalances(
	ctx context.Context, n *conn, calls abi.ABI, multicall common.Address,
	at chain.Ref, token *common.Address, accounts []chain.Address,
) ([]*big.Int, error) {
	method, target := "getEthBalance", multicall
	if token != nil {
		method, target = "balanceOf", *token
	}
	inner := make([]call3, len(accounts))
	for i, a := range accounts {
		data, err := calls.Pack(method, common.Address(a))
		if err != nil {
			return nil, err
		}
		inner[i] = call3{Target: target, CallData: data}
	}
	data, err := calls.Pack("aggregate3", inner)
	if err != nil {
		return nil, err
	}
	var out hexutil.Bytes
	err = callPinned(ctx, n, at, 1, func(_ int, block any) rpc.BatchElem {
		call := map[string]any{"to": multicall, "data": hexutil.Bytes(data)}
		return rpc.BatchElem{Method: "eth_call", Args: []any{call, block}, Result: &out}
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: there is no Multicall3 at %s", ErrInconsistent, multicall.Hex())
	}
	var results []struct {
		Success    bool
		ReturnData []byte
	}
	if err := calls.UnpackIntoInterface(&results, "aggregate3", out); err != nil {
		return nil, fmt.Errorf("%w: aggregate3: %w", ErrInconsistent, err)
	}
	if len(results) != len(accounts) {
		return nil, fmt.Errorf("%w: aggregate3 made %d calls of %d", ErrInconsistent, len(results), len(accounts))
	}
	balances := make([]*big.Int, len(accounts))
	for i, r := range results {
		if !r.Success {
			return nil, fmt.Errorf("%w: %s(%s) failed", ErrInconsistent, method, accounts[i])
		}
		if balances[i], err = word(r.ReturnData); err != nil {
			return nil, fmt.Errorf("%s(%s): %w", method, accounts[i], err)
		}
	}
	return balances, nil
}

// word reads one uint256.
func word(b []byte) (*big.Int, error) {
	if len(b) != 32 {
		return nil, fmt.Errorf("%w: %d bytes returned, want 32", ErrInconsistent, len(b))
	}
	return new(big.Int).SetBytes(b), nil
}
