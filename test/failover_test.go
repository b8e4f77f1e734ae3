package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// backWithin is how soon everything works again once a server takes writes.
const backWithin = 5 * time.Second

// replicated are the settings of a server that can have a standby.
var replicated = map[string]string{"wal_level": "replica", "max_wal_senders": "4"}

// failing is a gateway whose processes reach their database at an address behind which the server may change.
type failing struct {
	*fixture
	primary *testkit.PostgresServer
	front   *testkit.Forwarder
	env     string // DATABASE_URL of the processes
	// notice are the processes that write, or are turned away, during an outage without being asked to.
	notice []string

	mu   sync.Mutex
	hold chan struct{} // the receiver answers when it is closed
}

// newFailing starts everything; create makes the database, nil for an ordinary one.
func newFailing(t *testing.T, c gateway.Chain, create func(*testkit.PostgresServer) string) *failing {
	t.Helper()
	f := &failing{fixture: &fixture{t: t, receiver: testkit.NewReceiver(t)},
		primary: testkit.PrivatePostgres(t, testkit.PostgresOptions{Settings: replicated}),
		notice:  []string{"api", "worker"}}
	dsn := ""
	if create != nil {
		dsn = create(f.primary)
	} else {
		var err error
		if dsn, err = f.primary.NewDatabase(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	f.front = testkit.NewForwarder(t, f.primary.Addr())
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = f.front.Addr
	f.env = "DATABASE_URL=" + u.String()
	f.Gateway = gateway.New(t, gateway.Options{Chain: c, DatabaseURL: dsn, Env: []string{"WEBHOOK_LANES=2",
		"WEBHOOK_TIMEOUT=30s", f.env}})
	for _, role := range roles {
		f.Start(role)
	}
	f.WaitReady(roles...)
	f.WaitScanned()
	f.merchant = f.NewMerchant()
	f.api = f.API(f.merchant)
	e := f.NewEndpoint(f.merchant, client.WebhookEndpointCreate{URL: f.receiver.URL + "/hooks"})
	f.endpoint, f.secret = e.ID, e.Secret
	f.receiver.Script(func(testkit.Received) testkit.Answer {
		f.mu.Lock()
		hold := f.hold
		f.mu.Unlock()
		if hold != nil {
			<-hold
		}
		return testkit.Answer{}
	})
	return f
}

// holdBack lets the receiver answer only when the function that it returns is called.
func (f *failing) holdBack() (release func()) {
	hold := make(chan struct{})
	f.mu.Lock()
	f.hold = hold
	f.mu.Unlock()
	release = sync.OnceFunc(func() {
		f.mu.Lock()
		f.hold = nil
		f.mu.Unlock()
		close(hold)
	})
	f.t.Cleanup(release)
	return release
}

// try makes one payment without repeating anything.
func (f *failing) try(key string) (status int, retryAfter string) {
	f.t.Helper()
	body, err := json.Marshal(map[string]string{"chain": f.Chain, "asset": "native", "amount": "1000000000000",
		"order_id": key})
	if err != nil {
		f.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, f.APIURL+"/api/v1/payments", bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.merchant.Key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := f.Client.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Retry-After")
}

// created makes n payments, however often it takes.
func (f *failing) created(tag string, n int) {
	f.t.Helper()
	for i := range n {
		f.create(f.t.Context(), fmt.Sprintf("%s-%d", tag, i), "native", "1000000000000")
	}
}

// unavailable waits until payments are answered 503 with Retry-After, and nothing else but 201 was said on the way,
// and whoever notices is not ready.
func (f *failing) unavailable() {
	f.t.Helper()
	n := 0
	testkit.Eventually(f.t, time.Minute, "payments are answered 503 and nobody is ready", func() bool {
		n++
		status, retryAfter := f.try(fmt.Sprintf("outage-%d", n))
		if status != 503 && status != 201 && status != 0 || status == 503 && retryAfter == "" {
			f.t.Errorf("a payment is answered %d, Retry-After %q", status, retryAfter)
		}
		return status == 503 && !slices.ContainsFunc(f.notice, func(name string) bool {
			return readiness(f.Gateway, name) != 503
		})
	})
}

// back waits until payments are made and processes are ready, and says how long that took.
func (f *failing) back(since time.Time) {
	f.t.Helper()
	n := 0
	testkit.Eventually(f.t, time.Minute, "payments are made", func() bool {
		n++
		status, _ := f.try(fmt.Sprintf("back-%d-%d", since.UnixNano(), n))
		return status == 201
	})
	took := time.Since(since)
	f.WaitReady("api", "scanner")
	f.t.Logf("payments after %s, ready after %s", took.Round(time.Millisecond), time.Since(since).Round(time.Millisecond))
	if took > backWithin+busy {
		f.t.Errorf("payments were made again after %s", took)
	}
}

// settled waits until nothing is pending, and holds what the receiver got against the record: everything, once. It
// stops the processes, whose servers end with the test.
func (f *failing) settled() {
	f.t.Helper()
	defer f.StopAll()
	testkit.Eventually(f.t, time.Minute, "everything is delivered", func() bool {
		var n int
		err := f.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
	f.holdsEverything()
	times := make(map[string]int)
	for _, r := range f.receiver.All() {
		times[r.ID()]++
	}
	for id, n := range times {
		if n > 1 {
			f.t.Errorf("%s was sent %d times", id, n)
		}
	}
}

// outage is the whole story: requests are under way when the record begins to take no writes. The worker is stopped,
// one that starts meanwhile sends nothing, and when a server takes writes again all goes on, nothing comes twice.
func (f *failing) outage(begin, end func()) {
	f.t.Helper()
	f.created("before", 3)
	f.receiver.WaitCount(f.t, 3, 30*time.Second)
	release := f.holdBack()
	f.created("under-way", 6)
	f.receiver.WaitCount(f.t, 9, 30*time.Second)
	begin()
	f.unavailable()
	release()
	stopping := time.Now()
	f.Stop("worker")
	f.t.Logf("the worker stopped within %s", time.Since(stopping).Round(time.Millisecond))
	sent := len(f.receiver.All())
	f.Start("worker-2")
	testkit.Eventually(f.t, 30*time.Second, "a new worker ends, or knows that it must not send", func() bool {
		select {
		case <-f.Process("worker-2").Done():
			return true
		default:
			return bytes.Contains(lines(f.t, f.LogFile("worker-2")), []byte("heartbeat.failed"))
		}
	})
	if n := len(f.receiver.All()); n != sent {
		f.t.Errorf("%d requests were made while nothing could be recorded", n-sent)
	}
	f.Kill("worker-2")
	begun := time.Now()
	end()
	f.back(begun)
	f.Start("worker")
	f.WaitReady("worker")
	f.settled()
}

// TestPrimaryTurnsReadOnly leaves the connections open and refuses their writes.
func TestPrimaryTurnsReadOnly(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	f.outage(func() { f.primary.SetReadOnly(t, true) }, func() { f.primary.SetReadOnly(t, false) })
}

// TestStandbyIsPromoted: the primary turns read-only and lives on, with its connections; another server takes over
// behind the same address.
func TestStandbyIsPromoted(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	standby := f.primary.Standby(t)
	f.outage(func() { f.primary.SetReadOnly(t, true) }, func() {
		waitReplicated(t, f, standby)
		standby.Promote(t)
		f.front.Lead(standby.Addr())
		f.primary.SetReadOnly(t, false) // who still had a connection there could write
		f.follow(standby)
	})
	if old, now := f.payments(f.primary), f.payments(standby); old >= now {
		t.Errorf("the old primary has %d payments, the new one %d", old, now)
	}
}

// payments counts those that a server has.
func (f *failing) payments(s *testkit.PostgresServer) (n int) {
	f.t.Helper()
	if err := open(f.t, f.on(s)).QueryRow("SELECT count(*) FROM payments").Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

// TestAddressLeadsElsewhere: the address leads to another server, while the old one lives on, takes writes and keeps
// its connections. Every process leaves it by itself.
func TestAddressLeadsElsewhere(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	f.created("before", 3)
	standby := f.primary.Standby(t)
	waitReplicated(t, f, standby)
	standby.Promote(t)
	f.front.Lead(standby.Addr())
	begun := time.Now()
	f.follow(standby)
	for _, role := range roles {
		testkit.Eventually(t, 30*time.Second, role+" leaves the old server", func() bool {
			return bytes.Contains(lines(t, f.LogFile(role)), []byte("store.connections_renewed"))
		})
	}
	t.Logf("everybody has left the old server after %s", time.Since(begun).Round(time.Millisecond))
	was := f.payments(f.primary)
	f.created("after", 3)
	if n := f.payments(f.primary); n != was {
		t.Errorf("%d payments were made on the old server", n-was)
	}
	f.settled()
}

// TestPoolerKeepsTheOldPrimary is the same through PgBouncer, which keeps its connections to the server that was.
func TestPoolerKeepsTheOldPrimary(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	standby := f.primary.Standby(t)
	through := f.on(f.primary)
	through.Host = f.front.Addr
	pooler := testkit.StartPgBouncer(t, through.String(), map[string]string{"pool_mode": "transaction"})
	env := "DATABASE_URL=" + pooler.URL + "&default_query_exec_mode=cache_describe"
	for _, role := range roles {
		f.Stop(role)
		f.Start(role, env)
	}
	f.WaitReady(roles...)
	f.created("before", 3)
	f.primary.SetReadOnly(t, true)
	f.unavailable()
	waitReplicated(t, f, standby)
	standby.Promote(t)
	begun := time.Now()
	f.front.Lead(standby.Addr())
	f.follow(standby)
	f.back(begun)
	f.WaitReady("worker")
	f.settled()
}

// TestEveryBackendIsTerminated ends every connection again and again, while payments are made and sent.
func TestEveryBackendIsTerminated(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	stop := make(chan struct{})
	var killing sync.WaitGroup
	killing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(150 * time.Millisecond):
			}
			if err := f.primary.Exec("postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`); err != nil {
				t.Error(err)
			}
		}
	})
	answered := make(map[int]int)
	for i := 0; i < 60; i++ {
		status, retryAfter := f.try(fmt.Sprintf("terminated-%d", i))
		answered[status]++
		if status != 201 && (status != 503 || retryAfter == "") {
			t.Errorf("a payment is answered %d, Retry-After %q", status, retryAfter)
		}
	}
	close(stop)
	killing.Wait()
	begun := time.Now()
	t.Logf("answers: %v", answered)
	f.created("terminated", 60) // the same idempotency keys
	f.back(begun)
	f.WaitReady("worker")
	f.settled()
}

// TestDiskFull fills the disk of the database.
func TestDiskFull(t *testing.T) {
	c := startDevnet(t)
	disk := newSmallDisk(t)
	f := newFailing(t, gethNode(c, 2), disk.create)
	disk.f = f
	f.notice = []string{"api"} // a worker has nothing to write while receivers keep it waiting
	f.outage(disk.fill, disk.free)
}
