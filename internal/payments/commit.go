package payments

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// committers is how many transactions of new payments are under way at once; what comes meanwhile waits for the next.
	committers = 2
	// together is how many payments share a transaction, at most.
	together = 64
	// commitTimeout bounds a transaction, which serves many requests and so belongs to none.
	commitTimeout = 20 * time.Second
	// heldBriefly is how long a transaction waits for a key or an order that somebody else is writing; after that each of
	// its payments goes alone, and only the one concerned waits on, for heldLong (ruling 21).
	heldBriefly = 100 * time.Millisecond
	heldLong    = 10 * time.Second
)

// creation is a payment that is to be written, with its event and, if the request has an idempotency key, its answer.
type creation struct {
	payment models.Payment
	event   models.Event
	answer  *models.IdempotencyRecord
	done    chan error
}

// unsureError is a COMMIT without an answer: the payment may exist.
type unsureError struct{ error }

func (e unsureError) Unwrap() error { return e.error }

// committer writes new payments into the record. Those that come while others are written share the next transaction,
// because one costs about the same however many payments are in it. What the database refuses of several is tried again
// one by one, so that nobody has to answer for his neighbours.
type committer struct {
	store       *store.Store
	maxAttempts int

	mu      sync.Mutex
	waiting []*creation
	working int
}

// commit returns when the payment is in the record, or with the reason why it is not; [unsureError] when it may be.
func (c *committer) commit(n *creation) error {
	n.done = make(chan error, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, n)
	if c.working < committers {
		c.working++
		go c.work()
	}
	c.mu.Unlock()
	return <-n.done
}

// work writes what waits, until nothing does.
func (c *committer) work() {
	for {
		c.mu.Lock()
		batch := c.waiting[:min(together, len(c.waiting))]
		c.waiting = c.waiting[len(batch):]
		if len(batch) == 0 {
			c.working--
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		err := c.write(batch, heldBriefly)
		unsure := errors.As(err, new(unsureError))
		for _, n := range batch {
			if store.Contested(err) && !unsure && (len(batch) > 1 || errors.Is(err, store.ErrBusy)) {
				go func() { n.done <- c.write([]*creation{n}, heldLong) }()
				continue
			}
			n.done <- err
		}
	}
}

// write writes a batch in one transaction, in which no statement waits for others longer than patience.
func (c *committer) write(batch []*creation, patience time.Duration) error {
	var payments []models.Payment
	var events []models.Event
	var answers []models.IdempotencyRecord
	for _, n := range batch {
		payments, events = append(payments, n.payment), append(events, n.event)
		if n.answer != nil {
			answers = append(answers, *n.answer)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	committing := false
	err := c.store.InTx(ctx, func(tx *store.Tx) error {
		committing = false
		if err := tx.WaitAtMost(ctx, patience); err != nil {
			return err
		}
		if err := tx.InsertPayments(ctx, payments); err != nil {
			return err
		}
		if _, err := tx.PublishAll(ctx, events, c.maxAttempts); err != nil {
			return err
		}
		err := tx.KeepAnswers(ctx, answers)
		committing = err == nil
		return err
	})
	if err != nil && committing {
		return unsureError{fmt.Errorf("payments: commit of %d: %w", len(batch), err)}
	}
	return err
}
