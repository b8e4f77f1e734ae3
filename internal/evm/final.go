package evm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

const (
	// tagRetry is how long the depth serves before the tag is tried again.
	tagRetry = 10 * time.Minute
	// tagFrozen is how long a tag may stand still while the head moves, before another provider's is better.
	tagFrozen = 10 * time.Minute
	// tagBehind and tagBehindTime are how far a tag may lie behind another provider's: the larger of the two counts.
	tagBehind     = 64
	tagBehindTime = 30 * time.Minute
)

// tagAnswer is what one provider says of the tag.
type tagAnswer struct {
	from *provider
	tag  chain.Header // zero when no block has the tag yet
	err  error
	bad  string // why the tag does not count, "" when it does
}

// Final is the number of the newest block that cannot go away any more, none above head. Where there is no tag, or
// every provider rejects it as unsupported, the depth below head decides, and never because of another error.
//
// With one provider its tag decides. With several it is the highest block that two of them call final. A provider whose
// tag is missing, failing, frozen or far behind, and whose head lives, stands for the lower one of the good tag and the
// block that lies deep enough below its own head; it is named in the log.
func (p *Pool) Final(ctx context.Context, head uint64) (uint64, error) {
	if p.opts.Tag == "" || p.tagWasRejected() {
		return chain.FinalPoint(head, nil, p.opts.Depth), nil
	}
	answers := p.tags(ctx)
	rejected := 0
	var errs []error
	for _, a := range answers {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.from.host, a.err))
		}
		if a.err != nil && unsupported(a.err) {
			rejected++
		}
	}
	if rejected == len(p.providers) {
		p.opts.Logger.WarnContext(ctx, "chain.tag_unsupported",
			"chain", p.opts.Name, "tag", p.opts.Tag, "depth", p.opts.Depth)
		p.mu.Lock()
		p.tagRejected = p.opts.Now()
		p.mu.Unlock()
		return chain.FinalPoint(head, nil, p.opts.Depth), nil
	}
	p.judgeTags(answers)
	points := p.finalPoints(ctx, answers)
	switch {
	case len(points) >= 2:
		slices.Sort(points)
		return min(points[len(points)-2], head), nil
	case len(points) == 1 && len(p.providers) == 1:
		return min(points[0], head), nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case len(points) == 1:
		errs = append(errs, errors.New("one provider alone calls a block final, and no second one confirms it"))
	}
	return 0, fmt.Errorf("evm: %s %s: %w", p.opts.Name, p.opts.Tag, errors.Join(errs...))
}

// tags asks every provider for the tag at once.
func (p *Pool) tags(ctx context.Context) []tagAnswer {
	answers := make([]tagAnswer, len(p.providers))
	done := make(chan struct{})
	for i, pr := range p.providers {
		go func() {
			a := &answers[i]
			a.from = pr
			a.err = p.ask(ctx, pr, func(ctx context.Context, n *conn) (err error) {
				a.tag, err = headerAt(ctx, n, p.opts.Tag)
				if errors.Is(err, ErrMissing) || notYet(err) {
					a.tag, err = chain.Header{}, nil
				}
				return err
			})
			done <- struct{}{}
		}()
	}
	for range p.providers {
		<-done
	}
	return answers
}

// judgeTags says which tags do not count. A tag is held against that of the other providers, so that a chain which
// stands still is not taken for a provider's fault.
func (p *Pool) judgeTags(answers []tagAnswer) {
	var best chain.Header
	for _, a := range answers {
		if a.err == nil && a.tag.Number > best.Number {
			best = a.tag
		}
	}
	now := p.opts.Now()
	for i := range answers {
		a := &answers[i]
		switch frozen := a.from.noteTag(a.tag.Number, now); {
		case a.err != nil:
			a.bad = "the provider does not answer for it"
		case a.tag.Number >= best.Number:
		case a.tag.Number == 0:
			a.bad = "the provider calls no block final"
		case frozen > tagFrozen:
			a.bad = fmt.Sprintf("it has stood at block %d for %s", a.tag.Number, frozen.Round(time.Minute))
		case best.Number-a.tag.Number > tagBehind && best.Time.Sub(a.tag.Time) > tagBehindTime:
			a.bad = fmt.Sprintf("it is at block %d, and another provider's at %d", a.tag.Number, best.Number)
		}
	}
}

// finalPoints are the blocks that the providers call final. One with a bad tag says so by the depth below its head, and
// never above the good tag.
func (p *Pool) finalPoints(ctx context.Context, answers []tagAnswer) (points []uint64) {
	best, good := uint64(0), false
	for _, a := range answers {
		if a.bad == "" {
			best, good, points = max(best, a.tag.Number), true, append(points, a.tag.Number)
		}
	}
	for _, a := range answers {
		if a.bad == "" || !good || len(points) >= 2 {
			continue
		}
		var head chain.Header
		err := p.ask(ctx, a.from, func(ctx context.Context, n *conn) (err error) {
			head, err = headerAt(ctx, n, "latest")
			return err
		})
		if err != nil || p.opts.Now().Sub(head.Time) > tagFrozen {
			continue
		}
		points = append(points, min(best, chain.FinalByDepth(head.Number, p.opts.Depth)))
		if a.from.tell(p.opts.Now()) {
			p.opts.Metrics.RPCError(p.opts.Name, a.from.host)
			p.opts.Logger.WarnContext(ctx, "provider.tag_bad", "chain", p.opts.Name, "host", a.from.host, "tag", p.opts.Tag,
				"reason", a.bad, "instead", "the depth below its head, and never above another provider's tag")
		}
	}
	return points
}

// noteTag notes where a provider's tag is and returns for how long it has been there.
func (pr *provider) noteTag(number uint64, now time.Time) time.Duration {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.tagSince.IsZero() || pr.tagNumber != number {
		pr.tagNumber, pr.tagSince = number, now
	}
	return now.Sub(pr.tagSince)
}

// tell reports whether a provider is to be named again, which is once in ten minutes.
func (pr *provider) tell(now time.Time) bool {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if !pr.toldAt.IsZero() && now.Sub(pr.toldAt) < tagFrozen {
		return false
	}
	pr.toldAt = now
	return true
}

func (p *Pool) tagWasRejected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.tagRejected.IsZero() && p.opts.Now().Sub(p.tagRejected) < tagRetry
}

// Agree is nil when two providers have the same block at its height, or when there is only one provider. A provider
// that has another block has not failed: which of two is right, nobody can tell.
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
