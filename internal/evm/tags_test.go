package evm_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// tagNode is the eth namespace of a node with a head and a final block, 12 seconds a block; its hashes have a mark.
type tagNode struct {
	head, final atomic.Uint64
	mark        uint64
	began       time.Time
}

func (n *tagNode) ChainId() string { return "0x539" } //nolint:revive // the method is eth_chainId

func (n *tagNode) GetBlockByNumber(at string, _ bool) map[string]any {
	number := n.head.Load()
	switch {
	case at == "finalized":
		if number = n.final.Load(); number == 0 {
			return nil
		}
	case at != "latest":
		if _, err := fmt.Sscanf(at, "0x%x", &number); err != nil || number > n.head.Load() {
			return nil
		}
	}
	return map[string]any{
		"number": fmt.Sprintf("0x%x", number), "hash": fmt.Sprintf("0x%064x", number<<8|n.mark),
		"parentHash": fmt.Sprintf("0x%064x", (number-1)<<8|n.mark),
		"timestamp":  fmt.Sprintf("0x%x", n.began.Add(time.Duration(number)*12*time.Second).Unix()),
	}
}

func (n *tagNode) serve(t *testing.T) string {
	t.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName("eth", n); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(server)
	t.Cleanup(func() { srv.Close(); server.Stop() })
	return srv.URL
}

// TestABadTagIsReplaced: of two providers, one whose tag is null, frozen or far behind stands for the lower one of the
// good tag and the block that is deep enough below its own head, and is named. One that lags with its head counts as it
// is, and so does a tag that is a little behind.
func TestABadTagIsReplaced(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, q := range map[string]struct {
		goodFinal, badHead, badFinal, want uint64
		wait                               time.Duration // between two looks, in which the good tag moves on by 10 blocks
		named                              bool
	}{
		"null":                            {goodFinal: 900, badHead: 1000, want: 900, named: true},
		"null, and its head is near":      {goodFinal: 985, badHead: 990, want: 981, named: true},
		"far behind":                      {goodFinal: 900, badHead: 1000, badFinal: 5, want: 900, named: true},
		"a little behind":                 {goodFinal: 900, badHead: 1000, badFinal: 870, want: 870},
		"frozen":                          {goodFinal: 900, badHead: 1000, badFinal: 890, wait: 11 * time.Minute, want: 910, named: true},
		"at the same place, not for long": {goodFinal: 900, badHead: 1000, badFinal: 890, wait: 9 * time.Minute, want: 890},
		"final above everybody's":         {goodFinal: 900, badHead: 1000, badFinal: 1000, want: 900},
	} {
		t.Run(name, func(t *testing.T) {
			began := start.Add(-1000 * 12 * time.Second)
			good, bad := &tagNode{began: began}, &tagNode{began: began}
			good.head.Store(1000)
			good.final.Store(q.goodFinal)
			bad.head.Store(q.badHead)
			bad.final.Store(q.badFinal)
			var logged bytes.Buffer
			now := start
			for _, urls := range [][]string{{good.serve(t), bad.serve(t)}, {bad.serve(t), good.serve(t)}} {
				logged.Reset()
				now = start
				good.final.Store(q.goodFinal)
				p := newPool(t, otherToken, func(o *evm.Options) {
					o.Tag, o.Depth = "finalized", 10
					o.Now = func() time.Time { return now }
					o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
				}, urls...)
				got, err := p.Final(t.Context(), 2000)
				if q.wait > 0 && err == nil {
					now = now.Add(q.wait)
					good.final.Add(10)
					for _, n := range []*tagNode{good, bad} {
						n.began = n.began.Add(q.wait)
					}
					got, err = p.Final(t.Context(), 2000)
				}
				if err != nil || got != q.want || strings.Contains(logged.String(), "provider.tag_bad") != q.named {
					t.Errorf("%d, %v, want %d; %s", got, err, q.want, logged.String())
				}
			}
		})
	}
}

// TestNobodyIsBlamedForAFork: while two providers have different branches, which one is right nobody can tell: nothing
// is confirmed, no provider is cooled down, and none is counted as failed.
func TestNobodyIsBlamedForAFork(t *testing.T) {
	start := time.Now().Add(-1000 * 12 * time.Second)
	first, second := &tagNode{began: start, mark: 1}, &tagNode{began: start, mark: 2}
	for _, n := range []*tagNode{first, second} {
		n.head.Store(1000)
		n.final.Store(900)
	}
	var logged bytes.Buffer
	p := newPool(t, otherToken, func(o *evm.Options) {
		o.Tag = "finalized"
		o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	}, first.serve(t), second.serve(t))
	at := chain.Ref{Number: 900, Hash: hashOf(t, p)}
	for range 3 {
		if err := p.Agree(t.Context(), at); err == nil {
			t.Fatal("two branches agree")
		}
		if h := hashOf(t, p); h != at.Hash {
			t.Fatalf("the first provider is not asked first any more: %s", h)
		}
	}
	second.head.Store(1001)
	if h, err := p.Head(context.Background()); err != nil || h.Number != 1001 {
		t.Errorf("the second provider is not asked any more: head %d, %v", h.Number, err)
	}
	if logged.Len() > 0 {
		t.Errorf("told %s", logged.String())
	}
}

// hashOf is the hash of block 900 as the pool has it.
func hashOf(t *testing.T, p *evm.Pool) chain.Hash {
	t.Helper()
	h, err := p.Header(t.Context(), 900)
	if err != nil {
		t.Fatal(err)
	}
	return h.Hash
}
