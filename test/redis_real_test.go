package test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/jobs"
)

// The gateway on Redis as people run it: each test has users with the least rights, and payments while something
// happens.

const (
	redisPayments  = 90
	gatewayRights  = "gateway on >gateway-of-the-tests "
	watchingRights = "watcher on >watcher-of-the-tests "
	asGateway      = "gateway:gateway-of-the-tests@"
	asWatcher      = "&sentinel_user=watcher&sentinel_password=watcher-of-the-tests"
)

// TestRedisSentinel kills the master under three sentinels, which have users of their own.
func TestRedisSentinel(t *testing.T) {
	s := testkit.NewRedisSentinels(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL()},
		Watchers: []string{watchingRights + jobs.SentinelACL()}})
	url := "redis-sentinel://" + asGateway + s.Addrs() + "/0?master=main" + asWatcher
	old := s.Master(t)
	paymentsWhile(t, url, nil, slices.Concat(s.Servers, s.Watchers), func() {
		old.Kill(t)
		testkit.Eventually(t, time.Minute, "the sentinels name another master", func() bool { return s.Master(t) != old })
		old.Start(t)
	})
}

// TestRedisSentinelOverTLS is the same with certificates everywhere, and a sentinel that dies as well.
func TestRedisSentinelOverTLS(t *testing.T) {
	certs := testkit.NewRedisCerts(t)
	s := testkit.NewRedisSentinels(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL()}, Certs: certs})
	url := "rediss-sentinel://" + asGateway + s.Addrs() + "/0?master=main"
	old := s.Master(t)
	paymentsWhile(t, url, redisCerts(certs), slices.Concat(s.Servers, s.Watchers), func() {
		s.Watchers[2].Kill(t)
		old.Kill(t)
		testkit.Eventually(t, time.Minute, "the sentinels name another master", func() bool { return s.Master(t) != old })
		old.Start(t)
	})
}

// TestRedisCluster kills one of three masters.
func TestRedisCluster(t *testing.T) {
	c := testkit.NewRedisCluster(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL() + jobs.ClusterACL()}})
	killOneMaster(t, c, "redis-cluster://"+asGateway+c.Addrs(), nil)
}

// TestRedisClusterOverTLS is the same with certificates.
func TestRedisClusterOverTLS(t *testing.T) {
	certs := testkit.NewRedisCerts(t)
	c := testkit.NewRedisCluster(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL() + jobs.ClusterACL()},
		Certs: certs})
	killOneMaster(t, c, "rediss-cluster://"+asGateway+c.Addrs(), redisCerts(certs))
}

func killOneMaster(t *testing.T, c testkit.RedisNodes, url string, env []string) {
	t.Helper()
	paymentsWhile(t, url, env, c, func() {
		c[0].Kill(t)
		testkit.Eventually(t, time.Minute, "its replica is a master", func() bool {
			return strings.Contains(fmt.Sprint(c[3].Do(t, "INFO", "replication")), "role:master")
		})
		c[0].Start(t)
	})
}

