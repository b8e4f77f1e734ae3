package evm_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// NewHeads answers eth_subscribe of fakeNode: the newest header, again and again.
func (n *fakeNode) NewHeads(ctx context.Context) (*rpc.Subscription, error) {
	notifier, ok := rpc.NotifierFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	sub := notifier.CreateSubscription()
	go func() {
		n.listeners.Add(1)
		defer n.listeners.Add(-1)
		for {
			select {
			case <-sub.Err():
				return
			case <-time.After(10 * time.Millisecond):
				if err := notifier.Notify(sub.ID, n.GetBlockByNumber("latest", false)); err != nil {
					return
				}
			}
		}
	}()
	return sub, nil
}

// TestNewHeads: blocks are announced over the sockets that are named and by providers that are sockets themselves, also
// after a socket was lost; a node of another chain announces nothing.
func TestNewHeads(t *testing.T) {
	for name, named := range map[string]bool{"named": true, "provider": false} {
		t.Run(name, func(t *testing.T) {
			var n fakeNode
			n.id.Store(1337)
			n.head.Store(7)
			httpURL, wsURL, hangUp := serveNode(t, &n)
			o := evm.Options{Name: "devnet", ChainID: 1337, Depth: 1, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
			if o.URLs = []string{wsURL}; named {
				o.URLs, o.Sockets = []string{httpURL}, []string{wsURL}
			}
			p, err := evm.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ctx, cancel := context.WithCancel(t.Context())
			var heard atomic.Int64
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.Announce(ctx, func() { heard.Add(1) })
			}()
			more := func() {
				t.Helper()
				was := heard.Load()
				testkit.Eventually(t, 30*time.Second, "a block is announced", func() bool { return heard.Load() > was+1 })
			}
			more()
			hangUp()
			testkit.Eventually(t, 30*time.Second, "the socket is lost", func() bool { return n.listeners.Load() == 0 })
			more()
			cancel()
			<-done
		})
	}
	var n fakeNode
	n.id.Store(1)
	httpURL, wsURL, _ := serveNode(t, &n)
	p, err := evm.New(evm.Options{Name: "devnet", ChainID: 1337, Depth: 1, URLs: []string{httpURL},
		Sockets: []string{wsURL}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	p.Announce(ctx, func() { t.Error("a block of another chain was announced") })
	if n.listeners.Load() != 0 || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("the node of another chain has a subscription")
	}
}
