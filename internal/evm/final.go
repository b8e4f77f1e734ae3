package evm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// tagRetry is how long the depth serves before the tag is tried again.
const tagRetry = 10 * time.Minute

// Final is the number of the newest block that cannot go away any more: by the chain's tag where the nodes know it, by
// depth where there is no tag or every provider rejects it as unsupported (ruling 8), never because of another error.
func (p *Pool) Final(ctx context.Context, head uint64) (uint64, error) {
	if p.o.Tag == "" || p.tagWasRefused() {
		return chain.FinalPoint(head, nil, p.o.Depth), nil
	}
	refused := 0
	var errs []error
	for _, pr := range p.ranked() {
		var h chain.Header
		err := p.ask(ctx, pr, func(ctx context.Context, c *rpc.Client) (err error) {
			h, err = headerAt(ctx, c, p.o.Tag)
			if errors.Is(err, ErrMissing) || notYet(err) { // a young chain has no final block
				h, err = chain.Header{}, nil
			}
			return err
		})
		if err == nil {
			return chain.FinalPoint(head, &h.Number, p.o.Depth), nil
		}
		if unsupported(err) {
			refused++
		}
		errs = append(errs, fmt.Errorf("%s: %w", pr.host, err))
	}
	if refused == len(p.providers) {
		p.o.Logger.WarnContext(ctx, "chain.tag_unsupported", "chain", p.o.Name, "tag", p.o.Tag, "depth", p.o.Depth)
		p.mu.Lock()
		p.tagRefused = p.o.Now()
		p.mu.Unlock()
		return chain.FinalPoint(head, nil, p.o.Depth), nil
	}
	return 0, fmt.Errorf("evm: %s %s: %w", p.o.Name, p.o.Tag, errors.Join(errs...))
}

func (p *Pool) tagWasRefused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.tagRefused.IsZero() && p.o.Now().Sub(p.tagRefused) < tagRetry
}

// Agree is nil when two providers have the same block at its height, or when there is only one provider.
func (p *Pool) Agree(ctx context.Context, at chain.Ref) error {
	if len(p.providers) < 2 {
		return nil
	}
	same := 0
	var errs []error
	for _, pr := range p.ranked() {
		err := p.ask(ctx, pr, func(ctx context.Context, c *rpc.Client) error {
			h, err := headerAt(ctx, c, hexutil.EncodeUint64(at.Number))
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
	return fmt.Errorf("evm: %s block %d as %s: %w", p.o.Name, at.Number, at.Hash.Hex(), errors.Join(append(errs, ErrDisagree)...))
}
