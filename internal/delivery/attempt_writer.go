package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	flushers      = 2
	commitTimeout = 10 * time.Second
	firstBackoff  = 50 * time.Millisecond
	lastBackoff   = time.Second
	// maxVerdictAge is how long a verdict that cannot be committed is tried again; after that whoever takes the delivery
	// next repeats the POST.
	maxVerdictAge = 10 * time.Minute
)

// attemptWriter commits verdicts, many at a time. A verdict whose commit failed is kept and committed again. Until that
// succeeds the writer is closed, and no attempt of this process makes a request whose answer could be lost.
type attemptWriter struct {
	store *store.Store
	log   *slog.Logger
	queue *batchingQueue[*verdict]

	mu      sync.Mutex
	failing int           // flushers that hold verdicts which they could not commit
	opened  chan struct{} // closed while no flusher fails
}

// verdict is one on its way into the record.
type verdict struct {
	store.Verdict
	// also is what has to be written in the same transaction, for the rare verdict that changes more than its delivery.
	also func(context.Context, *store.Tx) error
	done chan recorded
}

type recorded struct {
	store.Recorded
	err error
}

func newAttemptWriter(s *store.Store, limit int, wait func() time.Duration, log *slog.Logger) *attemptWriter {
	open := make(chan struct{})
	close(open)
	return &attemptWriter{store: s, log: log, queue: newBatchingQueue[*verdict](limit, wait), opened: open}
}

// open returns a channel that is closed once writes succeed.
func (w *attemptWriter) open() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// commit hands a verdict over and waits until it is in the record.
func (w *attemptWriter) commit(v store.Verdict, also func(context.Context, *store.Tx) error) (store.Recorded, error) {
	p := &verdict{Verdict: v, also: also, done: make(chan recorded, 1)}
	w.queue.in <- p
	got := <-p.done
	return got.Recorded, got.err
}

// run flushes until stop is closed and nothing is left.
func (w *attemptWriter) run(stop <-chan struct{}) {
	var later []*verdict // of deliveries that were already in the batch before; nobody else knows of them
	for {
		batch := later
		if len(batch) == 0 {
			batch = w.queue.next(stop)
		}
		if len(batch) == 0 {
			return
		}
		batch, later = distinct(batch)
		w.flush(batch, stop)
	}
}

// distinct divides a batch so that no two verdicts that are committed together are of the same delivery.
func distinct(batch []*verdict) (unique, rest []*verdict) {
	seen := make(map[string]bool, len(batch))
	for _, v := range batch {
		if seen[v.DeliveryID] {
			rest = append(rest, v)
			continue
		}
		seen[v.DeliveryID] = true
		unique = append(unique, v)
	}
	return unique, rest
}

// flush commits a batch, however often it takes.
func (w *attemptWriter) flush(batch []*verdict, stop <-chan struct{}) {
	var plain []*verdict
	for _, v := range batch {
		if v.also != nil {
			w.until(stop, []*verdict{v}, w.commitWith)
			continue
		}
		plain = append(plain, v)
	}
	if len(plain) > 0 {
		w.until(stop, plain, w.commitPlain)
	}
}

func (w *attemptWriter) commitPlain(ctx context.Context, batch []*verdict) ([]store.Recorded, error) {
	vs := make([]store.Verdict, len(batch))
	for i, v := range batch {
		vs[i] = v.Verdict
	}
	return w.store.Record(ctx, vs, outbox.Sweep)
}

func (w *attemptWriter) commitWith(ctx context.Context, batch []*verdict) ([]store.Recorded, error) {
	var done []store.Recorded
	err := w.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if done, err = tx.Record(ctx, []store.Verdict{batch[0].Verdict}, outbox.Sweep); err != nil || !done[0].Applied {
			return err
		}
		return batch[0].also(ctx, tx)
	})
	return done, err
}

// commitFunc writes a batch in one transaction.
type commitFunc func(context.Context, []*verdict) ([]store.Recorded, error)

