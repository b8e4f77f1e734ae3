package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
)

// asUser makes a client of a user with these rights.
func asUser(t *testing.T, server *testkit.RedisServer, rights string) (*jobs.Redis, *jobs.Client) {
	t.Helper()
	server.Do(t, append([]string{"ACL", "SETUSER", "gateway", "reset", "on", ">pass"}, strings.Fields(rights)...)...)
	r, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr}, Username: "gateway",
		Password: "pass"}, 8)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	c, err := jobs.NewClient(jobs.ClientOptions{Redis: r, Lanes: testLanes, Now: time.Now})
	check(t, err)
	return r, c
}

// TestLeastRights: a user with the documented rights does everything, and nothing that Redis logs as denied. Each right
// that is taken away is named.
func TestLeastRights(t *testing.T) {
	server := testkit.Redis(t)
	_, admin := asUser(t, server, jobs.ACL())
	if r, err := admin.Rights(t.Context()); err != nil || r.Err() != nil || len(r.Missing) != len(jobs.Optional) {
		t.Fatalf("%+v %v", r, err)
	}
	page, err := os.ReadFile("../docs/redis.md")
	check(t, err)
	if !strings.Contains(string(page), jobs.ACL()) {
		t.Errorf("docs/redis.md lacks the line %s", jobs.ACL())
	}
	for _, command := range jobs.Commands {
		if command == "unsubscribe" || command == "ping" {
			continue // only go-redis sends them
		}
		_, c := asUser(t, server, jobs.ACL()+" -"+command)
		r, err := c.Rights(t.Context())
		if err != nil || !errors.Is(r.Err(), jobs.ErrDenied) ||
			!strings.HasSuffix(r.Err().Error(), "ACL SETUSER gateway +"+command+"; docs/redis.md has all rights") {
			t.Errorf("without %s: %v, %v", command, r.Err(), err)
		}
	}
	for taken, name := range map[string]string{" resetkeys ~asynq:*": "ctrip:{wh:", " resetkeys ~ctrip:*": "asynq:{wh:",
		" resetchannels &asynq:cancel": "ctrip:wake", " resetchannels &ctrip:wake": "asynq:cancel"} {
		_, c := asUser(t, server, jobs.ACL()+taken)
		r, err := c.Rights(t.Context())
		if err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), name) || len(r.Grants) != 1 {
			t.Fatalf("with%s: %v, %v", taken, r.Err(), err)
		}
		server.Do(t, "ACL", "SETUSER", "gateway", r.Grants[0])
		if r, err := c.Rights(t.Context()); err != nil || r.Err() != nil {
			t.Errorf("with%s and %s: %v, %v", taken, r.Grants, r.Err(), err)
		}
	}
}

// TestScriptsOfAsynq: each command of a script of Asynq's is one that we ask rights for.
func TestScriptsOfAsynq(t *testing.T) {
	dir, err := testkit.Go(t.Context(), "list", "-f", "{{.Dir}}", "github.com/hibiken/asynq/internal/rdb").Output()
	check(t, err)
	calls := regexp.MustCompile(`redis\.p?call\(["']([A-Za-z]+)["']`)
	unused := []string{"memory", "zrevrange"} // an optional one, and one of Asynq's scheduler
	found := 0
	for _, name := range []string{"rdb.go", "inspect.go"} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), name))
		check(t, err)
		for _, m := range calls.FindAllSubmatch(text, -1) {
			found++
			if c := strings.ToLower(string(m[1])); !slices.Contains(jobs.Commands, c) && !slices.Contains(unused, c) {
				t.Errorf("%s: a script calls %s, for which nobody asks", name, c)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d calls were found", found)
	}
}

