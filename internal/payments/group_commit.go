package payments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// groupCommits is how many transactions of new payments are under way at once; what comes meanwhile waits for the
	// next.
	groupCommits = 2
	// maxBatch is how many payments share a transaction, at most.
	maxBatch = 64
	// commitTimeout bounds a transaction, which serves many requests and so has no context of its own.
	commitTimeout = 20 * time.Second
	// shortLockTimeout is how long a transaction of several waits for a key or an order that somebody else is writing.
	// Then each of its payments goes alone, so that only the one concerned waits on, for longLockTimeout.
	shortLockTimeout = 100 * time.Millisecond
	longLockTimeout  = 10 * time.Second
)

// creation is a payment that is to be written, with its event and the record of the request's idempotency key, if it
// has one.
type creation struct {
	payment models.Payment
	event   models.Event
	record  *models.IdempotencyRecord
	line    models.AuditEntry
	actor   models.Actor
	done    chan error
}

// ErrCommitUnknown is a COMMIT without an answer: the payment may exist.
var ErrCommitUnknown = errors.New("the database did not answer the COMMIT")

// groupCommit writes new payments. Those that come while others are written share the next transaction, because one
// costs about the same however many payments are in it. What the database refuses of several is tried again one by one,
// so that a payment fails for its own reasons alone.
type groupCommit struct {
	store       *store.Store
	maxAttempts int

	mu      sync.Mutex
	waiting []*creation
	working int
}

// write returns when the payment is committed, or why it is not; [ErrCommitUnknown] when it may be.
func (g *groupCommit) write(n *creation) error {
	if n.payment.Replaces != nil { // it waits for a row that somebody else may hold, and nobody else should
		return g.writeBatch([]*creation{n}, longLockTimeout)
	}
	n.done = make(chan error, 1)
	g.mu.Lock()
	g.waiting = append(g.waiting, n)
	if g.working < groupCommits {
		g.working++
		go g.work()
	}
	g.mu.Unlock()
	return <-n.done
}

// work writes whatever waits, until nothing does.
func (g *groupCommit) work() {
	for {
		g.mu.Lock()
		batch := g.waiting[:min(maxBatch, len(g.waiting))]
		g.waiting = g.waiting[len(batch):]
		if len(batch) == 0 {
			g.working--
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		err := g.writeBatch(batch, shortLockTimeout)
		unknown := errors.Is(err, ErrCommitUnknown)
		for _, n := range batch {
			if store.IsConflict(err) && !unknown && (len(batch) > 1 || errors.Is(err, store.ErrLockTimeout)) {
				go func() { n.done <- g.writeBatch([]*creation{n}, longLockTimeout) }()
				continue
			}
			n.done <- err
		}
	}
}

// writeBatch writes a batch in one transaction, in which no statement waits longer than lockTimeout for another one.
func (g *groupCommit) writeBatch(batch []*creation, lockTimeout time.Duration) error {
	var payments []models.Payment
	var events []models.Event
	var records []models.IdempotencyRecord
	var lines []models.AuditEntry
	for _, n := range batch {
		payments, events = append(payments, n.payment), append(events, n.event)
		lines = append(lines, n.line)
		if n.record != nil {
			records = append(records, *n.record)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	committing := false
	err := g.store.InTx(ctx, func(tx *store.Tx) error {
		committing = false
		if err := tx.WaitAtMost(ctx, lockTimeout); err != nil {
			return err
		}
		lines := slices.Clone(lines)
		for _, n := range batch {
			if n.payment.Replaces != nil {
				line, err := giveUpOrder(ctx, tx, n.actor, n.payment)
				if err != nil {
					return err
				}
				lines = append(lines, line)
			}
		}
		if err := tx.InsertPayments(ctx, payments); err != nil {
			return err
		}
		if _, err := outbox.Publish(ctx, tx, events, g.maxAttempts); err != nil {
			return err
		}
		if err := tx.AuditAll(ctx, lines); err != nil {
			return err
		}
		err := tx.SaveAnswers(ctx, records)
		committing = err == nil
		return err
	})
	if err != nil && committing {
		return fmt.Errorf("payments: commit of %d: %w: %w", len(batch), ErrCommitUnknown, err)
	}
	return err
}
