package jobs_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestPoolSize: a process with servers on eight lanes and many callers holds no more connections than its pool says.
func TestPoolSize(t *testing.T) {
	const size = 5
	h := newHarness(t)
	server := testkit.Redis(t)
	r, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr}}, size)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	h.redis = r
	h.client, err = jobs.NewClient(jobs.ClientOptions{Redis: r, Lanes: 8, Now: time.Now})
	check(t, err)
	h.work()
	var callers sync.WaitGroup
	most := 0
	for i := range 200 {
		callers.Go(func() {
			d := models.Delivery{ID: fmt.Sprintf("dlv_%d", i), Generation: 1, EndpointID: fmt.Sprint(i)}
			if err := h.client.Enqueue(t.Context(), d, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if _, err := h.client.MissingTasks(t.Context(), []models.Delivery{d}); err != nil {
				t.Error(err)
			}
		})
		if i%20 == 0 {
			most = max(most, strings.Count(fmt.Sprint(server.Do(t, "CLIENT", "LIST")), "id=")-1)
		}
	}
	callers.Wait()
	if most > size {
		t.Errorf("%d connections of a pool of %d", most, size)
	}
}
