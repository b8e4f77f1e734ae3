package jobs_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
)

// TestTokensAreShared: two processes take from one bucket; whoever has another key has another bucket.
func TestTokensAreShared(t *testing.T) {
	server := testkit.Redis(t)
	var processes []*jobs.Redis
	for range 2 {
		r, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr}}, 4)
		check(t, err)
		defer func() { check(t, r.Close()) }()
		processes = append(processes, r)
	}
	const burst = 10
	granted := 0
	for i := range 3 * burst {
		left, wait, err := processes[i%2].TakeToken(t.Context(), "mer_1", 0.01, burst)
		check(t, err)
		if wait == 0 {
			granted++
			if left != burst-granted {
				t.Errorf("after %d requests %d are left", granted, left)
			}
		} else if wait > 100*time.Second {
			t.Errorf("the next is told to wait for %v", wait)
		}
	}
	if granted != burst {
		t.Errorf("%d of %d were granted", granted, burst)
	}
	if _, wait, err := processes[0].TakeToken(t.Context(), "mer_2", 0.01, burst); err != nil || wait != 0 {
		t.Errorf("another merchant waits %v, %v", wait, err)
	}
	if _, wait, err := processes[0].TakeToken(t.Context(), "mer_3", 1000, 1); err != nil || wait != 0 {
		t.Errorf("%v, %v", wait, err)
	}
	testkit.Eventually(t, 20*time.Second, "the bucket fills", func() bool {
		_, wait, err := processes[1].TakeToken(t.Context(), "mer_3", 1000, 1)
		check(t, err)
		return wait == 0
	})
}
