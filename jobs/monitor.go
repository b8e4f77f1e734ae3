package jobs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// MonitorPath is where the dashboard lives.
const MonitorPath = "/queues"

// MonitorOptions are what a dashboard needs.
type MonitorOptions struct {
	Redis *Redis
	// Hosts are the names, without ports, under which the listener may be addressed besides IP addresses and localhost; a
	// request with another Host is refused, so that nobody's DNS can point a browser at it.
	Hosts []string
	// Audit is told of every write before it is done, and can refuse it. action is "pause", "resume", "run", "archive",
	// "delete" or "cancel", with "batch_" before it where it concerns several tasks; task is "" for a queue or a batch.
	Audit func(ctx context.Context, r *http.Request, action, queue, task string) error
}

// NewMonitor returns Asynq's dashboard, to be mounted at [MonitorPath] and below it, behind the operator's password. It
// shows ids and nothing else, refuses whatever concerns all tasks of a queue at once (one such call blocks Redis, and
// some of them lose tasks) and loads nothing from other hosts.
func NewMonitor(o MonitorOptions) (http.Handler, error) {
	if o.Redis == nil || o.Audit == nil {
		return nil, errors.New("jobs: Redis and Audit are needed")
	}
	board := asynqmon.New(asynqmon.Options{
		RootPath: MonitorPath, RedisConnOpt: &shared{client: o.Redis.plain},
		PayloadFormatter: asynqmon.PayloadFormatterFunc(showPayload),
		ResultFormatter:  asynqmon.ResultFormatterFunc(func(string, []byte) string { return "" }),
	})
	scripts, err := inlineScripts(board)
	if err != nil {
		return nil, err
	}
	return Guard(o.Hosts, audited(o.Audit, withPolicy(scripts, board))), nil
}

// shared gives asynqmon the connection that there is; the board must never be closed. The first that asks is the page
// about Redis itself, which wants a client of a known type; the second reads queues.
type shared struct {
	client redis.UniversalClient
	asked  bool
}

// MakeRedisClient is asked once for each.
func (s *shared) MakeRedisClient() any {
	if s.asked {
		return withoutMemory{s.client}
	}
	s.asked = true
	return s.client
}

// withoutMemory reads queues where MEMORY USAGE is denied, as many who run a Redis for others do: a queue then takes
// 0 bytes, instead of all of them being an error.
type withoutMemory struct{ redis.UniversalClient }

// isMemory knows Asynq's script by its keys and its arguments: six sets of a queue and the groups, and two sizes of
// samples.
func isMemory(keys []string, args []any) bool {
	return len(keys) == 7 && len(args) == 4 && strings.HasSuffix(keys[0], "}:active") &&
		strings.HasSuffix(keys[1], "}:pending")
}

// EvalSha runs a script.
func (c withoutMemory) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return forgive(c.UniversalClient.EvalSha(ctx, sha, keys, args...), keys, args)
}

// Eval runs a script that the server did not know yet.
func (c withoutMemory) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return forgive(c.UniversalClient.Eval(ctx, script, keys, args...), keys, args)
}

func forgive(cmd *redis.Cmd, keys []string, args []any) *redis.Cmd {
	if denied(cmd.Err()) && isMemory(keys, args) {
		cmd.SetErr(nil)
		cmd.SetVal(int64(0))
	}
	return cmd
}

// showPayload shows the ids of a payload, and of anything else nothing.
func showPayload(taskType string, body []byte) string {
	var p payload
	if taskType != TypeSendWebhook || json.Unmarshal(body, &p) != nil {
		return "[not shown]"
	}
	shown, err := json.Marshal(p)
	if err != nil {
		return "[not shown]"
	}
	return string(shown)
}

// withPolicy keeps the page from loading anything from elsewhere, for asynqmon asks for fonts of another company, and
// from running any script but its own. Its library writes styles into the page, so those are free.
func withPolicy(scripts string, next http.Handler) http.Handler {
	policy := "default-src 'none'; script-src 'self' " + scripts +
		"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
		"connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// inlineScripts names the scripts that stand in asynqmon's page by their hashes, as a policy does.
func inlineScripts(board http.Handler) (string, error) {
	r, err := http.NewRequest(http.MethodGet, MonitorPath, nil)
	if err != nil {
		return "", fmt.Errorf("jobs: dashboard: %w", err)
	}
	page := &pageWriter{header: http.Header{}}
	board.ServeHTTP(page, r)
	var hashes []string
	for _, m := range inlineScript.FindAllSubmatch(page.Bytes(), -1) {
		sum := sha256.Sum256(m[1])
		hashes = append(hashes, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	if len(hashes) == 0 {
		return "", errors.New("jobs: the dashboard's page has no script")
	}
	return strings.Join(hashes, " "), nil
}

// pageWriter keeps what a handler writes.
type pageWriter struct {
	bytes.Buffer
	header http.Header
}

func (p *pageWriter) Header() http.Header { return p.header }
func (p *pageWriter) WriteHeader(int)     {}

// Guard refuses requests that another site made a browser send: those for a Host that is none of ours, and writes whose
// Origin or Sec-Fetch-Site is another's.
func Guard(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ours(r.Host, hosts) {
			http.Error(w, "this listener is not known by that host name", http.StatusMisdirectedRequest)
			return
		}
		if !safe(r.Method) && !sameOrigin(r) {
			http.Error(w, "writes are accepted from this page only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func ours(hostport string, hosts []string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return host == "localhost" || net.ParseIP(host) != nil ||
		slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// sameOrigin believes the browser. Every browser names the origin of a write; what names none is no browser, and came
// with the operator's password of its own accord.
func sameOrigin(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// write takes the routes of asynqmon that change something apart: queue, kind of task, task and action.
var write = regexp.MustCompile(`^/api/queues/([^/]+?)(?::(pause|resume)|/[a-z]+_tasks(?:/([^/]+?))?(?::([a-z_]+))?)?$`)

// audited names every write and asks whether it may be done.
func audited(ask func(ctx context.Context, r *http.Request, action, queue, task string) error,
	next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if safe(r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		m := write.FindStringSubmatch(strings.TrimPrefix(r.URL.Path, MonitorPath))
		if m == nil {
			http.Error(w, "this board knows no such action", http.StatusForbidden)
			return
		}
		queue, task, action := m[1], m[3], m[2]+m[4]
		switch {
		case strings.HasSuffix(action, "_all"):
			http.Error(w, "actions on all tasks of a queue are refused: they block Redis and can lose tasks. Replay or cancel "+
				"through the API instead.", http.StatusForbidden)
			return
		case action == "" && task == "":
			http.Error(w, "queues belong to the deployment and are not deleted", http.StatusForbidden)
			return
		case action == "":
			action = "delete"
		}
		if err := ask(r.Context(), r, action, queue, task); err != nil {
			http.Error(w, "the action could not be written into the audit log, so it was not done",
				http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var _ asynq.RedisConnOpt = (*shared)(nil)
