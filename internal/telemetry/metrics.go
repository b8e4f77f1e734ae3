package telemetry

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is every number that the gateway counts, in a registry of its own. Other packages call its methods; a nil
// *Metrics records nothing. Durations are kept in seconds.
type Metrics struct {
	registry *prometheus.Registry

	attempts         *prometheus.CounterVec
	attemptSeconds   prometheus.Histogram
	phaseSeconds     *prometheus.HistogramVec
	eventToDelivered prometheus.Histogram
	oldestDue        prometheus.Gauge
	dead             prometheus.Counter
	deadLetters      prometheus.Gauge
	unannounced      prometheus.Gauge
	breakerOpen      prometheus.Gauge
	secretAge        prometheus.Gauge
	rejecting        prometheus.Gauge
	auditBroken      prometheus.Gauge
	quarantineOpen   prometheus.Gauge
	requeued         prometheus.Counter

	running *prometheus.GaugeVec
	chainMetrics

	reached     *prometheus.CounterVec
	quarantined prometheus.Counter

	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	authFailures   prometheus.Counter
	signInFailures prometheus.Counter
	refused        *prometheus.CounterVec
}

// latencyBuckets reach from a loopback answer to the longest endpoint timeout.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// deliveredBuckets reach from milliseconds to the last retry, three days on.
var deliveredBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 43200, 86400,
	259200}

// NewMetrics makes the metrics and registers them, with those of the Go runtime and the process. It is long because it
// is a list.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		r.MustRegister(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		r.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
		r.MustRegister(h)
		return h
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		r.MustRegister(h)
		return h
	}
	r.MustRegister(build(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry: r,
		attempts: counters("ctrip_webhook_attempts_total", "Webhook requests made, by what the answer meant.", "class"),
		attemptSeconds: histogram("ctrip_webhook_attempt_seconds", "Time from sending a webhook request to its verdict.",
			latencyBuckets),
		phaseSeconds: histograms("ctrip_webhook_phase_seconds",
			"Time of the phases of a webhook request that it had: dns, connect, tls, answer.", latencyBuckets, "phase"),
		eventToDelivered: histogram("ctrip_webhook_event_to_delivered_seconds",
			"Time from an event's creation to its delivery.", deliveredBuckets),
		oldestDue: gauge("ctrip_webhook_oldest_due_seconds", "How long the oldest due delivery has waited."),
		dead:      counter("ctrip_webhook_dead_total", "Deliveries that ran out of attempts or can never succeed."),
		deadLetters: gauge("ctrip_webhook_dead_letters",
			"Deliveries that are dead and neither replayed nor past retention; counted up to 100,000."),
		unannounced: gauge("ctrip_payments_unannounced",
			"Confirmed payments of the last week whose webhook has reached no endpoint for an hour; counted up to 1,000."),
		breakerOpen: gauge("ctrip_endpoint_breaker_open", "Endpoints whose circuit breaker is open."),
		secretAge:   gauge("ctrip_endpoint_secret_age_seconds", "Age of the oldest current endpoint secret."),
		rejecting: gauge("ctrip_webhook_rejecting_endpoints",
			"Endpoints that answered 401 or 403 in the last ten minutes."),
		auditBroken: gauge("ctrip_audit_broken",
			"1 while a line of the audit log is missing, changed or out of its place."),
		requeued: counter("ctrip_sweeper_requeued_total",
			"Due deliveries without a task that the sweeper queued again."),
		running:      gauges("ctrip_running", "1 for each role that this process plays: api, worker, scanner.", "role"),
		chainMetrics: newChainMetrics(counters, gauges, histograms),
		reached:      counters("ctrip_payments_moved_total", "Payments that reached a status.", "status"),
		quarantined:  counter("ctrip_payments_quarantined_total", "Payments set aside because processing them failed."),
		quarantineOpen: gauge("ctrip_payments_in_quarantine",
			"Payments that are set aside because processing them failed; counted up to 1,000."),
		requests: counters("ctrip_api_requests_total", "API requests answered.", "route", "method", "code"),
		requestSeconds: histograms("ctrip_api_request_seconds", "Time to answer an API request.", latencyBuckets, "route",
			"method"),
		signInFailures: counter("ctrip_portal_sign_in_failures_total", "Attempts to sign in to the portal with a bad key."),
		refused:        counters("ctrip_connections_refused_total", "Connections closed: too many.", "listener", "limit"),
		authFailures:   counter("ctrip_api_auth_failures_total", "API requests with a missing or bad key."),
	}
}

// Handler serves the metrics in Prometheus's text format.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// DeclareClasses makes every class appear at zero, so that rates and alerts work before the first of its kind.
func (m *Metrics) DeclareClasses(classes ...string) {
	if m == nil {
		return
	}
	for _, class := range classes {
		m.attempts.WithLabelValues(label(class))
	}
}

// Attempt counts one webhook request: what its answer meant, and how long it took.
func (m *Metrics) Attempt(class string, took time.Duration) {
	if m == nil {
		return
	}
	m.attempts.WithLabelValues(label(class)).Inc()
	m.attemptSeconds.Observe(took.Seconds())
}

// Phases are how long the parts of one webhook request took; 0 for those that it did not have, since a kept connection
// needs neither name nor handshake.
type Phases struct{ DNS, Connect, TLS, Answer time.Duration }

