package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/headers"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

// checkTimeout bounds one readiness check.
const checkTimeout = 3 * time.Second

// check asks one dependency whether it answers. A check that is not critical is shown, but does not make the process
// unready.
type check struct {
	name     string
	critical bool
	ask      func(context.Context) error
}

// readiness is the JSON of /readyz.
type readiness struct {
	Ready  bool                   `json:"ready"`
	Checks map[string]checkResult `json:"checks"`
}

type checkResult struct {
	OK       bool   `json:"ok"`
	Critical bool   `json:"critical"`
	Error    string `json:"error,omitempty"`
	Micros   int64  `json:"duration_us"`
}

// opsHandler serves what operators look at: /healthz, /readyz and /metrics for everybody who reaches the listener, and
// behind a token pprof and, where they are given, the status page and asynqmon. A profile may hold what is in memory,
// so pprof is not for the one who may only look. refused is told of every request that came to them without a token
// that fits.
func opsHandler(tokens access.OperatorTokens, refused func(*http.Request), checks []check, metrics,
	status, queues http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		res := ready(r.Context(), checks)
		status := http.StatusOK
		if !res.Ready {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, res)
	})
	mux.Handle("GET /metrics", metrics)
	guarded := func(h http.Handler) http.Handler { return operatorOnly(tokens, access.OperatorOperates, refused, h) }
	mux.Handle("/debug/pprof/", guarded(http.HandlerFunc(pprof.Index)))
	mux.Handle("/debug/pprof/cmdline", guarded(http.HandlerFunc(pprof.Cmdline)))
	mux.Handle("/debug/pprof/profile", guarded(http.HandlerFunc(pprof.Profile)))
	mux.Handle("/debug/pprof/symbol", guarded(http.HandlerFunc(pprof.Symbol)))
	mux.Handle("/debug/pprof/trace", guarded(http.HandlerFunc(pprof.Trace)))
	paths := []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/"}
	if queues != nil {
		mux.Handle("/queues", operatorOnly(tokens, access.OperatorReads, refused, queues))
		mux.Handle("/queues/", operatorOnly(tokens, access.OperatorReads, refused, queues))
		paths = append(paths, "/queues")
	}
	if status != nil {
		mux.Handle("GET /status", operatorOnly(tokens, access.OperatorReads, refused, status))
		paths = append(paths, "/status")
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "cTrip ops listener\n\n"+strings.Join(paths, "\n"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		headers.Common(w.Header())
		if !models.IsText(r.URL.Path) { // a queue of such a name could not be written into the audit log
			http.NotFound(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ready runs every check at once.
func ready(ctx context.Context, checks []check) readiness {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]checkResult, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			start := time.Now()
			err := c.ask(ctx)
			results[i] = checkResult{OK: err == nil, Critical: c.critical, Micros: time.Since(start).Microseconds()}
			if err != nil {
				results[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	res := readiness{Checks: make(map[string]checkResult, len(checks))}
	for i, c := range checks {
		res.Checks[c.name] = results[i]
	}
	res.Ready = !slices.ContainsFunc(results, func(r checkResult) bool { return r.Critical && !r.OK })
	return res
}

// operatorOnly asks for a token: as a bearer token, or as the password of HTTP Basic with any user name, so that a
// browser can ask a person for it. Whoever has less than the role needed is refused as if the token were wrong. A token
// that may only look changes nothing.
func operatorOnly(tokens access.OperatorTokens, needed access.OperatorRole, refused func(*http.Request),
	next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, password, basic := r.BasicAuth(); basic {
			given = password
		}
		role := tokens.Role(given)
		switch {
		case role < needed:
			if r.Header.Get("Authorization") != "" { // a browser asks once without
				refused(r)
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="cTrip operator", charset="UTF-8"`)
			http.Error(w, "the operator token is needed: as a bearer token, or as the password of HTTP Basic",
				http.StatusUnauthorized)
		case role < access.OperatorOperates && r.Method != http.MethodGet && r.Method != http.MethodHead:
			http.Error(w, "this token may look, and change nothing", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the status line is out; a client that left has nothing to be told
}

// redisRights is what Redis denies. Away it denies nothing: the check of Redis tells of that.
func (a *App) redisRights(ctx context.Context) error {
	if err := a.jobs.CheckRights(ctx); errors.Is(err, jobs.ErrDenied) {
		return err
	}
	return nil
}
