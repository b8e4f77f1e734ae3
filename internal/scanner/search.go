package scanner

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/models"
)

// search looks for the final point, beside the steps of the scanner: the words of second providers and proofs take
// several calls one after the other, and blocks are recorded meanwhile. A step takes in what was found.
type search struct {
	done  chan struct{}
	stop  context.CancelFunc
	from  uint64        // the final point when it began
	final uint64        // as far as it could be moved
	step  payments.Step // what differs in the blocks up to there
}

// worth reports whether a search found anything.
func (q *search) worth() bool {
	return q.final > q.from || len(q.step.Late)+len(q.step.Refuted)+len(q.step.Doubts) > 0
}

// lookForFinal begins a search from what is recorded, unless one is under way.
func (s *Scanner) lookForFinal(ctx context.Context, cursor models.ChainCursor) {
	if s.search != nil {
		return
	}
	s.round.finalAt = s.clock()
	ctx, stop := context.WithCancel(ctx)
	q := &search{done: make(chan struct{}), stop: stop, from: cursor.FinalNumber}
	s.search = q
	go func() {
		defer close(q.done)
		q.step.ChainID = s.chain.ChainID
		if q.final = s.finality(ctx, &q.step, cursor); q.worth() {
			defer s.wake()
		}
		cursor.FinalNumber = q.final
		s.metrics.ChainFinalLag(s.chain.Name, s.finalLag(ctx, cursor))
	}()
}

// found reports whether a search has ended and found something. One that ended without anything is over.
func (s *Scanner) found() bool {
	if s.search == nil {
		return false
	}
	select {
	case <-s.search.done:
	default:
		return false
	}
	if s.search.worth() {
		return true
	}
	s.endSearch()
	return false
}

// takeFound adds what a search found to a step. What it found does not count when blocks leave the chain, or when the
// final point was given up meanwhile.
func (s *Scanner) takeFound(step *payments.Step, cursor *models.ChainCursor) {
	if step.OrphanFrom != nil {
		s.endSearch()
		return
	}
	if !s.found() {
		return
	}
	q := s.search
	s.endSearch()
	if q.from != cursor.FinalNumber {
		return
	}
	step.Late, step.Refuted = append(step.Late, q.step.Late...), append(step.Refuted, q.step.Refuted...)
	step.Doubts = append(step.Doubts, q.step.Doubts...)
	cursor.FinalNumber = max(cursor.FinalNumber, q.final)
	if q.final == q.from+maxWitnessed { // there is more
		s.round.finalAt = time.Time{}
	}
}

// endSearch gives up a search, and waits for it.
func (s *Scanner) endSearch() {
	if s.search == nil {
		return
	}
	s.search.stop()
	<-s.search.done
	s.search = nil
}
