package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

const (
	// firstRedial is how long a lost WebSocket waits before it is opened again; it doubles up to maxRedial.
	firstRedial = time.Second
	maxRedial   = 2 * time.Minute
)

// Announce calls heard whenever a provider announces a new block over WebSocket, until ctx ends. It says nothing about
// the block: whoever hears of one asks for the head as ever, so that a silent, a lying or a missing socket costs
// nothing but time. Sockets that are lost are opened again.
func (p *Pool) Announce(ctx context.Context, heard func()) {
	done := make(chan struct{})
	sockets := p.sockets()
	for _, raw := range sockets {
		go func() {
			p.listen(ctx, raw, heard)
			done <- struct{}{}
		}()
	}
	for range sockets {
		<-done
	}
}

// sockets are the WebSocket URLs of the chain, those of providers among them.
func (p *Pool) sockets() (all []string) {
	for _, raw := range p.opts.URLs {
		if lower := strings.ToLower(raw); strings.HasPrefix(lower, "ws:") || strings.HasPrefix(lower, "wss:") {
			all = append(all, raw)
		}
	}
	return append(all, p.opts.Sockets...)
}

// listen keeps one subscription alive.
func (p *Pool) listen(ctx context.Context, raw string, heard func()) {
	u, err := url.Parse(raw)
	if err != nil {
		return // New has refused it
	}
	naming := &provider{secrets: secretsOf(u)} // for its words
	for wait := firstRedial; ctx.Err() == nil; wait = min(2*wait, maxRedial) {
		began := time.Now()
		err := p.subscribe(ctx, raw, heard)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxRedial { // it was well for a while
			wait = firstRedial
		}
		p.opts.Metrics.RPCError(p.opts.Name, u.Host)
		p.opts.Logger.WarnContext(ctx, "provider.socket_lost", "chain", p.opts.Name, "host", u.Host,
			"error", naming.plain(err), "again_in", wait.String(), "meanwhile", "the head is asked for every poll_interval")
		if sleep(ctx, wait) != nil {
			return
		}
	}
}

// subscribe opens a socket and listens for new blocks until it is lost.
func (p *Pool) subscribe(ctx context.Context, raw string, heard func()) error {
	dialing, cancel := context.WithTimeout(ctx, p.opts.Timeout)
	defer cancel()
	client, err := rpc.DialOptions(dialing, raw)
	if err != nil {
		return err
	}
	defer client.Close()
	var id quantity
	if err := client.CallContext(dialing, &id, "eth_chainId"); err != nil {
		return err
	}
	if uint64(id) != p.opts.ChainID {
		return fmt.Errorf("%w: chain id %d, want %d", ErrWrongChain, uint64(id), p.opts.ChainID)
	}
	heads := make(chan json.RawMessage, 16)
	sub, err := client.EthSubscribe(dialing, heads, "newHeads")
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	for {
		select {
		case <-heads:
			heard()
		case err := <-sub.Err():
			return errors.Join(errors.New("the subscription ended"), err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
