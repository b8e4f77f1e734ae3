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
	// maxVerdictAge is how long a verdict that cannot be committed is tried again; after that it is kept elsewhere.
	maxVerdictAge = 10 * time.Minute
	// unreadyAfter is how long no verdict may be recorded before the process says that it is not ready.
	unreadyAfter = 5 * time.Second
	// handOverAfter is how long a process that was told to stop goes on trying to commit.
	handOverAfter = 3 * time.Second
)

// attemptWriter commits verdicts, many at a time. A verdict whose commit failed is kept and committed again. Until that
// succeeds the writer is closed, and no attempt of this process makes a request whose answer could be lost. It is
// closed until the first write of the process has succeeded.
type attemptWriter struct {
	store *store.Store
	log   *slog.Logger
	queue *batchingQueue[*verdict]
	saved *savedVerdicts
	// also is what has to be written in the same transaction as a verdict that changes more than its delivery.
	also func(beside, store.Verdict) func(context.Context, *store.Tx) error

	// trying ends a while after the process was told to stop.
	trying context.Context
	giveUp context.CancelFunc

	mu      sync.Mutex
	failing int           // flushers that hold verdicts which they could not commit, and one before the first write
	opened  chan struct{} // closed while none fails
	since   time.Time     // when the writer was closed last
}

// beside is what a verdict changes besides its delivery.
type beside struct{ IsBatch, DisableEndpoint bool }

// verdict is one on its way into the record.
type verdict struct {
	store.Verdict
	beside beside
	done   chan recorded
}

type recorded struct {
	store.Recorded
	err error
}

func newAttemptWriter(s *store.Store, limit int, wait func() time.Duration, log *slog.Logger) *attemptWriter {
	w := &attemptWriter{store: s, log: log, queue: newBatchingQueue[*verdict](limit, wait), failing: 1,
		opened: make(chan struct{}), since: time.Now()}
	w.trying, w.giveUp = context.WithCancel(context.Background())
	return w
}

// leave says that the process was told to stop.
func (w *attemptWriter) leave() { time.AfterFunc(handOverAfter, w.giveUp) }

// open returns a channel that is closed once writes succeed.
func (w *attemptWriter) open() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// commit hands a verdict over and waits until it is in the record.
func (w *attemptWriter) commit(v store.Verdict, b beside) (store.Recorded, error) {
	p := &verdict{Verdict: v, beside: b, done: make(chan recorded, 1)}
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
		if v.beside != (beside{}) {
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
		return w.also(batch[0].beside, batch[0].Verdict)(ctx, tx)
	})
	return done, err
}

// commitBare moves the delivery of a verdict that the record refuses, and leaves no attempt.
func (w *attemptWriter) commitBare(ctx context.Context, batch []*verdict) ([]store.Recorded, error) {
	done, err := w.store.ApplyVerdict(ctx, batch[0].Verdict, outbox.Sweep)
	return []store.Recorded{done}, err
}

// commitFunc writes a batch in one transaction.
type commitFunc func(context.Context, []*verdict) ([]store.Recorded, error)

