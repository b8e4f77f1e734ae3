package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/scanner"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// auditedTime is how much of a chain is audited where nobody says from which block on.
const auditedTime = 24 * time.Hour

// Rescanned is what a second look at blocks came to.
type Rescanned struct {
	Chain     string  `json:"chain"`
	From      uint64  `json:"from"`
	To        uint64  `json:"to"`
	Blocks    int     `json:"blocks"`
	Transfers int     `json:"transfers"`
	Credited  int     `json:"credited"`
	Doubts    int     `json:"doubts"`
	NextFrom  *uint64 `json:"next_from"` // to go on from, where time ran out
}

// Rescan reads recorded blocks once more and credits what is missing; to 0 means the last recorded block. It ends early
// when half of the time that ctx leaves is over.
func (s *Service) Rescan(ctx context.Context, actor models.Actor, name string, from, to uint64) (Rescanned, error) {
	r := Rescanned{Chain: name, From: from}
	c, pool, err := s.pool(ctx, name)
	if err != nil {
		return r, err
	}
	defer pool.Close()
	if r.To, err = s.upTo(ctx, name, from, to); err != nil {
		return r, err
	}
	done, err := scanner.Rescan(ctx, c, pool, s.store, s.payments, from, r.To)
	r.Blocks, r.Transfers, r.Credited, r.Doubts = done.Blocks, done.Transfers, done.Credited, done.Doubts
	r.NextFrom = orNil(done.Next)
	if err != nil {
		return r, atProviders(err)
	}
	return r, s.audited(ctx, s.line(actor, "chain.rescanned", name, map[string]string{
		"from": fmt.Sprint(from), "to": fmt.Sprint(from + uint64(done.Blocks) - 1), "credited": fmt.Sprint(done.Credited),
	}))
}

// upTo is the last block of a range of recorded blocks.
func (s *Service) upTo(ctx context.Context, name string, from, to uint64) (uint64, error) {
	cursor, err := cursorOf(ctx, &s.store.Queries, name)
	if err != nil {
		return 0, err
	}
	if to == 0 || to > cursor.Number {
		to = cursor.Number
	}
	if from > to {
		return 0, models.FieldErrors{{Field: "from", Example: fmt.Sprint(to),
			Message: fmt.Sprintf("is above block %d, the last one of the range that is recorded", to)}}
	}
	return to, nil
}

func orNil(n uint64) *uint64 {
	if n == 0 {
		return nil
	}
	return &n
}

func (s *Service) audited(ctx context.Context, line models.AuditEntry) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error { return tx.Audit(ctx, line) })
}

// ChainAudit is what an independent reading of a chain by one provider came to.
type ChainAudit struct {
	Chain       string               `json:"chain"`
	Provider    string               `json:"provider"`
	From        uint64               `json:"from"`
	To          uint64               `json:"to"`
	Blocks      int                  `json:"blocks"`
	Transfers   int                  `json:"transfers"`
	Unknown     int                  `json:"unknown"` // transfers of which the provider cannot tell
	Differences []scanner.Difference `json:"differences"`
	NextFrom    *uint64              `json:"next_from"` // to go on from, where time ran out or too much differs
}

// AuditOf says what is to be audited.
type AuditOf struct {
	Chain    string
	Provider string // as `ctripctl chain status` names it, or a URL where Foreign allows that
	From, To uint64 // 0 means the last day, and the last recorded block
	Foreign  bool   // a provider that CHAINS_FILE does not have may be asked
}

// Audit has one provider read recorded blocks by itself and holds its transfers against the record. It changes nothing.
func (s *Service) Audit(ctx context.Context, of AuditOf) (ChainAudit, error) {
	a := ChainAudit{Chain: of.Chain, Provider: of.Provider, From: of.From, Differences: []scanner.Difference{}}
	c, err := s.oneProvider(ctx, of)
	if err != nil {
		return a, err
	}
	pool, err := s.connect(c)
	if err != nil {
		return a, err
	}
	defer pool.Close()
	cursor, err := cursorOf(ctx, &s.store.Queries, of.Chain)
	if err != nil {
		return a, err
	}
	if a.From == 0 {
		first, err := scanner.FirstSince(ctx, pool, cursor.Number, cursor.BlockTime.Add(-auditedTime))
		if err != nil {
			return a, atProviders(err)
		}
		a.From = first
	}
	if a.To, err = s.upTo(ctx, of.Chain, a.From, of.To); err != nil {
		return a, err
	}
	done, err := scanner.Audit(ctx, c, pool, s.store, a.From, a.To)
	a.Blocks, a.Transfers, a.Unknown, a.NextFrom = done.Blocks, done.Transfers, done.Unknown, orNil(done.Next)
	a.Differences = append(a.Differences, done.Differences...)
	return a, atProviders(err)
}

// oneProvider is a chain with nobody but the provider that is to be asked.
func (s *Service) oneProvider(ctx context.Context, of AuditOf) (config.Chain, error) {
	c, pool, err := s.pool(ctx, of.Chain)
	if err != nil {
		return c, err
	}
	names := pool.Names()
	pool.Close()
	for i, name := range names {
		if name == of.Provider {
			c.RPCURLs = c.RPCURLs[i : i+1]
			return c, nil
		}
	}
	if of.Foreign && strings.Contains(of.Provider, "://") {
		c.RPCURLs = []config.URL{config.URL(of.Provider)}
		return c, nil
	}
	return c, models.FieldErrors{{Field: "provider", Example: names[0],
		Message: "is no provider of chain " + of.Chain + ", which has " + strings.Join(names, ", ")}}
}

// Reconciled is what the balances of open payments came to.
type Reconciled struct {
	Chain       string                      `json:"chain"`
	Block       uint64                      `json:"block_number"`
	Payments    int                         `json:"payments"`
	Credited    int                         `json:"credited"`
	Doubts      int                         `json:"doubts"`
	Differences []scanner.BalanceDifference `json:"differences"`
	NextFrom    *uint64                     `json:"next_from"` // to rescan from, where time ran out
}

// Reconcile reads what the addresses of open payments hold now, credits coin that nothing explains, and searches for
// the logs of tokens of which more is held than recorded.
func (s *Service) Reconcile(ctx context.Context, actor models.Actor, name string) (Reconciled, error) {
	r := Reconciled{Chain: name, Differences: []scanner.BalanceDifference{}}
	c, pool, err := s.pool(ctx, name)
	if err != nil {
		return r, err
	}
	defer pool.Close()
	if _, err := cursorOf(ctx, &s.store.Queries, name); err != nil {
		return r, err
	}
	done, err := scanner.Reconcile(ctx, c, pool, s.store, s.payments)
	r.Block, r.Payments, r.Credited, r.Doubts = done.Block, done.Payments, done.Credited, done.Doubts
	r.Differences, r.NextFrom = append(r.Differences, done.Differences...), orNil(done.SearchFrom)
	if err != nil {
		return r, atProviders(err)
	}
	return r, s.audited(ctx, s.line(actor, "chain.reconciled", name, map[string]string{
		"block": fmt.Sprint(done.Block), "payments": fmt.Sprint(done.Payments), "credited": fmt.Sprint(done.Credited),
		"differences": fmt.Sprint(len(done.Differences)),
	}))
}