// TestWorkWithLeastRights: the whole way of a delivery, the board included, leaves nothing in ACL LOG but what is
// optional.
func TestWorkWithLeastRights(t *testing.T) {
	server := testkit.Redis(t)
	server.Do(t, append([]string{"ACL", "SETUSER", "default", "on", "nopass"}, strings.Fields(jobs.ACL()+" +info")...)...)
	h := build(t, storetest.Postgres(t), server.Addr, nil)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.receiver.Answers(testkit.Answer{Status: 500}, testkit.Answer{})
	h.produce()
	h.work()
	ds := h.Publish(h.merchant, 5)
	h.sweep()
	h.receiver.WaitCount(t, len(ds)+1, 30*time.Second)
	audit := func(context.Context, *http.Request, string, string, string) error { return nil }
	board, err := jobs.NewMonitor(jobs.MonitorOptions{Redis: h.redis, Audit: audit})
	check(t, err)
	w := httptest.NewRecorder()
	board.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/queues/api/queues", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "wh:0") {
		t.Errorf("/queues without MEMORY: %d %s", w.Code, w.Body)
	}
	if r, err := h.client.Rights(t.Context()); err != nil || r.Err() != nil {
		t.Errorf("%v %v", r.Err(), err)
	}
}

// TestOneDeniedKey: without the marks of the incarnation the sweep finds what is lost all the same, and says so.
func TestOneDeniedKey(t *testing.T) {
	server := testkit.Redis(t)
	h := build(t, storetest.Postgres(t), server.Addr, server)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.sweep()
	ds := h.Publish(h.merchant, 3)
	rights := jobs.ACL() + " +acl +info resetkeys ~asynq:*"
	server.Do(t, append([]string{"ACL", "SETUSER", "default"}, strings.Fields(rights)...)...)
	h.ahead = 11 * time.Second
	r, err := h.sweeper.Sweep(t.Context())
	if !errors.Is(err, jobs.ErrDenied) || r.Requeued() != len(ds) {
		t.Fatalf("%+v, %v", r, err)
	}
	err = h.client.CheckRights(t.Context())
	if !errors.Is(err, jobs.ErrDenied) || !strings.Contains(fmt.Sprint(err), "epoch") {
		t.Errorf("rights: %v", err)
	}
	h.work()
	h.receiver.WaitCount(t, len(ds), 30*time.Second)
	h.wantEachOnce(ds)
}

// TestDeletedQueueIsListedAgain: what somebody deletes from Asynq's list comes back, so that dashboards see it.
func TestDeletedQueueIsListedAgain(t *testing.T) {
	server := testkit.Redis(t)
	r, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr}}, 4)
	check(t, err)
	defer r.Close()
	now := time.Now()
	c, err := jobs.NewClient(jobs.ClientOptions{Redis: r, Lanes: testLanes, Now: func() time.Time { return now }})
	check(t, err)
	_, err = c.RedisIncarnation(t.Context())
	check(t, err)
	server.Do(t, "DEL", "asynq:queues")
	now = now.Add(time.Minute)
	_, err = c.RedisIncarnation(t.Context())
	check(t, err)
	if n := server.Do(t, "SCARD", "asynq:queues"); n != int64(testLanes+2) {
		t.Errorf("%v queues are listed", n)
	}
}

// TestIdleLanes: an idle worker asks Redis rarely, holds no more connections than it may, and takes what comes at once.
func TestIdleLanes(t *testing.T) {
	h := newHarness(t)
	h.Endpoint(h.merchant, h.receiver.URL)
	h.produce()
	h.work()
	calls := func() int64 {
		var n int64
		for line := range strings.Lines(fmt.Sprint(h.server.Do(t, "INFO", "stats"))) {
			_, _ = fmt.Sscanf(line, "total_commands_processed:%d", &n)
		}
		return n
	}
	time.Sleep(4 * time.Second)
	before, start := calls(), time.Now()
	time.Sleep(5 * time.Second)
	rate := float64(calls()-before) / time.Since(start).Seconds()
	t.Logf("%.0f calls a second with %d lanes", rate, testLanes+2)
	if rate > 60 {
		t.Errorf("an idle worker makes %.0f calls a second", rate)
	}
	if n := fmt.Sprint(h.server.Do(t, "CLIENT", "LIST")); strings.Count(n, "id=") > 65 {
		t.Errorf("%d connections", strings.Count(n, "id="))
	}
	begun := time.Now()
	h.Publish(h.merchant, 1)
	h.receiver.WaitCount(t, 1, 30*time.Second)
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the first event after idling took %v", took)
	}
}
