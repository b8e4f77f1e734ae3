package jobs_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
)

// harness is a worker and what feeds it, on a real Postgres and a real Redis.
type harness struct {
	*deliverytest.Fixture
	t        *testing.T
	server   *testkit.RedisServer
	redis    *jobs.Redis
	client   *jobs.Client
	sender   *delivery.Sender
	producer *outbox.Producer
	sweeper  *outbox.Sweeper
	receiver *testkit.Receiver
	merchant string
	// ahead moves the clock of the sweeper, so that graces need not be waited for.
	ahead time.Duration
}

const testLanes = 2

func build(t *testing.T, s *store.Store, addr string, server *testkit.RedisServer,
	change ...func(*delivery.SenderOptions)) *harness {
	t.Helper()
	h := &harness{Fixture: deliverytest.New(t, s), t: t, server: server, receiver: testkit.NewReceiver(t)}
	var err error
	h.redis, err = jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{addr}}, 64)
	check(t, err)
	t.Cleanup(func() { check(t, h.redis.Close()) })
	h.client, err = jobs.NewClient(jobs.ClientOptions{Redis: h.redis, Lanes: testLanes, Now: time.Now})
	check(t, err)
	h.producer, err = outbox.NewProducer(outbox.ProducerOptions{Enqueuer: h.client, Logger: h.Logger, Now: time.Now})
	check(t, err)
	s.OnCommit(h.producer.Offer)
	h.sweeper, err = outbox.NewSweeper(outbox.SweeperOptions{Store: s, Tasks: h.client, Interval: 200 * time.Millisecond,
		Logger: h.Logger,
		Now:    func() time.Time { return time.Now().Add(h.ahead) }})
	check(t, err)
	h.sender = h.Sender(change...)
	h.merchant = h.Merchant()
	return h
}

func newHarness(t *testing.T, change ...func(*delivery.SenderOptions)) *harness {
	t.Helper()
	server := testkit.Redis(t)
	return build(t, storetest.Postgres(t), server.Addr, server, change...)
}

// work starts a worker process's share and returns what stops it.
func (h *harness) work() (stop func()) {
	h.t.Helper()
	srv, err := jobs.NewServer(jobs.ServerOptions{Redis: h.redis, Client: h.client, Sender: h.sender, Concurrency: 64,
		RetryPollInterval: 100 * time.Millisecond, ShutdownGrace: 5 * time.Second, Logger: h.Logger})
	check(h.t, err)
	return deliverytest.Run(h.t, srv.Run)
}

func (h *harness) produce() (stop func()) { return deliverytest.Run(h.t, h.producer.Run) }

func (h *harness) sweep() int {
	h.t.Helper()
	r, err := h.sweeper.Sweep(h.t.Context())
	check(h.t, err)
	return r.Requeued()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
