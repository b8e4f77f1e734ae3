package scanner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	blocksBelowFinal = chain.BlocksBelowFinal
	// maxRecord bounds how many recorded blocks are read to find where a branch begins.
	maxRecord = 1 << 16
)

// round is what is asked once a round: a round ends when the record has caught up, or after roundTime.
type round struct {
	began   time.Time    // since when this process leads
	head    chain.Header // the newest block as last asked
	headAt  time.Time
	finalAt time.Time // when the final point was last looked for
	newAt   time.Time // when the head was last a new one
	told    time.Time // when the operator was last told of a chain that stands still
	doubts  time.Time // when open doubts were last asked about
	counted time.Time // when they were last counted
	unasked time.Time // since when nobody could be asked for a proof
	// rereadFailed is when blocks could last not be read again.
	rereadFailed time.Time
}

// roundTime bounds a round while there is a backlog.
const roundTime = 2 * time.Second

// currentHead is the newest block of the chain. In a backlog it is not asked for each time.
func (s *Scanner) currentHead(ctx context.Context, cursor uint64) (chain.Header, error) {
	now := s.clock()
	if s.round.head.Number > cursor+maxWindow && now.Sub(s.round.headAt) < roundTime {
		return s.round.head, nil
	}
	head, err := s.source.Head(ctx)
	if err != nil {
		return head, err
	}
	if head.Number > s.round.head.Number || s.round.newAt.IsZero() {
		s.round.newAt = now
	}
	s.round.head, s.round.headAt = head, now
	s.metrics.ChainAge(s.chain.Name, now.Sub(s.round.newAt), now.Sub(head.Time))
	return head, nil
}

// step records what the chain has that we have not, some blocks or one reorg, and reports whether there is more.
func (s *Scanner) step(ctx context.Context, fence int64) (more bool, err error) {
	cursor, err := s.store.Cursor(ctx, s.chain.ChainID)
	if errors.Is(err, models.ErrNotFound) {
		head, err := s.source.Head(ctx)
		if err != nil {
			return false, err
		}
		return true, s.begin(ctx, fence, head)
	} else if err != nil {
		return false, err
	}
	head, err := s.currentHead(ctx, cursor.Number)
	if err != nil {
		return false, err
	}
	s.note(func(st *State) { st.Number, st.Head, st.LastSeen = cursor.Number, head.Number, s.clock() })
	s.metrics.ChainHead(s.chain.Name, head.Number, cursor.Number)
	s.metrics.ChainHalted(s.chain.Name, cursor.HaltedAt != nil)
	if err := s.store.SeeChain(ctx, s.chain.ChainID, models.Now(s.clock), seenEvery); err != nil {
		return false, err
	}
	if cursor.HaltedAt != nil {
		return false, ErrHalted
	}
	plan, blocks, err := s.plan(ctx, head, cursor)
	if err != nil {
		return false, err
	}
	switch plan := plan.(type) {
	case chain.Extend:
		more = head.Number > plan.After.Number+uint64(len(blocks))
		return more, s.record(ctx, fence, head, cursor, blocks)
	case chain.Replace:
		return true, s.replace(ctx, fence, head, cursor, plan, blocks)
	case chain.Halt:
		return false, s.halt(ctx, fence, cursor, plan)
	case chain.Wait:
		if plan.Reason == chain.UpToDate {
			if err := s.recordFinal(ctx, fence, head, cursor); err != nil {
				return false, err
			}
			return s.reread(ctx, fence)
		}
		s.tellBehind(ctx, head, cursor)
	}
	return false, nil
}

// seenEvery is how often the time of the chain's last answer is written while no block is.
const seenEvery = 10 * time.Second

// tellBehind tells of a provider whose head is a block that was recorded long ago, or lies below all of them.
func (s *Scanner) tellBehind(ctx context.Context, head chain.Header, cursor models.ChainCursor) {
	if s.clock().Sub(s.round.told) < time.Minute {
		return
	}
	s.round.told = s.clock()
	s.log.WarnContext(ctx, "chain.head_behind", "head", head.Number, "head_hash", head.Hash.Hex(),
		"recorded", cursor.Number, "recorded_hash", cursor.Hash, "behind", cursor.Number-min(head.Number, cursor.Number),
		"do", "wait for the node to catch up; if its chain was reset, run ctripctl chain reset "+s.chain.Name)
}