// bounded tries one commit, for so long as a commit may take.
func (w *attemptWriter) bounded(batch []*verdict, commit commitFunc) ([]store.Recorded, error) {
	parent, patience := w.trying, commitTimeout
	if parent.Err() != nil {
		parent, patience = context.Background(), handOverAfter
	}
	ctx, cancel := context.WithTimeout(parent, patience)
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

// until commits a batch again and again, until it succeeds, the process stops, or its verdicts are too old. While it
// fails the writer is closed, and it stays so where verdicts were given up.
func (w *attemptWriter) until(stop <-chan struct{}, batch []*verdict, commit commitFunc) {
	if w.trying.Err() != nil && w.isClosed() { // it is no use
		w.save(batch, errStopping)
		return
	}
	backoff, closed := firstBackoff, false
	for {
		done, err := w.bounded(batch, commit)
		if err == nil {
			answerAll(batch, done, nil)
			break
		}
		if store.IsRefused(err) {
			if w.isolate(stop, batch, commit, err) {
				break
			}
		}
		if !closed {
			closed = true
			w.close()
			w.log.Error("delivery.commit_failed", "verdicts", len(batch), "error", err)
		}
		if w.trying.Err() != nil {
			w.save(batch, err)
			return
		}
		if batch = w.saveOld(batch, err); len(batch) == 0 {
			w.probe(stop)
			break
		}
		select {
		case <-time.After(backoff):
		case <-w.trying.Done():
		case <-stop:
			w.giveUp()
		}
		backoff = min(2*backoff, lastBackoff)
	}
	if closed {
		w.reopen()
	}
}

// isolate commits the verdicts of a refused batch one by one, so that one that the record will never take does not hold
// up the others. That one is recorded without what the receiver sent, and if that is refused as well, its delivery is
// moved and nothing is recorded: a request whose verdict cannot be said is not made again for it. It reports false
// where not even that was possible.
func (w *attemptWriter) isolate(stop <-chan struct{}, batch []*verdict, commit commitFunc, err error) bool {
	if len(batch) > 1 {
		for _, v := range batch {
			w.until(stop, []*verdict{v}, commit)
		}
		return true
	}
	v := batch[0]
	w.log.Error("delivery.verdict_refused", "delivery_id", v.DeliveryID, "class", v.Class, "error", err)
	v.ResponseBody, v.ResponseJSON, v.RequestJSON, v.Error = nil, "", "", ""
	tries := []commitFunc{commit, w.commitPlain, w.commitBare}
	if v.beside.IsBatch { // its members must move with it
		tries = tries[:1]
	}
	for _, try := range tries {
		done, err := w.bounded(batch, try)
		if err == nil {
			answerAll(batch, done, nil)
			return true
		}
		if !store.IsRefused(err) {
			return false
		}
	}
	return false
}

// saveOld keeps the verdicts that are too old elsewhere, and returns the others.
func (w *attemptWriter) saveOld(batch []*verdict, err error) []*verdict {
	young, old := batch[:0:0], batch[:0:0]
	for _, v := range batch {
		if time.Since(v.At) > maxVerdictAge {
			old = append(old, v)
			continue
		}
		young = append(young, v)
	}
	w.save(old, err)
	return young
}

// begin waits for the first write of the process, records what others could not, and opens the writer.
func (w *attemptWriter) begin(stop <-chan struct{}) {
	for w.probe(stop); w.saved.recordAll(w.commitSaved) != nil && w.trying.Err() == nil; {
		w.probe(stop)
	}
	w.reopen()
	tick := time.NewTicker(savedEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			_ = w.saved.recordAll(w.commitSaved) // it is logged, and tried again
		}
	}
}

// commitSaved records a verdict that another process could not.
func (w *attemptWriter) commitSaved(v store.Verdict, b beside) error {
	commit := w.commitPlain
	if b != (beside{}) {
		commit = w.commitWith
	}
	_, err := w.bounded([]*verdict{{Verdict: v, beside: b}}, commit)
	return err
}

// save hands verdicts over to whoever can record them later, and answers those who wait.
func (w *attemptWriter) save(batch []*verdict, err error) {
	if len(batch) == 0 {
		return
	}
	if lost := w.saved.save(batch); lost != nil {
		w.log.Error("delivery.verdicts_lost", "verdicts", len(batch), "error", lost)
	} else {
		w.log.Warn("delivery.verdicts_saved", "verdicts", len(batch), "error", err)
		err = errSaved
	}
	answerAll(batch, nil, err)
}

// probe waits until a verdict could be recorded.
func (w *attemptWriter) probe(stop <-chan struct{}) {
	for failed := false; ; failed = true {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		err := w.store.ProbeVerdict(ctx)
		cancel()
		if err == nil {
			return
		}
		if !failed {
			w.log.Error("delivery.probe_failed", "error", err)
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
		w.opened, w.since = make(chan struct{}), time.Now()
	}
}

// closedFor is how long the writer has been closed, 0 while it is open.
func (w *attemptWriter) closedFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing == 0 {
		return 0
	}
	return time.Since(w.since)
}

func (w *attemptWriter) reopen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing--; w.failing == 0 {
		close(w.opened)
		w.log.Info("delivery.recording")
	}
}

func (w *attemptWriter) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failing > 0
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
