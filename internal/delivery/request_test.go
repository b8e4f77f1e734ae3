package delivery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func ExampleCall_Header() {
	secret, err := webhook.ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		fmt.Println(err)
		return
	}
	call := Call{
		ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Body: []byte(`{"test": 2432232314}`), Attempt: 3, At: time.Unix(1614265330, 0),
		Secrets: webhook.Secrets{Current: secret}, Custom: map[string]string{"X-Tenant": "shop", "user-agent": "not mine"},
	}
	h := call.Header()
	for _, name := range []string{"Content-Type", "User-Agent", "X-Tenant", "Webhook-Id", "Webhook-Attempt", "Webhook-Timestamp", "Webhook-Signature"} {
		fmt.Printf("%s: %s\n", name, h.Get(name))
	}
	fmt.Println(recordRequest(http.Header{"X-Tenant": {"shop"}, "Webhook-Signature": {"v1,x"}, "Webhook-Id": {"evt_1"}}, call.Custom))
	// Output:
	// Content-Type: application/json
	// User-Agent: ctrip-webhook/1
	// X-Tenant: shop
	// Webhook-Id: msg_p5jXN8AQM9LWM0D4loKWxJek
	// Webhook-Attempt: 3
	// Webhook-Timestamp: 1614265330
	// Webhook-Signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=
	// {"Webhook-Id":"evt_1","Webhook-Signature":"[redacted]","X-Tenant":"[redacted]"}
}

// TestBefore goes through everything that can stop a request.
func TestBefore(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *time.Time { x := now.Add(d); return &x }
	base := store.Waiting{
		Delivery:       models.Delivery{ID: "dlv_1", State: models.DeliveryPending, Generation: 3, NextAttemptAt: now, EventType: "payment.created"},
		EndpointStatus: models.EndpointEnabled,
	}
	for name, c := range map[string]struct {
		change func(*store.Waiting)
		gen    int
		do     Step
		at     time.Time
		send   bool
	}{
		"due":                    {nil, 3, "", time.Time{}, true},
		"almost due":             {func(w *store.Waiting) { w.NextAttemptAt = now.Add(time.Second) }, 3, "", time.Time{}, true},
		"not quite due":          {func(w *store.Waiting) { w.NextAttemptAt = now.Add(3 * time.Second) }, 3, Again, now.Add(3 * time.Second), false},
		"not due":                {func(w *store.Waiting) { w.NextAttemptAt = now.Add(5 * time.Second) }, 3, postpone, now.Add(5 * time.Second), false},
		"older task":             {nil, 2, Handover, now, false},
		"task of the future":     {nil, 4, Ack, time.Time{}, false},
		"delivered":              {func(w *store.Waiting) { w.State = models.DeliveryDelivered }, 3, Ack, time.Time{}, false},
		"canceled":               {func(w *store.Waiting) { w.State = models.DeliveryCanceled }, 3, Ack, time.Time{}, false},
		"held":                   {func(w *store.Waiting) { w.State = models.DeliveryHeld }, 3, Ack, time.Time{}, false},
		"just died":              {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-9*time.Minute) }, 3, Bury, time.Time{}, false},
		"died long ago":          {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-11*time.Minute) }, 3, Handover, time.Time{}, false},
		"older task of the dead": {func(w *store.Waiting) { w.State, w.DeadAt = models.DeliveryDead, at(-11*time.Minute) }, 2, Ack, time.Time{}, false},
		"disabled":               {func(w *store.Waiting) { w.EndpointStatus = models.EndpointDisabled }, 3, Ack, time.Time{}, false},
		"test to disabled": {func(w *store.Waiting) {
			w.EndpointStatus, w.EventType = models.EndpointDisabled, "webhook.test"
		}, 3, "", time.Time{}, true},
		"test to deleted": {func(w *store.Waiting) { w.EndpointDeleted, w.EventType = true, "webhook.test" }, 3, Ack, time.Time{}, false},
		"gated":           {func(w *store.Waiting) { w.NotBefore = at(time.Minute) }, 3, postpone, now.Add(time.Minute), false},
		"parked":          {func(w *store.Waiting) { w.Suspended = true }, 3, Ack, time.Time{}, false},
		"parked, older":   {func(w *store.Waiting) { w.Suspended = true }, 2, Ack, time.Time{}, false},
		"breaker open":    {func(w *store.Waiting) { w.Breaker, w.BreakerUntil = models.BreakerOpen, at(time.Minute) }, 3, park, now.Add(time.Minute), false},
		"breaker overdue": {func(w *store.Waiting) { w.Breaker, w.BreakerUntil = models.BreakerOpen, at(-time.Minute) }, 3, park, now.Add(-time.Minute), false},
		"test, breaker open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.EventType = models.BreakerOpen, at(time.Minute), "webhook.test"
		}, 3, "", time.Time{}, true},
		"test of any type": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.SignWith, w.EndpointStatus = models.BreakerOpen, at(time.Minute), "all", models.EndpointDisabled
		}, 3, "", time.Time{}, true},
		"retry of a test, breaker open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.SignWith, w.Attempts = models.BreakerOpen, at(time.Minute), "all", 1
		}, 3, park, now.Add(time.Minute), false},
		"half open": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.BreakerProbe = models.BreakerHalfOpen, at(time.Minute), "dlv_2"
		}, 3, park, now.Add(time.Minute), false},
		"the probe": {func(w *store.Waiting) {
			w.Breaker, w.BreakerUntil, w.BreakerProbe = models.BreakerHalfOpen, at(time.Minute), "dlv_1"
		}, 3, "", time.Time{}, true},
		"closed again":     {func(w *store.Waiting) { w.Breaker = models.BreakerClosed }, 3, "", time.Time{}, true},
		"slow":             {func(w *store.Waiting) { w.EndpointSlow = true }, 3, postpone, now, false},
		"in the slow lane": {func(w *store.Waiting) { w.EndpointSlow, w.Slow = true, true }, 3, "", time.Time{}, true},
		"no longer slow":   {func(w *store.Waiting) { w.Slow = true }, 3, "", time.Time{}, true},
		"gate is over":     {func(w *store.Waiting) { w.NotBefore = at(0) }, 3, "", time.Time{}, true},
	} {
		w := base
		if c.change != nil {
			c.change(&w)
		}
		out, send := Before(&w, Task{DeliveryID: "dlv_1", Generation: c.gen}, now)
		if out.Do != c.do || send != c.send || !out.At.Equal(c.at) {
			t.Errorf("%s: %s at %v, send %v", name, out.Do, out.At, send)
		}
	}
	if out, send := Before(nil, Task{}, now); out.Do != Ack || send {
		t.Errorf("no row: %+v", out)
	}
}

func FuzzHeaderJSON(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("X-\x00", "\xff\"\\\u2028\x1f")
	f.Fuzz(func(t *testing.T, name, value string) {
		text := headerJSON(http.Header{name: {value}, "Z": {"1", "2"}}, func(string) bool { return false })
		var back map[string]string
		if err := json.Unmarshal([]byte(text), &back); err != nil || !utf8.ValidString(text) {
			t.Fatalf("%q: %v", text, err)
		}
		for _, r := range text {
			if r == 0 {
				t.Fatalf("NUL in %q", text)
			}
		}
	})
}
