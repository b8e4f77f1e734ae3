package jobs_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/jobs"
)

func board(t *testing.T, h *harness, audit func(context.Context, *http.Request, string, string,
	string) error) *httptest.Server {
	t.Helper()
	m, err := jobs.NewMonitor(jobs.MonitorOptions{Redis: h.redis, Hosts: []string{"ops.example"}, Audit: audit})
	check(t, err)
	mux := http.NewServeMux()
	mux.Handle(jobs.MonitorPath, m)
	mux.Handle(jobs.MonitorPath+"/", m)
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv
}

// holdsPolicy: no frame, nothing from elsewhere, no script but the page's own, each of which the policy names.
func holdsPolicy(t *testing.T, path string, header http.Header, body string) {
	t.Helper()
	directives := make(map[string]string)
	for d := range strings.SplitSeq(header.Get("Content-Security-Policy"), ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), " ")
		directives[name] = value
	}
	for name, want := range map[string]string{"default-src": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'",
		"connect-src": "'self'", "form-action": "'self'"} {
		if directives[name] != want {
			t.Errorf("%s: policy %s %q, want %q", path, name, directives[name], want)
		}
	}
	if scripts := directives["script-src"]; !strings.HasPrefix(scripts, "'self' 'sha256-") ||
		strings.Contains(scripts, "unsafe") {
		t.Errorf("%s: script-src %q", path, scripts)
	}
	for _, m := range regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`).FindAllStringSubmatch(body, -1) {
		sum := sha256.Sum256([]byte(m[1]))
		if hash := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; m[1] != "" &&
			!strings.Contains(directives["script-src"], hash) {
			t.Errorf("%s: the policy keeps the page from its own script %.40s…", path, m[1])
		}
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
		"Referrer-Policy": "no-referrer"} {
		if header.Get(name) != want {
			t.Errorf("%s: %s is %q", path, name, header.Get(name))
		}
	}
}

func TestMonitor(t *testing.T) {
	h := newHarness(t)
	e, _ := h.Endpoint(h.merchant, h.receiver.URL)
	d := h.Publish(h.merchant, 1)[0]
	check(t, h.client.Enqueue(t.Context(), d, time.Now()))
	queue, id := h.queueOf(e.ID), d.ID+":1"
	var audited []string
	srv := board(t, h, func(_ context.Context, _ *http.Request, action, queue, task string) error {
		audited = append(audited, strings.Join([]string{action, queue, task}, " "))
		return nil
	})
	call := func(method, path string, header map[string]string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/queues"+path, nil)
		check(t, err)
		for k, v := range header {
			if k == "Host" {
				req.Host = v
				continue
			}
			req.Header.Set(k, strings.ReplaceAll(v, "SELF", srv.URL))
		}
		res, err := http.DefaultClient.Do(req)
		check(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		check(t, err)
		if res.StatusCode == 200 {
			holdsPolicy(t, path, res.Header, string(body))
		}
		return res.StatusCode, string(body)
	}
	self := map[string]string{"Origin": "SELF", "Sec-Fetch-Site": "same-origin"}

	for path, inline := range map[string]int{"": 2, "/": 2, "/api/queues": 0, "/queues/" + queue + "/tasks": 2} {
		if code, body := call("GET", path, nil); code != 200 || len(body) == 0 || strings.Count(body, "<script>") != inline {
			t.Errorf("GET %s: %d, %d scripts in the page", path, code, strings.Count(body, "<script>"))
		}
	}
	code, body := call("GET", "/api/queues/"+queue+"/pending_tasks", nil)
	var list struct {
		Tasks []struct {
			ID      string `json:"id"`
			Payload string `json:"payload"`
		} `json:"tasks"`
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || code != 200 || len(list.Tasks) != 1 ||
		list.Tasks[0].ID != id || !strings.Contains(list.Tasks[0].Payload, d.ID) {
		t.Fatalf("tasks %d %s, %v", code, body, err)
	}

	foreign := asynq.NewTask("send_webhook", []byte("whsec_planted"))
	c := asynq.NewClient(asynq.RedisClientOpt{Addr: h.server.Addr})
	defer c.Close()
	_, err := c.Enqueue(foreign, asynq.Queue(queue))
	check(t, err)
	if _, body := call("GET", "/api/queues/"+queue+"/pending_tasks", nil); strings.Contains(body, "planted") ||
		!strings.Contains(body, "[not shown]") {
		t.Errorf("a payload of another form is shown: %s", body)
	}

	for name, c := range map[string]struct {
		method, path string
		header       map[string]string
		code         int
	}{
		"another site":     {"POST", "/api/queues/" + queue + ":pause", map[string]string{"Origin": "https://evil.example"}, 403},
		"cross-site":       {"POST", "/api/queues/" + queue + ":pause", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		"null origin":      {"POST", "/api/queues/" + queue + ":pause", map[string]string{"Origin": "null"}, 403},
		"rebound name":     {"GET", "/api/queues", map[string]string{"Host": "evil.example"}, 421},
		"our name":         {"GET", "/api/queues", map[string]string{"Host": "ops.example:9090"}, 200},
		"archive all":      {"POST", "/api/queues/" + queue + "/pending_tasks:archive_all", self, 403},
		"delete all":       {"DELETE", "/api/queues/" + queue + "/pending_tasks:delete_all", self, 403},
		"run all":          {"POST", "/api/queues/" + queue + "/archived_tasks:run_all", self, 403},
		"cancel all":       {"POST", "/api/queues/" + queue + "/active_tasks:cancel_all", self, 403},
		"delete the queue": {"DELETE", "/api/queues/" + queue, self, 403},
		"groups":           {"POST", "/api/queues/" + queue + "/groups/g/aggregating_tasks:run_all", self, 403},
		"unknown":          {"POST", "/api/other", self, 403},
	} {
		if code, _ := call(c.method, c.path, c.header); code != c.code {
			t.Errorf("%s: %d, want %d", name, code, c.code)
		}
	}
	if len(audited) != 0 {
		t.Errorf("refused, but audited: %v", audited)
	}
	for _, c := range []struct{ method, path, line string }{
		{"POST", "/api/queues/" + queue + ":pause", "pause " + queue + " "},
		{"POST", "/api/queues/" + queue + ":resume", "resume " + queue + " "},
		{"POST", "/api/queues/" + queue + "/pending_tasks/" + id + ":archive", "archive " + queue + " " + id},
		{"POST", "/api/queues/" + queue + "/archived_tasks/" + id + ":run", "run " + queue + " " + id},
		{"DELETE", "/api/queues/" + queue + "/pending_tasks/" + id, "delete " + queue + " " + id},
	} {
		audited = nil
		if code, body := call(c.method, c.path, self); code/100 != 2 || len(audited) != 1 || audited[0] != c.line {
			t.Errorf("%s: %d %s, audited %v", c.line, code, body, audited)
		}
	}

	dumb := board(t, h, func(context.Context, *http.Request, string, string, string) error {
		return errors.New("the log is away")
	})
	res, err := http.Post(dumb.URL+"/queues/api/queues/"+queue+":pause", "", nil)
	check(t, err)
	res.Body.Close()
	if res.StatusCode != 503 || h.server.Do(t, "EXISTS", "asynq:{"+queue+"}:paused") != int64(0) {
		t.Errorf("a write that cannot be audited: %d", res.StatusCode)
	}
}
