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
	// next. One of a merchant of whom none is under way is begun all the same, up to maxGroupCommits.
	groupCommits    = 2
	maxGroupCommits = 4
	// maxBatch is how many payments share a transaction, at most; mixedBatch how many of each merchant, where several
	// merchants share it.
	maxBatch   = 64
	mixedBatch = 16
	// aloneOfMerchant is how many payments of a merchant are written alone at once.
	aloneOfMerchant = 4
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
	// claims are what only one creation at a time can have; see claimsOf.
	claims []string
	// deadline is until when it waits for a lock, once it has waited for one in vain.
	deadline time.Time
}

// ErrCommitUnknown is a COMMIT without an answer: the payment may exist.
var ErrCommitUnknown = errors.New("the database did not answer the COMMIT")

// groupCommit writes new payments. Those that come while others are written share the next transaction, because one
// costs about the same however many payments are in it. What the database refuses of several is tried again one by one,
// so that a payment fails for its own reasons alone. What several merchants want at once is written in turn, and those
// who want the same key or order wait for each other here, where they hold no connection.
type groupCommit struct {
	store       *store.Store
	maxAttempts int

	mu        sync.Mutex
	waiting   []*creation
	working   int                  // transactions of several
	claimed   map[string]bool      // by what is under way
	merchants map[string]*underWay // merchants of whom something is under way
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
		return &unknownCommit{fmt.Errorf("payments: commit of %d: %w", len(batch), err)}
	}
	return err
}