// bounded tries one commit, for so long as a commit may take.
func bounded(batch []*verdict, commit commitFunc) ([]store.Recorded, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	return commit(ctx, batch)
}

// answerAll tells those who wait what became of their verdicts.
func answerAll(batch []*verdict, done []store.Recorded, err error) {
	for i, v := range batch {
		got := recorded{err: err}
		if err == nil {
			got.Recorded = done[i]
		}
		v.done <- got
	}
}

// until commits a batch again and again, until it succeeds, the database refuses what is in it, or its verdicts are too
// old. While it fails the writer is closed.
func (w *attemptWriter) until(stop <-chan struct{}, batch []*verdict, commit commitFunc) {
	backoff, closed := firstBackoff, false
	defer func() {
		if closed {
			w.reopen()
		}
	}()
	for {
		done, err := bounded(batch, commit)
		if err == nil {
			answerAll(batch, done, nil)
			return
		}
		if store.IsConstraint(err) {
			w.isolate(stop, batch, err)
			return
		}
		if !closed {
			closed = true
			w.close()
			w.log.Error("delivery.commit_failed", "verdicts", len(batch), "error", err)
		}
		if batch = w.dropOld(batch, err); len(batch) == 0 {
			w.probe(stop)
			return
		}
		select {
		case <-time.After(backoff):
		case <-stop: // the last try of a process that ends
			done, err := bounded(batch, commit)
			answerAll(batch, done, err)
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// isolate commits the verdicts of a refused batch one by one, so that one that the database will never take does not
// hold up the others. That one is recorded without what the receiver sent.
func (w *attemptWriter) isolate(stop <-chan struct{}, batch []*verdict, err error) {
	commit := w.commitPlain
	if batch[0].also != nil {
		commit = w.commitWith
	}
	if len(batch) > 1 {
		for _, v := range batch {
			w.until(stop, []*verdict{v}, commit)
		}
		return
	}
	v := batch[0]
	w.log.Error("delivery.verdict_refused", "delivery_id", v.DeliveryID, "class", v.Class, "error", err)
	if v.ResponseBody == nil && v.ResponseJSON == "" && v.Error == "" && v.RequestJSON == "" {
		v.done <- recorded{err: err}
		return
	}
	v.ResponseBody, v.ResponseJSON, v.RequestJSON, v.Error = nil, "", "", ""
	w.until(stop, batch, commit)
}

// dropOld gives up the verdicts that are too old, and returns the others.
func (w *attemptWriter) dropOld(batch []*verdict, err error) []*verdict {
	young := batch[:0:0]
	for _, v := range batch {
		if time.Since(v.At) > maxVerdictAge {
			v.done <- recorded{err: err}
			continue
		}
		young = append(young, v)
	}
	return young
}

// probe waits until any write succeeds.
func (w *attemptWriter) probe(stop <-chan struct{}) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		err := w.store.Probe(ctx)
		cancel()
		if err == nil {
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(lastBackoff):
		}
	}
}

func (w *attemptWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing++; w.failing == 1 {
		w.opened = make(chan struct{})
	}
}

func (w *attemptWriter) reopen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing--; w.failing == 0 {
		close(w.opened)
		w.log.Info("delivery.commit_recovered")
	}
}

// failingFor returns a channel that is closed once the writer could not commit for d, or never if idle closes first.
func (w *attemptWriter) failingFor(idle <-chan struct{}, d time.Duration) <-chan struct{} {
	failed := make(chan struct{})
	go func() {
		tick := time.NewTicker(d / 20)
		defer tick.Stop()
		var since time.Time
		for {
			select {
			case <-idle:
				return
			case now := <-tick.C:
				select {
				case <-w.open():
					since = time.Time{}
				default:
					if since.IsZero() {
						since = now
					}
					if now.Sub(since) > d {
						close(failed)
						return
					}
				}
			}
		}
	}()
	return failed
}
