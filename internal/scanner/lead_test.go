package scanner

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// steered is a chain in memory that several goroutines use, whose head a test can hold up and which announces blocks.
type steered struct {
	mu sync.Mutex
	*memoryChain
	announced chan struct{}
	held      chan struct{} // while it is open, heads wait
}

func (s *steered) Announce(ctx context.Context, heard func()) {
	for {
		select {
		case <-s.announced:
			heard()
		case <-ctx.Done():
			return
		}
	}
}

func (s *steered) Head(ctx context.Context) (chain.Header, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return chain.Header{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memoryChain.Head(ctx)
}

func (s *steered) Block(ctx context.Context, number uint64) (chain.Block, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memoryChain.Block(ctx, number)
}

func (s *steered) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return func() { close(held) }
}

func (s *steered) mine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extend(nil)
}

// lead runs a scanner of the chain until the test ends.
func lead(t *testing.T, h *harness, source Source, id uint64, ttl time.Duration) *Scanner {
	t.Helper()
	c := memoryConfig(id, 2)
	c.PollInterval = time.Hour
	s, err := New(Options{Chain: c, Source: source, Store: h.store, Payments: h.payments, Holder: "leader", LeaseTTL: ttl,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestAnAnnouncedBlockIsReadAtOnce: a scanner that asks once an hour records a block when a provider announces it.
func TestAnAnnouncedBlockIsReadAtOnce(t *testing.T) {
	source := &steered{memoryChain: newMemoryChain(2), announced: make(chan struct{})}
	h := newHarness(t, storetest.SQLite(t), memoryConfig(71, 2), source, time.Now)
	s := lead(t, h, source, 71, time.Minute)
	testkit.Eventually(t, 30*time.Second, "the chain begins", func() bool { return s.State().Leading })
	for range 3 {
		was := s.State().Number
		source.mine()
		source.announced <- struct{}{}
		testkit.Eventually(t, 30*time.Second, "the block is recorded", func() bool { return s.State().Number == was+1 })
	}
}

// TestTheLeaseIsRenewedInsideALongStep: nobody else gets the lease while its holder waits for a provider for longer
// than the lease lasts.
func TestTheLeaseIsRenewedInsideALongStep(t *testing.T) {
	const ttl = 3 * time.Second
	source := &steered{memoryChain: newMemoryChain(2), announced: make(chan struct{})}
	h := newHarness(t, storetest.SQLite(t), memoryConfig(72, 2), source, time.Now)
	s := lead(t, h, source, 72, ttl)
	testkit.Eventually(t, 30*time.Second, "the chain begins", func() bool { return s.State().Leading })
	was := s.State().Number
	release := source.hold()
	source.mine()
	source.announced <- struct{}{}
	for began := time.Now(); time.Since(began) < ttl+ttl/2; time.Sleep(ttl / 10) {
		lease, err := h.store.TakeLease(t.Context(), 72, "standby", time.Now(), ttl)
		if err != nil || lease.Holder != "leader" {
			t.Fatalf("%s has the lease after %s, %v", lease.Holder, time.Since(began), err)
		}
	}
	release()
	testkit.Eventually(t, 30*time.Second, "the block is recorded", func() bool { return s.State().Number == was+1 })
}
