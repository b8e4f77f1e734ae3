package telemetry

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func useAll(m *Metrics) {
	m.DeclareClasses("delivered", "gone")
	m.DeclareChain("polygon")
	m.Attempt("delivered", 30*time.Millisecond)
	m.Attempt("tls", time.Second)
	m.Delivered(2 * time.Second)
	m.Delivered(-time.Second)
	m.OldestDue(90 * time.Second)
	m.Dead()
	m.DeadLetters(4)
	m.Unannounced(2)
	m.DatabasePool(func() sql.DBStats { return sql.DBStats{InUse: 3, Idle: 1, WaitCount: 7, MaxOpenConnections: 32} })
	m.RedisPool(func() RedisPool { return RedisPool{Open: 5, Idle: 2, Timeouts: 1} })
	m.Lanes(func(context.Context) ([]Lane, error) {
		return []Lane{{Name: "wh:0", Pending: 6, ExpiredLeases: 1, Oldest: 90 * time.Second}}, nil
	})
	m.BreakersOpen(3)
	m.SecretAge(24 * time.Hour)
	m.Requeued(5)
	m.Requeued(-1)
	m.ChainHead("base", 110, 100)
	m.ChainHead("behind", 90, 100)
	m.BlocksScanned("base", 12)
	m.Reorg("base", 2)
	m.Disagreement("base")
	m.AddressesWatched("base", 12)
	m.ChainSilent("dark", 3*time.Minute)
	m.Phases(Phases{DNS: time.Millisecond, Answer: time.Second})
	m.InQuarantine(3)
	m.DeclareListener("ops", "total")
	m.RecordWritten(func() time.Duration { return 7 * time.Second })
	m.ChainsSeen(func(context.Context) (map[string]time.Duration, error) {
		return map[string]time.Duration{"base": time.Minute}, nil
	})
	m.ChainHalted("base", true)
	m.RPCError("base", "https://user:pass@rpc.test:8545/v2/KEY?x")
	m.PaymentMoved("confirmed")
	m.Quarantined()
	m.Request("/api/v1/payments/:id", http.MethodGet, 200, 4*time.Millisecond)
	m.Request("", "BREW"+string([]byte{0xff}), 404, time.Millisecond)
	m.Request("/bad"+string([]byte{0xff}), http.MethodGet, 404, time.Millisecond)
	m.AuthFailure()
	m.ConnectionRefused("API", "total")
	m.SignInFailed()
	m.Running("worker")
}

