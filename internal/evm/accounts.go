package evm

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// historyTimeout bounds the search of all logs for transfers to an address.
const historyTimeout = 2 * time.Second

// Used tells which addresses have a nonce, coin or a listed token at the head, or once had such a token: it may have
// left again by a signature, for which its holder sends nothing. Addresses are 0x in lower case. It asks as few calls
// as the node allows, since a limit of a provider must not hold up the payment that waits for it.
func (p *Pool) Used(ctx context.Context, addresses []string) (map[string]bool, error) {
	used := make(map[string]bool, len(addresses))
	for some := range slices.Chunk(addresses, maxSingle) {
		accounts := make([]chain.Address, len(some))
		for i, a := range some {
			var err error
			if accounts[i], err = chain.ParseAddress(a); err != nil {
				return nil, fmt.Errorf("evm: used addresses: %q: %w", a, err)
			}
		}
		err := p.try(ctx, "used addresses", func(ctx context.Context, n *conn) error {
			was, err := p.usedAt(ctx, n, accounts)
			for i, a := range some {
				used[a] = err == nil && was[i]
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return used, nil
}

func (p *Pool) usedAt(ctx context.Context, n *conn, accounts []chain.Address) ([]bool, error) {
	head, err := headerAt(ctx, n, "latest")
	if err != nil {
		return nil, err
	}
	coins, err := coinBalances(ctx, n, head.Ref(), accounts)
	if err != nil {
		return nil, err
	}
	nonces := make([]*quantity, len(accounts))
	calls := make([]rpc.BatchElem, len(accounts))
	for i, a := range accounts {
		calls[i] = rpc.BatchElem{
			Method: "eth_getTransactionCount", Args: []any{common.Address(a), "latest"}, Result: &nonces[i],
		}
	}
	if err := n.callAll(ctx, calls); err != nil {
		return nil, err
	}
	used := make([]bool, len(accounts))
	for i := range accounts {
		if nonces[i] == nil {
			return nil, fmt.Errorf("%w: a nonce is null", ErrInconsistent)
		}
		used[i] = *nonces[i] > 0 || coins[i].Sign() > 0
	}
	if err := p.holdTokens(ctx, n, head.Ref(), accounts, used); err != nil {
		return nil, err
	}
	return used, p.hadTokens(ctx, n, accounts, used)
}

// hadTokens marks the accounts to which a listed token was ever transferred, or for which one has taken a signature
// (EIP-2612). A node that does not search so far back, or a token without such signatures, marks none.
func (p *Pool) hadTokens(ctx context.Context, n *conn, accounts []chain.Address, used []bool) error {
	if len(p.tokens) == 0 {
		return nil
	}
	index := make(map[common.Hash]int, len(accounts))
	topics := make([]common.Hash, len(accounts))
	for i, a := range accounts {
		topics[i] = common.BytesToHash(a[:])
		index[topics[i]] = i
	}
	if !n.pr.lacks(noHistory) {
		searching, cancel := context.WithTimeout(ctx, historyTimeout)
		defer cancel()
		var logs []wireLog
		err := n.call(searching, &logs, "eth_getLogs", map[string]any{"fromBlock": "0x0", "toBlock": "latest",
			"address": p.tokens, "topics": []any{transferTopic, nil, topics}})
		if err != nil && ctx.Err() == nil {
			n.pr.learn(noHistory, 1)
		}
		for _, l := range logs {
			if t, ok := l.transfer(); ok && p.isListed(l) && t.Value.Sign() > 0 {
				if i, asked := index[common.BytesToHash(t.To[:])]; asked {
					used[i] = true
				}
			}
		}
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return p.hadSigned(ctx, n, accounts, used)
}

// hadSigned marks the accounts whose signatures a listed token has counted.
func (p *Pool) hadSigned(ctx context.Context, n *conn, accounts []chain.Address, used []bool) error {
	const noncesSelector = "0x7ecebe00" // nonces(address)
	for _, token := range p.tokens {
		counts := make([]hexutil.Bytes, len(accounts))
		calls := make([]rpc.BatchElem, len(accounts))
		for i, a := range accounts {
			call := map[string]any{"to": token, "data": noncesSelector + common.BytesToHash(a[:]).Hex()[2:]}
			calls[i] = rpc.BatchElem{Method: "eth_call", Args: []any{call, "latest"}, Result: &counts[i]}
		}
		if n.callAll(ctx, calls[:1]) != nil { // it knows no such signatures
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue
		}
		if err := n.callAll(ctx, calls[1:]); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		for i, c := range counts {
			used[i] = used[i] || len(c) == 32 && new(big.Int).SetBytes(c).Sign() > 0
		}
	}
	return nil
}

// holdTokens marks the accounts that hold a listed token. A token whose balances the node does not tell marks none: an
// address of ours that is new holds nothing, and no token may stop payments in the others.
func (p *Pool) holdTokens(ctx context.Context, n *conn, at chain.Ref, accounts []chain.Address, used []bool) error {
	if len(p.tokens) == 0 {
		return nil
	}
	calls, err := abi.JSON(strings.NewReader(multicallABI))
	if err != nil {
		return err
	}
	for _, token := range p.tokens {
		var balances []*big.Int
		err := errors.New("no Multicall3")
		if p.multicall != nil && !n.pr.lacks(noMulticall) {
			if balances, err = multicallBalances(ctx, n, calls, *p.multicall, at, &token, accounts); err != nil &&
				refusal(err) || errors.Is(err, ErrInconsistent) {
				n.pr.learn(noMulticall, 1)
			}
		}
		if err != nil && ctx.Err() == nil {
			balances, err = singleBalances(ctx, n, calls, at, &token, accounts)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !refusal(err) && !errors.Is(err, ErrInconsistent):
			return err
		}
		for i, b := range balances {
			used[i] = used[i] || b.Sign() > 0
		}
	}
	return nil
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