// tellSilence tells of a chain without a new head for so long that somebody should look.
func (s *Scanner) tellSilence(ctx context.Context) {
	now, limit := s.clock(), max(time.Minute, 10*s.chain.BlockTime)
	since := s.round.newAt
	if since.IsZero() { // nobody has told of a head since this process leads
		since = s.round.began
		s.metrics.ChainSilent(s.chain.Name, now.Sub(since))
	} else {
		s.metrics.ChainAge(s.chain.Name, now.Sub(since), now.Sub(s.round.head.Time))
	}
	if now.Sub(since) < limit || now.Sub(s.round.told) < time.Minute {
		return
	}
	s.round.told = now
	s.log.WarnContext(ctx, "chain.no_new_head", "head", s.round.head.Number, "since", since.UTC(),
		"do", "look at the node or add a second provider; payments on the chain are refused until it moves")
}

// begin puts the cursor where the chain is watched from: the block before start_block, or the head.
func (s *Scanner) begin(ctx context.Context, fence int64, head chain.Header) error {
	at := head
	if start := s.chain.StartBlock; start != nil && *start <= head.Number {
		var err error
		if at, err = s.source.Header(ctx, max(*start, 1)-1); err != nil {
			return err
		}
	}
	final, err := s.source.Final(ctx, at.Number)
	if err != nil { // a provider that is away does not keep the chain from beginning; nothing is final until it is back
		s.log.WarnContext(ctx, "chain.final_unknown", "error", err)
		final = 0
	}
	s.log.InfoContext(ctx, "scanner.begins", "block", at.Number)
	return s.write(ctx, fence, func(tx *store.Tx) error {
		if err := tx.InsertBlocks(ctx, []models.Block{s.row(at, "")}); err != nil {
			return err
		}
		return tx.SaveCursor(ctx, models.ChainCursor{
			ChainID: s.chain.ChainID, Chain: s.chain.Name, Number: at.Number, Hash: at.Hash.Hex(), BlockTime: at.Time,
			HeadNumber: head.Number, FinalNumber: final, UpdatedAt: models.Now(s.clock),
		})
	})
}

// plan reads what [chain.Follow] needs until it decides, and the blocks that the plan asks for. Of those that extend
// the record it reads some, in the order of the chain.
func (s *Scanner) plan(
	ctx context.Context, head chain.Header, cursor models.ChainCursor,
) (chain.Plan, []chain.Block, error) {
	tip, err := ref(cursor.Number, cursor.Hash)
	if err != nil {
		return nil, nil, err
	}
	recorded, theirs := chain.Record{Blocks: []chain.Ref{tip}}, make(map[uint64]chain.Header)
	for {
		switch plan := chain.Follow(recorded, cursor.FinalNumber, head, theirs).(type) {
		case chain.NeedRecord:
			if recorded, err = s.recorded(ctx, cursor); err != nil {
				return nil, nil, err
			}
		case chain.NeedHeader:
			if theirs[plan.Number], err = s.source.Header(ctx, plan.Number); err != nil {
				return nil, nil, err
			}
		case chain.Extend:
			next, err := s.ahead.next(ctx, s.source, plan.After.Number, plan.To)
			if err != nil {
				return nil, nil, err
			}
			if chain.Linked(plan.After, next[0].Header) == nil {
				return plan, next, nil
			}
			s.ahead.drop()
			theirs[plan.After.Number+1] = next[0].Header
		case chain.Replace:
			branch, err := s.branch(ctx, plan)
			return plan, branch, err
		default:
			return plan, nil, nil
		}
	}
}

// recorded reads the record down to the final point and [keepBlocks] below it.
func (s *Scanner) recorded(ctx context.Context, cursor models.ChainCursor) (chain.Record, error) {
	limit := min(cursor.Number-min(cursor.FinalNumber, cursor.Number)+blocksBelowFinal, maxRecord)
	rows, err := s.store.Blocks(ctx, s.chain.ChainID, int(limit))
	if err != nil {
		return chain.Record{}, err
	}
	blocks := make([]chain.Ref, len(rows))
	for i, b := range rows {
		if blocks[i], err = ref(b.Number, b.Hash); err != nil {
			return chain.Record{}, err
		}
	}
	if n := len(blocks); n == 0 || blocks[n-1].Number != cursor.Number {
		return chain.Record{}, fmt.Errorf("scanner: block %d, at which the record ends, is not recorded", cursor.Number)
	}
	return chain.Record{Blocks: blocks, Whole: true}, nil
}