// Phases records the parts of one webhook request.
func (m *Metrics) Phases(p Phases) {
	if m == nil {
		return
	}
	for _, part := range []struct {
		phase string
		took  time.Duration
	}{{"dns", p.DNS}, {"connect", p.Connect}, {"tls", p.TLS}, {"answer", p.Answer}} {
		if part.took > 0 {
			m.phaseSeconds.WithLabelValues(part.phase).Observe(part.took.Seconds())
		}
	}
}

// Delivered records how long after its event's creation a delivery succeeded.
func (m *Metrics) Delivered(sinceEvent time.Duration) {
	if m != nil {
		m.eventToDelivered.Observe(max(sinceEvent, 0).Seconds())
	}
}

// Running says that this process plays a role; where no process says so of one, nobody does its work.
func (m *Metrics) Running(role string) {
	if m != nil {
		m.running.WithLabelValues(role).Set(1)
	}
}

// OldestDue sets how long the oldest due delivery has waited; 0 when none is due.
func (m *Metrics) OldestDue(age time.Duration) {
	if m != nil {
		m.oldestDue.Set(max(age, 0).Seconds())
	}
}

// Dead counts one delivery that will not be tried again.
func (m *Metrics) Dead() {
	if m != nil {
		m.dead.Inc()
	}
}

// DeadLetters sets how many deliveries are dead.
func (m *Metrics) DeadLetters(n int) {
	if m != nil {
		m.deadLetters.Set(float64(n))
	}
}

// Unannounced sets how many confirmed payments no endpoint has heard of.
func (m *Metrics) Unannounced(n int) {
	if m != nil {
		m.unannounced.Set(float64(n))
	}
}

// BreakersOpen sets the number of endpoints whose circuit breaker is open.
func (m *Metrics) BreakersOpen(endpoints int) {
	if m != nil {
		m.breakerOpen.Set(float64(endpoints))
	}
}

// RejectingEndpoints sets how many endpoints turned our signatures away lately.
func (m *Metrics) RejectingEndpoints(n int) {
	if m != nil {
		m.rejecting.Set(float64(n))
	}
}

// AuditBroken tells whether the audit log is not as it was written.
func (m *Metrics) AuditBroken(broken bool) {
	if m == nil {
		return
	}
	m.auditBroken.Set(0)
	if broken {
		m.auditBroken.Set(1)
	}
}

// SecretAge sets the age of the oldest current endpoint secret.
func (m *Metrics) SecretAge(oldest time.Duration) {
	if m != nil {
		m.secretAge.Set(max(oldest, 0).Seconds())
	}
}

// Requeued counts deliveries that a sweep queued again.
func (m *Metrics) Requeued(deliveries int) {
	if m != nil && deliveries > 0 {
		m.requeued.Add(float64(deliveries))
	}
}

// PaymentMoved counts a payment that reached a status.
func (m *Metrics) PaymentMoved(status string) {
	if m != nil {
		m.reached.WithLabelValues(label(status)).Inc()
	}
}

// Quarantined counts a payment that was set aside.
func (m *Metrics) Quarantined() {
	if m != nil {
		m.quarantined.Inc()
	}
}

// InQuarantine sets how many payments are set aside now.
func (m *Metrics) InQuarantine(n int) {
	if m != nil {
		m.quarantineOpen.Set(float64(n))
	}
}

// Request counts one API request. route is the pattern (/api/v1/payments/:id), never the path that was asked for.
func (m *Metrics) Request(route, method string, code int, took time.Duration) {
	if m == nil {
		return
	}
	if route == "" {
		route = "unmatched"
	}
	route = label(route)
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
	default:
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(code)).Inc()
	m.requestSeconds.WithLabelValues(route, method).Observe(took.Seconds())
}

// AuthFailure counts one API request with a missing or bad key.
func (m *Metrics) AuthFailure() {
	if m != nil {
		m.authFailures.Inc()
	}
}

// SignInFailed counts one attempt to sign in to the portal with a key that is none.
func (m *Metrics) SignInFailed() {
	if m != nil {
		m.signInFailures.Inc()
	}
}

// DeclareListener makes the refusals of a listener appear at zero, so that an alert hears of the first one.
func (m *Metrics) DeclareListener(listener string, limits ...string) {
	if m == nil {
		return
	}
	for _, limit := range limits {
		m.refused.WithLabelValues(label(listener), label(limit))
	}
}

// ConnectionRefused counts a connection that was closed because there were too many: in all ("total"), or of one
// address ("address").
func (m *Metrics) ConnectionRefused(listener, limit string) {
	if m != nil {
		m.refused.WithLabelValues(label(listener), label(limit)).Inc()
	}
}

// label makes a string fit to be a label: Prometheus panics on invalid UTF-8, and a label is a word, not a document.
func label(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) > 128 {
		s = strings.ToValidUTF8(s[:128], "")
	}
	return s
}

// hostOnly keeps the host of what should have been one already.
func hostOnly(s string) string {
	if _, rest, found := strings.Cut(s, "://"); found {
		s = rest
	}
	if i := strings.IndexAny(s, "/?#"); i >= 0 {
		s = s[:i]
	}
	return label(s[strings.LastIndex(s, "@")+1:])
}
