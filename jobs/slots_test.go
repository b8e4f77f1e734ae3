package jobs_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestSlotsAreShared: two workers have the slots of one together. What a worker that died held is free after its time,
// and not before.
func TestSlotsAreShared(t *testing.T) {
	server := testkit.Redis(t)
	a, _ := connectTo(t, server.URL)
	b, _ := connectTo(t, server.URL)
	take := func(r *jobs.Redis, holder string, lasts time.Duration) bool {
		t.Helper()
		taken, err := r.TakeSlot(t.Context(), "we_1", holder, 2, lasts)
		check(t, err)
		return taken
	}
	if !take(a, "a1", time.Minute) || !take(b, "b1", 2*time.Second) || take(a, "a2", time.Minute) ||
		take(b, "b2", time.Minute) {
		t.Fatal("not two of two")
	}
	if !take(a, "a1", time.Minute) {
		t.Error("whoever asks again, because an answer was lost, has its slot no more")
	}
	check(t, a.GiveSlot(t.Context(), "we_1", "a1"))
	if !take(b, "b3", time.Minute) || take(a, "a3", time.Minute) {
		t.Error("what was given back is not there once")
	}
	testkit.Eventually(t, 30*time.Second, "the slot of whoever died is free", func() bool {
		return take(a, "a4", time.Minute)
	})
	if ttl := server.Do(t, "TTL", "ctrip:slots:we_1"); ttl.(int64) < 60 {
		t.Errorf("the key lasts for %v", ttl)
	}
}

// TestInFlightOverAllWorkers: two workers make no more requests at once to an endpoint than its limit, be that so small
// that each request takes a slot of all workers, or so large that each has a share; nor while Redis does not answer the
// question. All are delivered.
func TestInFlightOverAllWorkers(t *testing.T) {
	for _, c := range []struct {
		limit int
		away  bool
		most  int64
	}{{1, false, 1}, {3, false, 3}, {8, false, 8}, {4, true, 4}} {
		t.Run(fmt.Sprint(c.limit, c.away), func(t *testing.T) {
			s := storetest.Postgres(t)
			var redis *jobs.Redis
			slots := func(o *delivery.SenderOptions) {
				o.Slots = &someSlots{to: func() *jobs.Redis { return redis }, away: c.away}
			}
			h := build(t, s, testkit.Redis(t).Addr, nil, slots)
			redis = h.redis
			for i := range 2 {
				_, err := s.Seen(t.Context(), models.Process{ID: fmt.Sprint("prc_", i), Role: "worker", StartedAt: time.Now()})
				check(t, err)
			}
			var inFlight, most atomic.Int64
			h.receiver.Script(func(testkit.Received) testkit.Answer {
				n := inFlight.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(20 * time.Millisecond)
				inFlight.Add(-1)
				return testkit.Answer{Status: http.StatusNoContent}
			})
			h.Endpoint(h.merchant, h.receiver.URL, func(e *endpoints.Settings) {
				limit := &c.limit
				e.MaxInFlight = &limit
			})
			h.produce()
			h.work()
			second := h.Sender(slots)
			srv, err := jobs.NewServer(jobs.ServerOptions{Redis: h.redis, Client: h.client, Sender: second, Concurrency: 64,
				RetryPollInterval: 100 * time.Millisecond, ShutdownGrace: 5 * time.Second, Logger: h.Logger})
			check(t, err)
			deliverytest.Run(t, srv.Run)
			ds := h.Publish(h.merchant, 16)
			h.receiver.WaitCount(t, len(ds), 60*time.Second)
			if most.Load() > c.most {
				t.Errorf("%d at once", most.Load())
			}
			h.wantEachOnce(ds)
		})
	}
}

// someSlots are those of a Redis that may not answer.
type someSlots struct {
	to   func() *jobs.Redis
	away bool
}

func (s *someSlots) TakeSlot(ctx context.Context, key, holder string, slots int, lasts time.Duration) (bool, error) {
	if s.away {
		return false, context.DeadlineExceeded
	}
	return s.to().TakeSlot(ctx, key, holder, slots, lasts)
}

func (s *someSlots) GiveSlot(ctx context.Context, key, holder string) error {
	return s.to().GiveSlot(ctx, key, holder)
}
