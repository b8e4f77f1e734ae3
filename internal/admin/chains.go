package admin

import (
	"context"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
)

// What is done about chains is in internal/operate, where the operator's routes find it too.
type (
	// Chain is how far a chain has been recorded.
	Chain = operate.Chain
	// ChainStatus is one chain as it is recorded, and what each of its providers says now.
	ChainStatus = operate.ChainStatus
	// Rescanned is what a second look at blocks came to.
	Rescanned = operate.Rescanned
	// ChainAudit is what an independent reading of a chain by one provider came to.
	ChainAudit = operate.ChainAudit
	// Reconciled is what the balances of open payments came to.
	Reconciled = operate.Reconciled
	// Doubt is a transfer about which the providers of a chain contradict each other.
	Doubt = operate.Doubt
	// Quarantined is a payment that could not be recomputed and was set aside.
	Quarantined = operate.Quarantined
)

// Errors of operations on chains.
var (
	ErrNotHalted = operate.ErrNotHalted
	ErrLiveChain = operate.ErrLiveChain
)

// operate makes the service of what is done about chains.
func (a *Admin) operate() (*operate.Service, error) {
	p, err := wiring.Payments(a.cfg, a.store, nil, a.now, a.log, nil)
	if err != nil {
		return nil, err
	}
	return operate.New(operate.Options{
		Store: a.store, Payments: p, Chains: a.cfg.Chains, Now: a.now,
		Connect: func(c config.Chain) (*evm.Pool, error) { return wiring.Chain(c, a.now, a.log, nil) },
	})
}

// asked runs something that reads.
func asked[T any](a *Admin, read func(*operate.Service) (T, error)) (T, error) {
	s, err := a.operate()
	if err != nil {
		var none T
		return none, err
	}
	return read(s)
}

// done runs something that changes the record, in one transaction.
func done[T any](ctx context.Context, a *Admin, change func(*operate.Service, *store.Tx) (T, error)) (v T, err error) {
	s, err := a.operate()
	if err != nil {
		return v, err
	}
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		v, err = change(s, tx)
		return err
	})
	return v, err
}

// Chains lists the chains that have ever been scanned.
func (a *Admin) Chains(ctx context.Context) ([]Chain, error) {
	return asked(a, func(s *operate.Service) ([]Chain, error) { return s.Chains(ctx) })
}

// ChainStatus looks at one chain and asks its providers.
func (a *Admin) ChainStatus(ctx context.Context, name string) (ChainStatus, error) {
	return asked(a, func(s *operate.Service) (ChainStatus, error) { return s.Status(ctx, name) })
}

// Rescan reads recorded blocks once more and credits what is missing; to 0 means the last recorded block.
func (a *Admin) Rescan(ctx context.Context, name string, from, to uint64) (Rescanned, error) {
	return asked(a, func(s *operate.Service) (Rescanned, error) { return s.Rescan(ctx, a.actor, name, from, to) })
}

// AuditChain has one provider read recorded blocks by itself and holds its transfers against the record.
func (a *Admin) AuditChain(ctx context.Context, name, provider string, from, to uint64) (ChainAudit, error) {
	return asked(a, func(s *operate.Service) (ChainAudit, error) {
		return s.Audit(ctx, operate.AuditOf{Chain: name, Provider: provider, From: from, To: to, Foreign: true})
	})
}

// Reconcile reads what the addresses of open payments hold now and credits what nothing explains.
func (a *Admin) Reconcile(ctx context.Context, name string) (Reconciled, error) {
	return asked(a, func(s *operate.Service) (Reconciled, error) { return s.Reconcile(ctx, a.actor, name) })
}

// AcceptReorg lets a halted chain go on.
func (a *Admin) AcceptReorg(ctx context.Context, name string) error {
	_, err := done(ctx, a, func(s *operate.Service, tx *store.Tx) (struct{}, error) {
		return struct{}{}, s.AcceptReorg(ctx, tx, a.actor, name)
	})
	return err
}

// ResetChain takes back what was recorded of a chain from a block on, and has its scanner begin there anew.
func (a *Admin) ResetChain(ctx context.Context, name string, start uint64, reason string, yes bool) error {
	r, err := asked(a, func(s *operate.Service) (operate.Reset, error) {
		return s.PrepareReset(ctx, name, start, reason, yes)
	})
	if err != nil {
		return err
	}
	_, err = done(ctx, a, func(s *operate.Service, tx *store.Tx) (struct{}, error) {
		return struct{}{}, s.Reset(ctx, tx, a.actor, r)
	})
	return err
}

// Doubts lists the newest doubts; with all also those that are settled.
func (a *Admin) Doubts(ctx context.Context, all bool) ([]Doubt, error) {
	return asked(a, func(s *operate.Service) ([]Doubt, error) { return s.Doubts(ctx, all) })
}

// Doubt reads one doubt.
func (a *Admin) Doubt(ctx context.Context, id string) (Doubt, error) {
	return asked(a, func(s *operate.Service) (Doubt, error) { return s.Doubt(ctx, id) })
}

// SettleDoubt accepts or rejects a doubt.
func (a *Admin) SettleDoubt(ctx context.Context, id string, accept bool, reason string) (Doubt, error) {
	return done(ctx, a, func(s *operate.Service, tx *store.Tx) (Doubt, error) {
		return s.SettleDoubt(ctx, tx, a.actor, id, accept, reason)
	})
}

// Quarantine lists the payments that are set aside, those that wait longest first.
func (a *Admin) Quarantine(ctx context.Context) ([]Quarantined, error) {
	return asked(a, func(s *operate.Service) ([]Quarantined, error) { return s.Quarantine(ctx) })
}

// RetryQuarantine recomputes the payments that are set aside, at once, and returns those that still are.
func (a *Admin) RetryQuarantine(ctx context.Context) ([]Quarantined, error) {
	return done(ctx, a, func(s *operate.Service, tx *store.Tx) ([]Quarantined, error) {
		return s.RetryQuarantine(ctx, tx, a.actor)
	})
}