func TestMetricsHaveTheirFixedNames(t *testing.T) {
	m := NewMetrics()
	useAll(m)
	got := scrape(t, m)
	for _, want := range []string{
		`ctrip_running{role="worker"} 1`,
		`ctrip_webhook_attempts_total{class="delivered"} 1`,
		`ctrip_webhook_attempts_total{class="gone"} 0`,
		`ctrip_webhook_attempts_total{class="tls"} 1`,
		`ctrip_webhook_attempt_seconds_bucket{le="0.05"} 1`,
		`ctrip_webhook_attempt_seconds_count 2`,
		`ctrip_webhook_event_to_delivered_seconds_sum 2`,
		`ctrip_webhook_oldest_due_seconds 90`,
		`ctrip_webhook_dead_total 1`,
		`ctrip_webhook_dead_letters 4`,
		`ctrip_payments_unannounced 2`,
		`ctrip_build_info{go="go`,
		`ctrip_database_connections{state="in_use"} 3`,
		`ctrip_database_connections_max 32`,
		`ctrip_database_waits_total 7`,
		`ctrip_redis_connections{state="in_use"} 3`,
		`ctrip_redis_pool_timeouts_total 1`,
		`ctrip_lane_tasks{lane="wh:0",state="pending"} 6`,
		`ctrip_lane_oldest_seconds{lane="wh:0"} 90`,
		`ctrip_lane_expired_leases{lane="wh:0"} 1`,
		`ctrip_endpoint_breaker_open 3`,
		`ctrip_endpoint_secret_age_seconds 86400`,
		`ctrip_sweeper_requeued_total 5`,
		`ctrip_chain_lag_blocks{chain="base"} 10`,
		`ctrip_chain_lag_blocks{chain="behind"} 0`,
		`ctrip_chain_reorg_depth_blocks_bucket{chain="base",le="2"} 1`,
		`ctrip_chain_disagreements_total{chain="base"} 1`,
		`ctrip_chain_disagreements_total{chain="polygon"} 0`,
		`ctrip_chain_addresses_watched{chain="base"} 12`,
		`ctrip_chain_head_still_seconds{chain="dark"} 180`,
		`ctrip_chain_seen_age_seconds{chain="base"} 60`,
		`ctrip_webhook_phase_seconds_count{phase="dns"} 1`,
		`ctrip_webhook_phase_seconds_sum{phase="answer"} 1`,
		`ctrip_payments_in_quarantine 3`,
		`ctrip_record_write_age_seconds 7`,
		`ctrip_connections_refused_total{limit="total",listener="ops"} 0`,
		`ctrip_chain_head_block{chain="base"} 110`,
		`ctrip_chain_blocks_scanned_total{chain="base"} 12`,
		`ctrip_chain_reorgs_total{chain="base"} 1`,
		`ctrip_chain_halted{chain="base"} 1`,
		`ctrip_rpc_errors_total{chain="base",provider="rpc.test:8545"} 1`,
		`ctrip_payments_moved_total{status="confirmed"} 1`,
		`ctrip_payments_quarantined_total 1`,
		`ctrip_api_requests_total{code="200",method="GET",route="/api/v1/payments/:id"} 1`,
		`ctrip_api_requests_total{code="404",method="other",route="unmatched"} 1`,
		`ctrip_api_requests_total{code="404",method="GET",route="/bad?"} 1`,
		`ctrip_api_request_seconds_count{method="GET",route="/api/v1/payments/:id"} 1`,
		`ctrip_api_auth_failures_total 1`,
		`ctrip_portal_sign_in_failures_total 1`,
		`ctrip_connections_refused_total{limit="total",listener="API"} 1`,
		`go_goroutines `,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("missing %s", want)
		}
	}
	if strings.Contains(got, "KEY") || strings.Contains(got, "pass") {
		t.Error("a provider's URL is a label")
	}
	if strings.Contains(got, `ctrip_chain_lag_blocks{chain="polygon"}`) {
		t.Error("a chain that nobody has looked at has no lag")
	}
	suffix := regexp.MustCompile(`_(bucket|sum|count)$`)
	for _, name := range regexp.MustCompile(`(?m)^ctrip_[a-z_]+`).FindAllString(got, -1) {
		if !strings.Contains(got, "# HELP "+suffix.ReplaceAllString(name, "")+" ") {
			t.Errorf("%s has no help", name)
		}
	}
}

func TestMetricsChainHaltEnds(t *testing.T) {
	m := NewMetrics()
	m.ChainHalted("base", true)
	m.ChainHalted("base", false)
	if got := scrape(t, m); !strings.Contains(got, `ctrip_chain_halted{chain="base"} 0`) {
		t.Errorf("still halted")
	}
}

// Every method works on nil: those of useAll, and any that is added later.
func TestNilMetrics(t *testing.T) {
	var m *Metrics
	useAll(m)
	v := reflect.ValueOf(m)
	for i := range v.NumMethod() {
		method := v.Method(i)
		inputs := method.Type().NumIn()
		if method.Type().IsVariadic() {
			inputs--
		}
		var args []reflect.Value
		for j := range inputs {
			args = append(args, reflect.Zero(method.Type().In(j)))
		}
		method.Call(args)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("nil metrics answer %d", w.Code)
	}
}

func TestTwoMetricsDoNotMeet(t *testing.T) {
	a, b := NewMetrics(), NewMetrics()
	a.Dead()
	if got := scrape(t, b); !strings.Contains(got, "ctrip_webhook_dead_total 0") {
		t.Error("registries are shared")
	}
}