// TestRedisClusterRights: each node has rights of its own. What one of them denies is named, and a URL that leads to a
// node instead of the cluster.
func TestRedisClusterRights(t *testing.T) {
	c := testkit.NewRedisCluster(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL() + jobs.ClusterACL()}})
	ask := func(url string) jobs.Rights {
		t.Helper()
		o, err := config.ParseRedis(url)
		if err != nil {
			t.Fatal(err)
		}
		r, err := jobs.Connect(o, 8)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		client, err := jobs.NewClient(jobs.ClientOptions{Redis: r, Lanes: 4, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		rights, err := client.Rights(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return rights
	}
	whole := "redis-cluster://" + asGateway + c.Addrs()
	if err := ask(whole).Err(); err != nil {
		t.Fatal(err)
	}
	if err := ask("redis://" + asGateway + c[1].Addr).Err(); err == nil || !strings.Contains(err.Error(), "redis-cluster://") {
		t.Errorf("one node for the cluster: %v", err)
	}
	for i, node := range []int{2, 4} { // a master and a replica
		right := []string{"zscore", "rpoplpush"}[i]
		c[node].Do(t, "ACL", "SETUSER", "gateway", "-"+right)
		got := ask(whole)
		if want := right + " at " + c[node].Addr; !slices.Contains(got.Denied, want) && !slices.Contains(got.Denied, right) ||
			!slices.Equal(got.Grants, []string{"+" + right}) {
			t.Errorf("%s: %v, %v", want, got.Denied, got.Grants)
		}
		c[node].Do(t, "ACL", "SETUSER", "gateway", "+"+right)
	}
	if err := ask(whole).Err(); err != nil {
		t.Error(err)
	}
}

// TestRedisOverTLS has a private authority, client certificates, and a database with a number; the server restarts.
func TestRedisOverTLS(t *testing.T) {
	certs := testkit.NewRedisCerts(t)
	server := testkit.NewRedisServer(t, testkit.RedisSetup{Users: []string{gatewayRights + jobs.ACL() + " +select"},
		Certs: certs})
	paymentsWhile(t, "rediss://"+asGateway+server.Addr+"/3", redisCerts(certs), []*testkit.RedisServer{server}, func() {
		server.Kill(t)
		server.Start(t)
	})
}

func redisCerts(c *testkit.RedisCerts) []string {
	return []string{"REDIS_CA=" + c.CA, "REDIS_CERT=" + c.Cert, "REDIS_KEY=" + c.Key}
}

// paymentsWhile makes payments, and pays every third, while something happens to Redis. Nothing is lost, the dashboard
// and doctor work before and after, and no server has denied the gateway anything.
func paymentsWhile(t *testing.T, url string, env []string, servers []*testkit.RedisServer, happens func()) {
	t.Helper()
	c := startDevnet(t)
	h := newFixtureOn(t, gethNode(c, 2), url, env...)
	h.Start("worker-2")
	h.WaitReady("worker", "worker-2")
	h.redisIsWell()
	var creating sync.WaitGroup
	half := make(chan struct{})
	creating.Go(func() { h.payments(c, redisPayments, half) })
	<-half
	happens()
	creating.Wait()
	testkit.Eventually(t, 90*time.Second, "every delivery is delivered, every paid one confirmed", func() bool {
		var waiting, unconfirmed int
		err := h.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&waiting)
		err2 := h.DB.QueryRow("SELECT count(*) FROM payments WHERE status = 'detected'").Scan(&unconfirmed)
		return err == nil && err2 == nil && waiting == 0 && unconfirmed == 0
	})
	h.redisIsWell()
	h.holdsEverything()
	for _, s := range servers {
		for _, what := range slices.Concat(s.Denied(t, "gateway"), s.Denied(t, "watcher")) {
			if command, found := strings.CutPrefix(what, "command "); !found || jobs.Optional[command] == "" {
				t.Errorf("%s denied: %s", s.Addr, what)
			}
		}
	}
}

// payments makes n payments at about ten a second, and closes half when half of them are there.
func (h *fixture) payments(c *devnet.Chain, n int, half chan struct{}) {
	var some sync.WaitGroup
	defer some.Wait()
	for i := range n {
		if i == n/2 {
			close(half)
		}
		some.Go(func() {
			p := h.create(h.t.Context(), fmt.Sprintf("redis-%d", i), "native", "1000")
			if i%3 == 0 && p.Address != "" {
				if _, err := c.SendNative(h.t.Context(), c.DemoPayer(), p.Address, big.NewInt(1000)); err != nil {
					h.t.Error(err)
				}
			}
		})
		time.Sleep(100 * time.Millisecond)
	}
}

// redisIsWell asks doctor, and the dashboard for its queues.
func (h *fixture) redisIsWell() {
	h.t.Helper()
	var last string
	testkit.Eventually(h.t, time.Minute, "doctor finds no fault, and the dashboard shows the queues", func() bool {
		var report struct {
			Checks []struct {
				Name, Detail string
				OK           bool
			}
		}
		out, err := h.TryCtl("doctor", "--json")
		if err != nil && len(out) == 0 {
			out = []byte(err.Error())
			out = out[max(0, strings.IndexByte(string(out), '\n')):]
		}
		if json.NewDecoder(strings.NewReader(string(out))).Decode(&report) != nil {
			last = string(out)
			h.t.Log(last)
			return false
		}
		rights := false
		for _, check := range report.Checks {
			rights = rights || check.Name == "redis rights"
			appendOnly := check.Name == "redis append-only file" // not in these tests
			if strings.HasPrefix(check.Name, "redis") && !check.OK && !appendOnly {
				h.t.Log(check)
				return false
			}
		}
		return rights && h.showsQueues()
	})
}

func (h *fixture) showsQueues() bool {
	h.t.Helper()
	req, err := http.NewRequest(http.MethodGet, h.OpsURL("api")+"/queues/api/queues", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	req.SetBasicAuth("operator", gateway.OperatorToken)
	res, err := h.Client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	shown := err == nil && res.StatusCode == http.StatusOK && strings.Contains(string(text), `"wh:0"`) &&
		strings.Contains(string(text), `"wh:1"`)
	if !shown {
		h.t.Logf("/queues: %d %s", res.StatusCode, text)
	}
	return shown
}
