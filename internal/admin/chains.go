package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// ErrNotHalted is returned when a chain that follows its blocks is told to go on.
var ErrNotHalted = errors.New("the chain is not halted")

// Chain is how far a chain has been recorded, as an operator sees it.
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
func (a *Admin) Chains(ctx context.Context) ([]Chain, error) {
	cursors, err := a.store.Cursors(ctx)
	if err != nil {
		return nil, err
	}
	chains := make([]Chain, len(cursors))
	for i, c := range cursors {
		if chains[i], err = a.chainOf(ctx, c); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

func (a *Admin) chainOf(ctx context.Context, c models.ChainCursor) (Chain, error) {
	view := Chain{
		Chain: c.Chain, ChainID: c.ChainID, Number: c.Number, BlockTime: c.BlockTime.UTC(), HeadNumber: c.HeadNumber,
		FinalNumber: c.FinalNumber, HaltedAt: utc(c.HaltedAt), HaltReason: c.HaltReason, SeenAt: utc(c.SeenAt),
	}
	if c.SeenAt != nil {
		age := int64(a.now().Sub(*c.SeenAt).Seconds())
		view.AgeSeconds = &age
	}
	var err error
	view.Doubts, err = a.store.CountOpenDoubts(ctx, c.ChainID)
	return view, err
}

// cursor is how far a chain has been recorded, by the name of the chain.
func (a *Admin) cursor(ctx context.Context, name string) (models.ChainCursor, error) {
	cursors, err := a.store.Cursors(ctx)
	if err != nil {
		return models.ChainCursor{}, err
	}
	for _, c := range cursors {
		if c.Chain == name {
			return c, nil
		}
	}
	return models.ChainCursor{}, fmt.Errorf("chain %q: %w", name, models.ErrNotFound)
}

// AcceptReorg lets a halted chain go on: its scanner may then walk back below what was final, and payments that were
// confirmed can lose their money again, which only a person may decide.
func (a *Admin) AcceptReorg(ctx context.Context, name string) error {
	c, err := a.cursor(ctx, name)
	if err != nil {
		return err
	}
	if c.HaltedAt == nil {
		return fmt.Errorf("%s: %w", name, ErrNotHalted)
	}
	return a.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.AcceptReorg(ctx, c.ChainID); err != nil {
			return err
		}
		return tx.Audit(ctx, models.AuditEntry{
			At: a.utc(), Actor: a.actor.Name, Action: "chain.reorg_accepted", Subject: name,
			Detail: map[string]string{"reason": c.HaltReason},
		})
	})
}
