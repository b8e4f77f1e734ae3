package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	flushers      = 2
	commitTimeout = 10 * time.Second
	firstBackoff  = 50 * time.Millisecond
	lastBackoff   = time.Second
	// keepVerdict is how long a verdict that cannot be committed is tried again; after that whoever takes the delivery
	// next repeats the POST.
	keepVerdict = 10 * time.Minute
)

// recorder commits verdicts, many at a time (ruling 13). A verdict whose commit failed is kept and committed again;
// until that succeeds the recorder is shut, and no attempt of this process makes a request whose answer could be lost.
type recorder struct {
	store *store.Store
	log   *slog.Logger
	queue *gatherer[*verdict]

	mu      sync.Mutex
	failing int           // flushers that hold verdicts which they could not commit
	opened  chan struct{} // closed while no flusher fails
}

// verdict is one on its way into the record.
type verdict struct {
	store.Verdict
	// also is what has to happen in the same transaction, for the rare verdict that changes more than its delivery.
	also func(context.Context, *store.Tx) error
	done chan recorded
}

type recorded struct {
	store.Recorded
	err error
}

func newRecorder(s *store.Store, most int, wait func() time.Duration, log *slog.Logger) *recorder {
	open := make(chan struct{})
	close(open)
	return &recorder{store: s, log: log, queue: newGatherer[*verdict](most, wait), opened: open}
}

// open returns a channel that is closed once writes succeed.
func (r *recorder) open() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// commit hands a verdict over and waits until it is in the record.
func (r *recorder) commit(v store.Verdict, also func(context.Context, *store.Tx) error) (store.Recorded, error) {
	p := &verdict{Verdict: v, also: also, done: make(chan recorded, 1)}
	r.queue.in <- p
	got := <-p.done
	return got.Recorded, got.err
}

// run flushes until stop is closed and nothing is left.
func (r *recorder) run(stop <-chan struct{}) {
	var held []*verdict // of deliveries that were already in the batch before; nobody else knows of them
	for {
		batch := held
		if len(batch) == 0 {
			batch = r.queue.next(stop)
		}
		if len(batch) == 0 {
			return
		}
		batch, held = apart(batch)
		r.flush(batch, stop)
	}
}

// apart takes a batch apart so that no two verdicts that are committed together are of the same delivery.
func apart(batch []*verdict) (unique, rest []*verdict) {
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
func (r *recorder) flush(batch []*verdict, stop <-chan struct{}) {
	var plain []*verdict
	for _, v := range batch {
		if v.also != nil {
			r.until(stop, []*verdict{v}, r.commitWith)
			continue
		}
		plain = append(plain, v)
	}
	if len(plain) > 0 {
		r.until(stop, plain, r.commitPlain)
	}
}

func (r *recorder) commitPlain(ctx context.Context, batch []*verdict) ([]store.Recorded, error) {
	vs := make([]store.Verdict, len(batch))
	for i, v := range batch {
		vs[i] = v.Verdict
	}
	return r.store.Record(ctx, vs)
}

func (r *recorder) commitWith(ctx context.Context, batch []*verdict) ([]store.Recorded, error) {
	var done []store.Recorded
	err := r.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if done, err = tx.Record(ctx, []store.Verdict{batch[0].Verdict}); err != nil || !done[0].Applied {
			return err
		}
		return batch[0].also(ctx, tx)
	})
	return done, err
}

// until commits a batch again and again, until it succeeds, the database refuses what is in it, or its verdicts are too
// old to be kept. While it fails the recorder is shut.
func (r *recorder) until(stop <-chan struct{}, batch []*verdict, commit func(context.Context, []*verdict) ([]store.Recorded, error)) {
	backoff, shut := firstBackoff, false
	defer func() {
		if shut {
			r.reopen()
		}
	}()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		done, err := commit(ctx, batch)
		cancel()
		if err == nil {
			for i, v := range batch {
				v.done <- recorded{Recorded: done[i]}
			}
			return
		}
		if store.IsConstraint(err) {
			r.isolate(stop, batch, err)
			return
		}
		if !shut {
			shut = true
			r.shut()
			r.log.Error("delivery.commit_failed", "verdicts", len(batch), "error", err)
		}
		if batch = r.tooOld(batch, err); len(batch) == 0 {
			r.probe(stop)
			return
		}
		select {
		case <-time.After(backoff):
		case <-stop: // the last try of a process that ends
			ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
			done, err := commit(ctx, batch)
			cancel()
			for i, v := range batch {
				got := recorded{err: err}
				if err == nil {
					got.Recorded = done[i]
				}
				v.done <- got
			}
			return
		}
		backoff = min(2*backoff, lastBackoff)
	}
}

// isolate commits the verdicts of a refused batch one by one, so that one that the database will never take does not
// hold up the others. That one is recorded without what the receiver sent.
func (r *recorder) isolate(stop <-chan struct{}, batch []*verdict, err error) {
	commit := r.commitPlain
	if batch[0].also != nil {
		commit = r.commitWith
	}
	if len(batch) > 1 {
		for _, v := range batch {
			r.until(stop, []*verdict{v}, commit)
		}
		return
	}
	v := batch[0]
	r.log.Error("delivery.verdict_refused", "delivery_id", v.DeliveryID, "class", v.Class, "error", err)
	if v.ResponseBody == nil && v.ResponseJSON == "" && v.Error == "" && v.RequestJSON == "" {
		v.done <- recorded{err: err}
		return
	}
	v.ResponseBody, v.ResponseJSON, v.RequestJSON, v.Error = nil, "", "", ""
	r.until(stop, batch, commit)
}

// tooOld gives up the verdicts that were kept for long enough.
func (r *recorder) tooOld(batch []*verdict, err error) []*verdict {
	kept := batch[:0:0]
	for _, v := range batch {
		if time.Since(v.At) > keepVerdict {
			v.done <- recorded{err: err}
			continue
		}
		kept = append(kept, v)
	}
	return kept
}

// probe waits until any write succeeds.
func (r *recorder) probe(stop <-chan struct{}) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		err := r.store.Probe(ctx)
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

func (r *recorder) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing++; r.failing == 1 {
		r.opened = make(chan struct{})
	}
}

func (r *recorder) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failing--; r.failing == 0 {
		close(r.opened)
		r.log.Info("delivery.commit_recovered")
	}
}

// failingFor returns a channel that is closed once the recorder could not commit for d, or never if idle closes first.
func (r *recorder) failingFor(idle <-chan struct{}, d time.Duration) <-chan struct{} {
	given := make(chan struct{})
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
				case <-r.open():
					since = time.Time{}
				default:
					if since.IsZero() {
						since = now
					}
					if now.Sub(since) > d {
						close(given)
						return
					}
				}
			}
		}
	}()
	return given
}
