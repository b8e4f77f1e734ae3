package receivertest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// orders is a shop's state: what it did of each order, at which sequence.
type orders struct {
	mu    sync.Mutex
	ByID  map[string]string
	seq   map[string]int
	Sales []string // orders
}

// next is the sequence that follows the last one of an event's payment.
func (o *orders) next(e webhook.Event) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.seq[e.Data.Payment.ID] + 1
}

// apply takes an event; careless forgets the order of events.
func (o *orders) apply(e webhook.Event, careless bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := e.Data.Payment
	if !slices.Contains(webhook.EventTypes(), e.Type) || p == nil {
		return
	}
	if !careless && p.Sequence <= o.seq[p.ID] {
		return
	}
	o.seq[p.ID], o.ByID[*p.OrderID] = p.Sequence, p.Status
	if e.Type == webhook.PaymentConfirmed {
		o.Sales = append(o.Sales, *p.OrderID)
	}
}

func (o *orders) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := json.NewEncoder(w).Encode(o); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// shop serves a receiver at /hooks and its state at /orders.
func shop(t *testing.T, receiver func(*orders) http.Handler) *httptest.Server {
	t.Helper()
	o := &orders{ByID: map[string]string{}, seq: map[string]int{}}
	mux := http.NewServeMux()
	mux.Handle("/hooks", receiver(o))
	mux.Handle("/orders", o)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// failures names what a receiver got wrong.
func failures(t *testing.T, secret webhook.Secret, s *httptest.Server, effects bool) []string {
	t.Helper()
	o := Options{URL: s.URL + "/hooks", Secret: secret, Batches: true, Now: time.Now}
	if effects {
		o.EffectURL = s.URL + "/orders"
	}
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range report.Results {
		if !r.OK {
			names = append(names, r.Name)
			if r.Why == "" {
				t.Errorf("%s says nothing", r.Name)
			}
		}
	}
	if len(report.Results) < 20 || report.Failed != len(names) || report.OK() != (len(names) == 0) {
		t.Errorf("%d results, %d failed", len(report.Results), report.Failed)
	}
	return names
}

// TestReceivers: one that uses our middleware and orders by sequence passes; each careless one is caught at what it is
// careless about.
func TestReceivers(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []webhook.Secret{secret}
	middleware := func(careless bool) func(*orders) http.Handler {
		return func(o *orders) http.Handler {
			h, err := webhook.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				e, _ := webhook.FromContext(r.Context())
				o.apply(e, careless)
			}), webhook.Options{Secrets: secrets})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
	}
	// by judges a request and applies its event at once, without a guard.
	by := func(judge func(h http.Header, body []byte) error) func(*orders) http.Handler {
		return func(o *orders) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err == nil {
					err = judge(r.Header, body)
				}
				if err != nil {
					http.Error(w, err.Error(), http.StatusUnauthorized)
					return
				}
				if e, err := webhook.Decode(body); err == nil {
					o.apply(e, true)
				}
			})
		}
	}
	for _, c := range []struct {
		name     string
		receiver func(*orders) http.Handler
		effects  bool
		caught   []string // some that must be among the failures; none for a good receiver
		fine     []string // some that must not
	}{
		{"careful", middleware(false), true, nil, nil},
		{"careful, seen from outside", middleware(false), false, nil, nil},
		{"forgets the order", middleware(true), true, []string{"payment.detected, sequence 2, after sequence 3"}, []string{"the same request again", "a stranger's signature"}},
		{"verifies nothing", by(func(http.Header, []byte) error { return nil }), false,
			[]string{"a stranger's signature", "no signature headers", "another amount in the body",
				"a timestamp of a week ago, well signed"}, []string{"a genuine event"}},
		{"verifies no time", by(func(h http.Header, body []byte) error {
			return webhook.VerifySignature(h, body, secrets, webhook.WithTolerance(1000*time.Hour))
		}), true,
			[]string{"a timestamp of a week ago, well signed", "a timestamp 6 minutes ahead, well signed",
				"the same request again"}, []string{"a stranger's signature", "a new timestamp under an old signature"}},
		{"goes by the older scheme", by(func(h http.Header, body []byte) error { _, err := webhook.VerifyBody(h, body, secrets); return err }), true,
			[]string{"a new timestamp under an old signature", "another webhook-id"},
			[]string{"another amount in the body", "a stranger's signature"}},
		{"compares the beginning", by(func(h http.Header, body []byte) error {
			for back := range 3 {
				at := time.Now().Add(time.Duration(-back) * time.Second)
				given := strings.TrimPrefix(h.Get(webhook.HeaderStandardSignature), "v1,")
				if given != "" && strings.HasPrefix(webhook.Sign(secret, h.Get(webhook.HeaderID), at, body), "v1,"+given) {
					return nil
				}
			}
			return webhook.ErrBadSignature
		}), false, []string{"a signature cut short", "a signature of one character"},
			[]string{"a genuine event", "a stranger's signature"}},
		{"is not there", func(*orders) http.Handler { return http.NotFoundHandler() }, false, []string{"a genuine event"}, []string{"a stranger's signature"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			failed := failures(t, secret, shop(t, c.receiver), c.effects)
			if c.caught == nil && len(failed) > 0 {
				t.Errorf("a good receiver failed %q", failed)
			}
			for _, name := range c.caught {
				if !slices.Contains(failed, name) {
					t.Errorf("it got away with %q; caught: %q", name, failed)
				}
			}
			for _, name := range c.fine {
				if slices.Contains(failed, name) {
					t.Errorf("it failed %q", name)
				}
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no url": {Secret: secret, Now: time.Now}, "no secret": {URL: "http://127.0.0.1:1/", Now: time.Now},
		"a file": {URL: "file:///etc/passwd", Secret: secret, Now: time.Now}, "effects": {URL: "http://127.0.0.1:1/", EffectURL: "x", Secret: secret, Now: time.Now},
		"effects that are not there": {URL: "http://127.0.0.1:1/", EffectURL: "http://127.0.0.1:1/", Secret: secret, Now: time.Now},
	} {
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	report, err := Run(t.Context(), Options{URL: "http://127.0.0.1:1/", Secret: secret, Now: time.Now})
	if err != nil || report.Failed != len(report.Results) || report.Results[0].Error == "" {
		t.Errorf("nobody listens: %+v, %v", report, err)
	}
}
