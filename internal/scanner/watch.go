package scanner

import (
	"context"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

// rebuildEvery is how often the set is read anew, which lets go of addresses whose monitoring window has ended.
const rebuildEvery = time.Hour

// watchSet is every address that somebody watches. A lookup costs the same whether there are ten or a million.
type watchSet struct {
	mu        sync.RWMutex // of addresses, which a search for the final point reads beside the scanner
	addresses map[chain.Address]struct{}
	mark      store.WatchMark
	built     time.Time // in block time
}

func newWatchSet() *watchSet { return &watchSet{addresses: make(map[chain.Address]struct{})} }

// reset makes the next refresh read the whole set.
func (w *watchSet) reset() { w.mark = store.WatchMark{} }

// refresh adds the addresses of payments that were committed since the last call.
func (w *watchSet) refresh(ctx context.Context, s *store.Store, blockTime time.Time) error {
	if blockTime.Sub(w.built) > rebuildEvery {
		w.reset()
	}
	whole := w.mark == store.WatchMark{}
	rows, mark, err := s.WatchSet(ctx, w.mark, blockTime)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if whole {
		w.addresses, w.built = make(map[chain.Address]struct{}, len(rows)), blockTime
	}
	for _, r := range rows {
		a, err := chain.ParseAddress(r.Address)
		if err != nil {
			return err
		}
		w.addresses[a] = struct{}{}
	}
	w.mark = mark
	return nil
}

func (w *watchSet) contains(a chain.Address) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	_, ok := w.addresses[a]
	return ok
}
