package evm

import (
	"context"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
)

// Used tells which addresses have a nonce or a balance at the head. Addresses are 0x in lower case.
func (p *Pool) Used(ctx context.Context, addresses []string) (map[string]bool, error) {
	used := make(map[string]bool, len(addresses))
	for some := range slices.Chunk(addresses, maxSingle) {
		nonces, balances := make([]quantity, len(some)), make([]bigQuantity, len(some))
		err := p.try(ctx, "used addresses", func(ctx context.Context, n *conn) error {
			var calls []rpc.BatchElem
			for i, a := range some {
				calls = append(calls,
					rpc.BatchElem{Method: "eth_getTransactionCount", Args: []any{a, "latest"}, Result: &nonces[i]},
					rpc.BatchElem{Method: "eth_getBalance", Args: []any{a, "latest"}, Result: &balances[i]})
			}
			return n.callAll(ctx, calls)
		})
		if err != nil {
			return nil, err
		}
		for i, a := range some {
			used[a] = nonces[i] > 0 || balances[i].big().Sign() > 0
		}
	}
	return used, nil
}

// Decimals asks a token's contract how many decimals it has.
func (p *Pool) Decimals(ctx context.Context, contract string) (decimals uint8, err error) {
	err = p.try(ctx, "decimals of "+contract, func(ctx context.Context, n *conn) error {
		var out hexutil.Bytes
		call := map[string]any{"to": common.HexToAddress(contract), "data": "0x313ce567"}
		if err := n.call(ctx, &out, "eth_call", call, "latest"); err != nil {
			return err
		}
		if len(out) != 32 || common.BytesToHash(out[:31]) != (common.Hash{}) {
			return fmt.Errorf("%w: decimals() returned %d bytes", ErrInconsistent, len(out))
		}
		decimals = out[31]
		return nil
	})
	return decimals, err
}
