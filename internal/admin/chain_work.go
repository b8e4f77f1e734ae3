package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// ErrLiveChain is returned when a chain whose money is worth something is to be reset without a second word.
var ErrLiveChain = errors.New(
	"the chain is not marked test: what was paid on it is taken back; say so with --yes if that is meant")

// configured is the entry of a chain in CHAINS_FILE.
func (a *Admin) configured(name string) (config.Chain, error) {
	for _, c := range a.cfg.Chains {
		if c.Name == name {
			return c, nil
		}
	}
	return config.Chain{}, fmt.Errorf("chain %q is not in CHAINS_FILE: %w", name, models.ErrNotFound)
}

// pool connects to the providers of a chain.
func (a *Admin) pool(name string) (config.Chain, *evm.Pool, error) {
	c, err := a.configured(name)
	if err != nil {
		return c, nil, err
	}
	pool, err := wiring.Chain(c, a.now, a.log, nil)
	return c, pool, err
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

// ChainStatus looks at one chain and asks its providers.
func (a *Admin) ChainStatus(ctx context.Context, name string) (s ChainStatus, err error) {
	_, pool, err := a.pool(name)
	if err != nil {
		return s, err
	}
	defer pool.Close()
	switch c, err := a.cursor(ctx, name); {
	case errors.Is(err, models.ErrNotFound):
		s.Chain.Chain = name
	case err != nil:
		return s, err
	default:
		if s.Chain, err = a.chainOf(ctx, c); err != nil {
			return s, err
		}
	}
	for _, h := range pool.EachHead(ctx) {
		p := ProviderStatus{Provider: h.Provider, Head: h.Head.Number}
		if h.Err != nil {
			p.Error = h.Err.Error()
		}
		s.Providers = append(s.Providers, p)
	}
	s.Proofs = proofText(pool.Proofs(ctx))
	return s, nil
}

// Rescanned is what a second look at blocks came to.
type Rescanned struct {
	Chain     string `json:"chain"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
	Blocks    int    `json:"blocks"`
	Transfers int    `json:"transfers"`
	Credited  int    `json:"credited"`
	Doubts    int    `json:"doubts"`
}

// Rescan reads recorded blocks once more and credits what is missing; to 0 means the last recorded block.
func (a *Admin) Rescan(ctx context.Context, name string, from, to uint64) (Rescanned, error) {
	c, pool, err := a.pool(name)
	if err != nil {
		return Rescanned{}, err
	}
	defer pool.Close()
	cursor, err := a.cursor(ctx, name)
	if err != nil {
		return Rescanned{}, err
	}
	if to == 0 || to > cursor.Number {
		to = cursor.Number
	}
	if from > to {
		return Rescanned{}, models.FieldErrors{{Field: "from", Example: fmt.Sprint(to),
			Message: fmt.Sprintf("is above block %d, the last one that is recorded", to)}}
	}
	s, err := a.payments()
	if err != nil {
		return Rescanned{}, err
	}
	done, err := scanner.Rescan(ctx, c, pool, a.store, s, from, to)
	r := Rescanned{Chain: name, From: from, To: to, Blocks: done.Blocks, Transfers: done.Transfers,
		Credited: done.Credited,
		Doubts:   done.Doubts}
	if err != nil {
		return r, err
	}
	return r, a.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, models.AuditEntry{
			At: a.utc(), Actor: a.actor.Name, Action: "chain.rescanned", Subject: name,
			Detail: map[string]string{"from": fmt.Sprint(from), "to": fmt.Sprint(to), "credited": fmt.Sprint(done.Credited)},
		})
	})
}

// ResetChain takes back what was recorded of a chain from a block on, and has its scanner begin there anew. It is for a
// chain that began anew itself, such as a development chain.
func (a *Admin) ResetChain(ctx context.Context, name string, start uint64, reason string, yes bool) error {
	c, pool, err := a.pool(name)
	if err != nil {
		return err
	}
	defer pool.Close()
	switch {
	case strings.TrimSpace(reason) == "":
		return models.FieldErrors{{Field: "reason", Message: "is required", Example: "the test network began anew"}}
	case !c.Test && !yes:
		return fmt.Errorf("%s: %w", name, ErrLiveChain)
	}
	cursor, err := a.cursor(ctx, name)
	if err != nil {
		return err
	}
	before, err := pool.Header(ctx, max(start, 1)-1)
	if err != nil {
		return err
	}
	s, err := a.payments()
	if err != nil {
		return err
	}
	now := a.utc()
	return a.store.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.BreakLease(ctx, c.ChainID); err != nil {
			return err
		}
		changes, err := s.Reset(ctx, tx, c.ChainID, max(start, 1))
		if err != nil {
			return err
		}
		if err := tx.DropBlocksFrom(ctx, c.ChainID, 0); err != nil {
			return err
		}
		if err := tx.InsertBlocks(ctx, []models.Block{{
			ChainID: c.ChainID, Number: before.Number, Hash: before.Hash.Hex(), ParentHash: before.Parent.Hex(),
			Time: before.Time,
		}}); err != nil {
			return err
		}
		if err := tx.SaveCursor(ctx, models.ChainCursor{
			ChainID: c.ChainID, Chain: name, Number: before.Number, Hash: before.Hash.Hex(), BlockTime: before.Time,
			HeadNumber: before.Number, FinalNumber: before.Number, UpdatedAt: now, SeenAt: &now,
		}); err != nil {
			return err
		}
		return tx.Audit(ctx, models.AuditEntry{
			At: now, Actor: a.actor.Name, Action: "chain.reset", Subject: name, Detail: map[string]string{
				"start_block": fmt.Sprint(start), "was_at": fmt.Sprint(cursor.Number), "payments": fmt.Sprint(len(changes)),
				"reason": reason,
			},
		})
	})
}
