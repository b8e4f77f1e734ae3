package jobs_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestLanesAreMeasured: what waits in Redis is told by lane and state, with its age, and is gone when it was delivered.
func TestLanesAreMeasured(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.Publish(h.merchant, 20)
	read := func() (sum telemetry.Lane) {
		lanes, err := h.client.Lanes(t.Context())
		check(t, err)
		if len(lanes) != testLanes+2 {
			t.Fatalf("%d lanes", len(lanes))
		}
		for _, l := range lanes {
			sum.Pending += l.Pending
			sum.Active += l.Active
			sum.Retry += l.Retry
			sum.ExpiredLeases += l.ExpiredLeases
			sum.Oldest = max(sum.Oldest, l.Oldest)
		}
		return sum
	}
	testkit.Eventually(t, 30*time.Second, "20 tasks wait, the oldest for some milliseconds", func() bool {
		l := read()
		return l.Pending == 20 && l.Oldest > 5*time.Millisecond && l.Oldest < time.Minute
	})
	if p := h.redis.Pool(); p.Open < 1 || p.Idle > p.Open {
		t.Errorf("pool %+v", p)
	}
	h.work()
	h.receiver.WaitCount(t, 20, 30*time.Second)
	testkit.Eventually(t, 30*time.Second, "no task is left", func() bool { return read() == telemetry.Lane{} })
}