// branch reads the blocks that replace recorded ones.
func (s *Scanner) branch(ctx context.Context, plan chain.Replace) ([]chain.Block, error) {
	var branch []chain.Block
	after := plan.After
	for after.Number < plan.To {
		b, err := s.source.Block(ctx, after.Number+1)
		if err != nil {
			return nil, err
		}
		if err := chain.Linked(after, b.Header); err != nil {
			return nil, fmt.Errorf("scanner: the node's chain does not link, or its branch has changed again: %w", err)
		}
		branch, after = append(branch, b), b.Ref()
	}
	return branch, nil
}

// replace records a reorg as one step: the recorded blocks that go, and the branch that replaces them.
func (s *Scanner) replace(
	ctx context.Context, fence int64, head chain.Header, cursor models.ChainCursor,
	plan chain.Replace, branch []chain.Block,
) error {
	var below []models.Block // the block on which a record begins anew
	ancestor, err := s.store.BlockAt(ctx, s.chain.ChainID, plan.After.Number)
	if plan.Anew {
		var h chain.Header
		if h, err = s.source.Header(ctx, plan.After.Number); err == nil && h.Ref() != plan.After {
			err = fmt.Errorf("scanner: block %d is %s now, and was %s: the branch has changed again", h.Number, h.Hash,
				plan.After.Hash)
		}
		ancestor = s.row(h, "")
		below = []models.Block{ancestor}
	}
	if err != nil {
		return err
	}
	if plan.Depth > 0 {
		s.metrics.Reorg(s.chain.Name, int(plan.Depth))
		s.log.WarnContext(ctx, "chain.reorged", "ancestor", ancestor.Number, "depth", plan.Depth, "blocks", len(branch))
	}
	from := ancestor.Number + 1
	cursor.Number, cursor.Hash, cursor.BlockTime = ancestor.Number, ancestor.Hash, ancestor.Time
	return s.recordOn(ctx, fence, head, cursor, &from, below, branch)
}

// halt stops the chain until an operator has looked. Payments keep what they are.
func (s *Scanner) halt(ctx context.Context, fence int64, cursor models.ChainCursor, plan chain.Halt) error {
	at := models.Now(s.clock)
	cursor.HaltedAt, cursor.HaltReason, cursor.UpdatedAt = &at, plan.String(), at
	if plan.Reason == chain.NothingShared || plan.Recorded.Number == 0 {
		cursor.HaltReason += "; if the chain began anew, ctripctl chain reset " + s.chain.Name + " records it from its start"
	}
	if err := s.write(ctx, fence, func(tx *store.Tx) error { return tx.SaveCursor(ctx, cursor) }); err != nil {
		return err
	}
	s.metrics.ChainHalted(s.chain.Name, true)
	s.log.ErrorContext(ctx, "chain.halted", "reason", cursor.HaltReason)
	return ErrHalted
}

// write runs a transaction behind the fence of the lease.
func (s *Scanner) write(ctx context.Context, fence int64, do func(*store.Tx) error) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.HoldFence(ctx, s.chain.ChainID, s.holder, fence); err != nil {
			return err
		}
		return do(tx)
	})
}

func (s *Scanner) row(h chain.Header, provider string) models.Block {
	return models.Block{
		ChainID: s.chain.ChainID, Number: h.Number, Hash: h.Hash.Hex(), ParentHash: h.Parent.Hex(), Time: h.Time,
		Provider: provider,
	}
}

// ref is a block as it is recorded.
func ref(number uint64, hash string) (chain.Ref, error) {
	h, err := chain.ParseHash(hash)
	if err != nil {
		return chain.Ref{}, fmt.Errorf("scanner: recorded block %d: %w", number, err)
	}
	return chain.Ref{Number: number, Hash: h}, nil
}
