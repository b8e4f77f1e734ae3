package delivery

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// SharedSlots are slots that all workers take from, each for a time after which it is free again by itself, so that a
// worker that dies takes none with it for good.
type SharedSlots interface {
	// TakeSlot takes one of the slots of a key for a holder, and reports whether there was one.
	TakeSlot(ctx context.Context, key, holder string, slots int, lasts time.Duration) (bool, error)
	// GiveSlot gives it back.
	GiveSlot(ctx context.Context, key, holder string) error
}

const (
	// fleetEvery is how often the live workers are counted.
	fleetEvery = 2 * time.Second
	// fleetTimeout bounds one count, slotTimeout one question about a shared slot.
	fleetTimeout = time.Second
	slotTimeout  = 250 * time.Millisecond
	// slotPause is how long the shared slots are not asked for after they did not answer.
	slotPause = 2 * time.Second
	// slotMargin is how much longer than its request a slot lasts.
	slotMargin = 5 * time.Second
	// fewEach is from how many slots a worker on each has a share of its own, instead of taking from those of all.
	fewEach = 4
)

// fleet knows how many workers there are, and divides limits among them.
type fleet struct {
	store  *store.Store
	shared SharedSlots // nil: there are shares alone
	log    *slog.Logger

	first   sync.Once
	workers atomic.Int64

	mu   sync.Mutex
	away time.Time // until when the shared slots are not asked for
}

// run counts the workers until stop is closed.
func (f *fleet) run(stop <-chan struct{}) {
	tick := time.NewTicker(fleetEvery)
	defer tick.Stop()
	for {
		f.count(context.Background())
		select {
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

// count counts the live workers. While the record does not tell, they are as many as before.
func (f *fleet) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	all, now, err := f.store.Processes(ctx)
	if err != nil {
		return // the heartbeat tells of it
	}
	f.workers.Store(liveWorkers(all, now))
}

func liveWorkers(all []models.Process, now time.Time) (n int64) {
	for _, p := range all {
		if p.IsAlive(now) && strings.Contains(p.Role, "worker") {
			n++
		}
	}
	return n
}

// share is what of a limit over all workers one of them may use without asking: at least 1.
func (f *fleet) share(limit int) int {
	f.first.Do(func() { f.count(context.Background()) })
	return max(1, limit/max(1, int(f.workers.Load())))
}

// local is how many requests of a limit this worker may have in flight: all where the limit is so small that each of
// them asks for a slot of all workers besides, otherwise its share.
func (f *fleet) local(limit int) (slots int, asks bool) {
	share := f.share(limit)
	if asks = f.shared != nil && limit < fewEach*max(1, int(f.workers.Load())) && !f.isAway(); asks {
		return limit, true
	}
	return share, false
}

func (f *fleet) isAway() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.away)
}

// take takes a slot of all workers. Where they do not answer, known is false.
func (f *fleet) take(ctx context.Context, key, holder string, slots int, lasts time.Duration) (taken, known bool) {
	ctx, cancel := context.WithTimeout(ctx, slotTimeout)
	defer cancel()
	taken, err := f.shared.TakeSlot(ctx, key, holder, slots, lasts+slotMargin)
	if err != nil {
		f.mu.Lock()
		f.away = time.Now().Add(slotPause)
		f.mu.Unlock()
		f.log.WarnContext(ctx, "delivery.slots_not_shared", "error", err)
		time.AfterFunc(slotPause, func() { f.give(key, holder) }) // it may have been taken all the same
		return false, false
	}
	return taken, true
}

// give gives a slot back. One that cannot be given back is free again when its time is over.
func (f *fleet) give(key, holder string) {
	ctx, cancel := context.WithTimeout(context.Background(), slotTimeout)
	defer cancel()
	if err := f.shared.GiveSlot(ctx, key, holder); err != nil {
		f.log.WarnContext(ctx, "delivery.slot_not_given_back", "endpoint_id", key, "error", err)
	}
}
