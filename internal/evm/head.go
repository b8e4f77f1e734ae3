package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// headGrace is how long the other providers have for their heads once one has answered.
const headGrace = 500 * time.Millisecond

// Head is the newest block that a healthy provider knows. All are asked at once; one that hangs holds the others up for
// half a second, and then not again for a while.
func (p *Pool) Head(ctx context.Context) (chain.Header, error) {
	up, down := p.split()
	head, errs := p.heads(ctx, up)
	if head == nil && ctx.Err() == nil {
		var more []error
		head, more = p.heads(ctx, down)
		errs = append(errs, more...)
	}
	if head == nil {
		if ctx.Err() != nil {
			return chain.Header{}, ctx.Err()
		}
		return chain.Header{}, fmt.Errorf("evm: %s head: %w", p.opts.Name, errors.Join(errs...))
	}
	return *head, nil
}

// heads asks providers for their heads and returns the highest, nil when there is none.
func (p *Pool) heads(ctx context.Context, providers []*provider) (best *chain.Header, errs []error) {
	type answer struct {
		from *provider
		head chain.Header
		err  error
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(providers))
	for _, pr := range providers {
		go func() {
			a := answer{from: pr}
			a.err = p.ask(asking, pr, func(ctx context.Context, n *conn) (err error) {
				a.head, err = headerAt(ctx, n, "latest")
				return err
			})
			answers <- a
		}()
	}
	var grace <-chan time.Time
	slow := false
	for range providers {
		var a answer
		select {
		case a = <-answers:
		case <-grace:
			slow = true
			cancel()
			a = <-answers
		}
		switch {
		case a.err == nil:
			if best == nil || a.head.Number > best.Number {
				best = &a.head
			}
			if grace == nil {
				grace = time.After(headGrace)
			}
		case slow && ctx.Err() == nil:
			p.failed(ctx, a.from, fmt.Errorf("no head within %s of the others", headGrace))
		default:
			errs = append(errs, fmt.Errorf("%s: %w", a.from.host, a.err))
		}
	}
	return best, errs
}

// Header is the canonical block at a height.
func (p *Pool) Header(ctx context.Context, number uint64) (h chain.Header, err error) {
	err = p.try(ctx, fmt.Sprintf("header %d", number), func(ctx context.Context, n *conn) error {
		h, err = headerAt(ctx, n, hexutil.EncodeUint64(number))
		if err == nil && h.Number != number {
			return fmt.Errorf("%w: asked for block %d, got %d", ErrInconsistent, number, h.Number)
		}
		return err
	})
	return h, err
}

// headerAt asks one node for the header at a number or a tag.
func headerAt(ctx context.Context, n *conn, at string) (chain.Header, error) {
	var w *wireHeader
	if err := n.call(ctx, &w, "eth_getBlockByNumber", at, false); err != nil {
		return chain.Header{}, err
	}
	return w.header()
}

// HeadAnswer is what one provider says of its head.
type HeadAnswer struct {
	Provider string
	Head     chain.Header
	Err      error
}

// EachHead asks every provider for its head, by itself.
func (p *Pool) EachHead(ctx context.Context) []HeadAnswer {
	answers := make([]HeadAnswer, len(p.providers))
	for i, pr := range p.providers {
		a := &answers[i]
		a.Provider = pr.name
		a.Err = p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
			a.Head, err = headerAt(ctx, n, "latest")
			return err
		})
	}
	return answers
}
