package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// tagRetry is how long the depth serves before the tag is tried again.
const tagRetry = 10 * time.Minute

// Final is the number of the newest block that cannot go away any more: by the chain's tag where the nodes know it, by
// depth where there is no tag or every provider rejects it as unsupported, never because of another error.
func (p *Pool) Final(ctx context.Context, head uint64) (uint64, error) {
	if p.opts.Tag == "" || p.tagWasRejected() {
		return chain.FinalPoint(head, nil, p.opts.Depth), nil
	}
	rejected := 0
	var errs []error
	for _, pr := range p.ranked() {
		var h chain.Header
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
			h, err = headerAt(ctx, n, p.opts.Tag)
			if errors.Is(err, ErrMissing) || notYet(err) { // a young chain has no final block
				h, err = chain.Header{}, nil
			}
			return err
		})
		if err == nil {
			return chain.FinalPoint(head, &h.Number, p.opts.Depth), nil
		}
		if unsupported(err) {
			rejected++
		}
		errs = append(errs, fmt.Errorf("%s: %w", pr.host, err))
	}
	if rejected == len(p.providers) {
		p.opts.Logger.WarnContext(ctx, "chain.tag_unsupported",
			"chain", p.opts.Name, "tag", p.opts.Tag, "depth", p.opts.Depth)
		p.mu.Lock()
		p.tagRejected = p.opts.Now()
		p.mu.Unlock()
		return chain.FinalPoint(head, nil, p.opts.Depth), nil
	}
	return 0, fmt.Errorf("evm: %s %s: %w", p.opts.Name, p.opts.Tag, errors.Join(errs...))
}

func (p *Pool) tagWasRejected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.tagRejected.IsZero() && p.opts.Now().Sub(p.tagRejected) < tagRetry
}

// Agree is nil when two providers have the same block at its height, or when there is only one provider.
func (p *Pool) Agree(ctx context.Context, at chain.Ref) error {
	if len(p.providers) < 2 {
		return nil
	}
	same := 0
	var errs []error
	for _, pr := range p.ranked() {
		err := p.ask(ctx, pr, func(ctx context.Context, n *conn) error {
			h, err := headerAt(ctx, n, hexutil.EncodeUint64(at.Number))
			if err != nil {
				return err
			}
			if h.Hash != at.Hash {
				return fmt.Errorf("%w: it has %s", ErrDisagree, h.Hash.Hex())
			}
			return nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", pr.host, err))
			continue
		}
		if same++; same == 2 {
			return nil
		}
	}
	errs = append(errs, ErrDisagree)
	return fmt.Errorf("evm: %s block %d as %s: %w", p.opts.Name, at.Number, at.Hash.Hex(), errors.Join(errs...))
}
