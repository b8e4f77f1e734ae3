package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ErrNotHalted is returned when a chain that follows its blocks is told to go on.
var ErrNotHalted = errors.New("the chain is not halted")

// ErrLiveChain is returned when a chain whose money is worth something is to be reset without a second word.
var ErrLiveChain = errors.New(
	"the chain is not marked test: what was paid on it is taken back; say so with --yes if that is meant")

// Chain is how far a chain has been recorded.
type Chain struct {
	Chain       string     `json:"chain"`
	ChainID     uint64     `json:"chain_id"`
	Number      uint64     `json:"block_number"`
	BlockTime   time.Time  `json:"block_time"`
	HeadNumber  uint64     `json:"head_number"`
	FinalNumber uint64     `json:"final_number"`
	HaltedAt    *time.Time `json:"halted_at"`
	HaltReason  string     `json:"halt_reason"`
	// SeenAt is when the chain last answered, AgeSeconds how long ago that is.
	SeenAt     *time.Time `json:"seen_at"`
	AgeSeconds *int64     `json:"age_seconds"`
	Doubts     int        `json:"open_doubts"`
}

// Chains lists the chains that have ever been scanned.
func (s *Service) Chains(ctx context.Context) ([]Chain, error) {
	cursors, err := s.store.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	chains := make([]Chain, len(cursors))
	for i, c := range cursors {
		if chains[i], err = s.chainOf(ctx, &s.store.Queries, c); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// ChainIn is how far one chain has been recorded, as a transaction sees it.
func (s *Service) ChainIn(ctx context.Context, q *store.Queries, name string) (Chain, error) {
	c, err := cursorOf(ctx, q, name)
	if err != nil {
		return Chain{}, err
	}
	return s.chainOf(ctx, q, c)
}

func (s *Service) chainOf(ctx context.Context, q *store.Queries, c models.ChainCursor) (Chain, error) {
	view := Chain{
		Chain: c.Chain, ChainID: c.ChainID, Number: c.Number, BlockTime: c.BlockTime.UTC(), HeadNumber: c.HeadNumber,
		FinalNumber: c.FinalNumber, HaltedAt: utc(c.HaltedAt), HaltReason: c.HaltReason, SeenAt: utc(c.SeenAt),
	}
	if c.SeenAt != nil {
		age := int64(s.now().Sub(*c.SeenAt).Seconds())
		view.AgeSeconds = &age
	}
	var err error
	view.Doubts, err = q.CountOpenDoubts(ctx, c.ChainID)
	return view, err
}

// ChainStatus is one chain as it is recorded, and what each of its providers says now.
type ChainStatus struct {
	Chain
	Providers []ProviderStatus `json:"providers"`
	// Proofs says what of the chain's blocks can be held against their hashes, and why the rest cannot.
	Proofs string `json:"proofs"`
}

// ProviderStatus is what a provider says when it is asked for its head.
type ProviderStatus struct {
	Provider string `json:"provider"`
	Head     uint64 `json:"head"`
	Error    string `json:"error,omitempty"`
}

// Status looks at one chain and asks its providers.
func (s *Service) Status(ctx context.Context, name string) (st ChainStatus, err error) {
	_, pool, err := s.pool(ctx, name)
	if err != nil {
		return st, err
	}
	defer pool.Close()
	switch c, err := cursorOf(ctx, &s.store.Queries, name); {
	case errors.Is(err, models.ErrNotFound):
		st.Chain.Chain = name
	case err != nil:
		return st, err
	default:
		if st.Chain, err = s.chainOf(ctx, &s.store.Queries, c); err != nil {
			return st, err
		}
	}
	st.Providers = []ProviderStatus{}
	for _, h := range pool.EachHead(ctx) {
		p := ProviderStatus{Provider: h.Provider, Head: h.Head.Number}
		if h.Err != nil {
			p.Error = h.Err.Error()
		}
		st.Providers = append(st.Providers, p)
	}
	st.Proofs = ProofText(pool.Proofs(ctx))
	return st, nil
}

// AcceptReorg lets a halted chain go on: its scanner may then walk back below what was final, and payments that were
// confirmed can lose their money again, which only a person may decide.
func (s *Service) AcceptReorg(ctx context.Context, tx *store.Tx, actor models.Actor, name string) error {
	c, err := cursorOf(ctx, &tx.Queries, name)
	if err != nil {
		return err
	}
	if c.HaltedAt == nil {
		return fmt.Errorf("%s: %w", name, ErrNotHalted)
	}
	if err := tx.AcceptReorg(ctx, c.ChainID); err != nil {
		return err
	}
	return tx.Audit(ctx, s.line(actor, "chain.reorg_accepted", name, map[string]string{"reason": c.HaltReason}))
}

// Reset is a chain that is to be recorded anew from a block on.
type Reset struct {
	chain  config.Chain
	start  uint64
	reason string
	before chain.Header
}

// PrepareReset checks that a chain may be reset, and asks it for the block before the first one. What was recorded of
// the chain from there on is then taken back by [Service.Reset]. It is for a chain that began anew itself, such as a
// development chain; yes says that a chain that is not marked test is meant.
func (s *Service) PrepareReset(ctx context.Context, name string, start uint64, reason string, yes bool) (Reset, error) {
	r := Reset{start: max(start, 1), reason: reason}
	c, pool, err := s.pool(ctx, name)
	if err != nil {
		return r, err
	}
	defer pool.Close()
	switch r.chain = c; {
	case strings.TrimSpace(reason) == "":
		return r, models.FieldErrors{{Field: "reason", Message: "is required", Example: "the test network began anew"}}
	case !c.Test && !yes:
		return r, fmt.Errorf("%s: %w", name, ErrLiveChain)
	}
	if _, err := cursorOf(ctx, &s.store.Queries, name); err != nil {
		return r, err
	}
	if r.before, err = pool.Header(ctx, r.start-1); errors.Is(err, evm.ErrMissing) {
		return r, models.FieldErrors{{Field: "start_block", Example: "1",
			Message: fmt.Sprintf("is above the chain: no provider of %s has block %d", name, r.start-1)}}
	}
	return r, atProviders(err)
}

// Reset takes back what was recorded of a chain, and has its scanner begin anew.
func (s *Service) Reset(ctx context.Context, tx *store.Tx, actor models.Actor, r Reset) error {
	now, id := s.now(), r.chain.ChainID
	cursor, err := tx.Cursor(ctx, id)
	if err != nil {
		return err
	}
	if err := tx.BreakLease(ctx, id); err != nil {
		return err
	}
	changes, err := s.payments.Reset(ctx, tx, id, r.start)
	if err != nil {
		return err
	}
	if err := tx.DropBlocksFrom(ctx, id, 0); err != nil {
		return err
	}
	b := r.before
	if err := tx.InsertBlocks(ctx, []models.Block{{
		ChainID: id, Number: b.Number, Hash: b.Hash.Hex(), ParentHash: b.Parent.Hex(), Time: b.Time,
	}}); err != nil {
		return err
	}
	if err := tx.SaveCursor(ctx, models.ChainCursor{
		ChainID: id, Chain: r.chain.Name, Number: b.Number, Hash: b.Hash.Hex(), BlockTime: b.Time,
		HeadNumber: b.Number, FinalNumber: b.Number, UpdatedAt: now, SeenAt: &now, Known: cursor.Known,
	}); err != nil {
		return err
	}
	return tx.Audit(ctx, s.line(actor, "chain.reset", r.chain.Name, map[string]string{
		"start_block": fmt.Sprint(r.start), "was_at": fmt.Sprint(cursor.Number), "payments": fmt.Sprint(len(changes)),
		"reason": r.reason,
	}))
}
