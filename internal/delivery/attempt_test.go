package delivery_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func TestAttemptDelivers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		e, secret := w.Endpoint(m, r.URL, func(set *endpoints.Settings) {
			set.Headers = map[string]string{"X-Tenant": "shop-7", "Authorization": "Bearer hidden"}
		})
		d := w.Publish(m, 1)[0]
		out := w.Sender().Attempt(t.Context(), deliverytest.Task(d))
		if out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("outcome %+v", out)
		}
		got := r.WaitCount(t, 1, time.Second)[0]
		if _, err := webhook.Verify(got.Header, got.Body, []webhook.Secret{secret}); err != nil {
			t.Fatalf("the request does not verify: %v", err)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/json", "User-Agent": "ctrip-webhook/1", "Webhook-Id": d.EventID, "Webhook-Attempt": "1",
			"X-Tenant": "shop-7", "Authorization": "Bearer hidden", "X-Webhook-Signature": webhook.SignBody(secret, got.Body),
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
			}
		}
		if got.Header.Get("Traceparent") == "" || got.Header.Get("X-Webhook-Signature-Previous") != "" {
			t.Errorf("headers %v", got.Header)
		}
		row := w.Get(d)
		if row.State != models.DeliveryDelivered || row.Attempts != 1 || row.LastClass != "delivered" ||
			row.LastStatus != 204 || row.DeliveredAt == nil {
			t.Fatalf("row %+v", row)
		}
		as, err := s.Attempts(t.Context(), m, d.ID)
		if err != nil || len(as) != 1 {
			t.Fatalf("attempts %v, %v", as, err)
		}
		a := as[0]
		if a.Class != "delivered" || a.StatusCode != 204 || a.Number != 1 || a.EndpointID != e.ID || a.TotalMicros <= 0 ||
			a.RemoteIP != "127.0.0.1" {
			t.Errorf("attempt %+v", a)
		}
		shown, err := json.Marshal(a.RequestHeaders)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"X-Webhook-Signature", "Webhook-Signature", "X-Tenant", "Authorization"} {
			if a.RequestHeaders[name] != "[redacted]" {
				t.Errorf("recorded %s: %q", name, a.RequestHeaders[name])
			}
		}
		if a.RequestHeaders["Webhook-Id"] != d.EventID || strings.Contains(string(shown), "hidden") {
			t.Errorf("recorded %s", shown)
		}
		if out := w.Sender().Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack || out.Attempted ||
			len(r.All()) != 1 {
			t.Fatalf("a second task of a delivered row: %+v, %d requests", out, len(r.All()))
		}
	})
}

func TestAttemptRetriesThenDies(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 500, Body: []byte("bro\x00ken \xff"), Header: http.Header{"X-Bad": {"a\x80b"}}})
		m := w.Merchant()
		three := new(int)
		*three = 3
		w.Endpoint(m, r.URL, func(set *endpoints.Settings) { set.MaxAttempts = &three })
		d := w.Publish(m, 1)[0]
		sender := w.Sender(func(o *delivery.SenderOptions) { o.Schedule.Base = time.Millisecond })

		out := sender.Attempt(t.Context(), deliverytest.Task(d))
		if out.Do != delivery.Requeue || out.Delivery.Generation != 2 || out.Delivery.Attempts != 1 {
			t.Fatalf("after the first failure: %+v", out)
		}
		row := w.Get(d)
		if row.State != models.DeliveryPending || row.Generation != 2 || row.Attempts != 1 ||
			row.LastClass != "server_error" ||
			row.SweepAfter.Sub(row.NextAttemptAt) != 180*time.Second {
			t.Fatalf("row %+v", row)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Requeue || out.Attempted ||
			out.Delivery.Generation != 2 {
			t.Fatalf("a stale task: %+v", out)
		}
		out = sender.Attempt(t.Context(), deliverytest.Task(row))
		if out.Do != delivery.RetryLater || !out.Attempted {
			t.Fatalf("after the second failure: %+v", out)
		}
		out = sender.Attempt(t.Context(), deliverytest.Task(row))
		if out.Do != delivery.Archive || !out.Attempted {
			t.Fatalf("after the last failure: %+v", out)
		}
		row = w.Get(d)
		if row.State != models.DeliveryDead || row.Attempts != 3 || row.DeadReason != "attempts exhausted" ||
			row.DeadAt == nil || row.ArchivedAt != nil {
			t.Fatalf("row %+v", row)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(row)); out.Do != delivery.Archive || out.Attempted ||
			len(r.All()) != 3 {
			t.Fatalf("the task of a dead row: %+v, %d requests", out, len(r.All()))
		}
		for i, got := range r.All() {
			if got.Header.Get("Webhook-Attempt") != string(rune('1'+i)) || string(got.Body) != string(r.All()[0].Body) {
				t.Errorf("request %d: attempt %s", i, got.Header.Get("Webhook-Attempt"))
			}
		}

		// Ten minutes later it is an operator's Run: a new row, once however often the task comes.
		later := w.Now().Add(11 * time.Minute)
		w.Now = func() time.Time { return later }
		for range 2 {
			if out := sender.Attempt(t.Context(), deliverytest.Task(row)); out.Do != delivery.Ack {
				t.Fatalf("run: %+v", out)
			}
		}
		rows, err := s.ListDeliveries(t.Context(), m, store.DeliveryFilter{}, store.Page{Limit: 10})
		if err != nil || len(rows) != 2 || rows[0].ReplayOf == nil || *rows[0].ReplayOf != d.ID || rows[0].AttemptBase != 3 ||
			rows[0].EventID != d.EventID {
			t.Fatalf("rows %+v, %v", rows, err)
		}
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 2 {
			t.Fatalf("audit lines %d, %v", n, err)
		}
	})
}

func TestAttemptBlockedByFormDies(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t), func(o *endpoints.Options) { o.CheckURL = passURL })
	m := w.Merchant()
	w.Endpoint(m, "https://10.0.0.1/hook")
	d := w.Publish(m, 1)[0]
	if out := w.Sender().Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Archive {
		t.Fatalf("outcome %+v", out)
	}
	if row := w.Get(d); row.State != models.DeliveryDead || row.LastClass != "blocked" || row.LastStatus != 0 {
		t.Fatalf("row %+v", row)
	}
}

func TestAttemptGoneDisablesEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		gone, other := testkit.NewReceiver(t), testkit.NewReceiver(t)
		gone.Answers(testkit.Answer{Status: 410})
		m := w.Merchant()
		e, _ := w.Endpoint(m, gone.URL)
		w.Endpoint(m, other.URL)
		var told []models.Delivery
		var mu sync.Mutex
		s.OnCommit(func(ds []models.Delivery) { mu.Lock(); defer mu.Unlock(); told = append(told, ds...) })
		var mine []models.Delivery
		for _, d := range w.Publish(m, 2) {
			if d.EndpointID == e.ID {
				mine = append(mine, d)
			}
		}
		told = nil
		sender := w.Sender()
		if out := sender.Attempt(t.Context(), deliverytest.Task(mine[0])); out.Do != delivery.Archive {
			t.Fatalf("outcome %+v", out)
		}
		got, err := s.Endpoint(t.Context(), m, e.ID)
		if err != nil || got.Status != models.EndpointDisabled || !strings.Contains(got.DisabledReason, "410") {
			t.Fatalf("endpoint %+v, %v", got, err)
		}
		if row := w.Get(mine[1]); row.State != models.DeliveryHeld {
			t.Fatalf("the other delivery is %s", row.State)
		}
		mu.Lock()
		if len(told) != 1 || told[0].EventType != "endpoint.disabled" || told[0].EndpointID == e.ID {
			t.Fatalf("announced to %+v", told)
		}
		announced := told[0]
		mu.Unlock()
		if out := sender.Attempt(t.Context(), deliverytest.Task(announced)); out.Do != delivery.Ack {
			t.Fatalf("announcement: %+v", out)
		}
		if got := other.WaitCount(t, 1, time.Second)[0]; got.Type() != "endpoint.disabled" {
			t.Fatalf("received %s", got.Body)
		}

		// Enabling resumes what is held, under a new generation; the sweeper brings it.
		w.InTx(func(tx *store.Tx) error {
			_, err := w.Endpoints.Enable(t.Context(), tx, models.Actor{Name: "key:x"}, m, e.ID)
			return err
		})
		gone.Answers(testkit.Answer{})
		due, err := s.ClaimSweep(t.Context(), time.Now().UTC(), 10, outbox.Sweep)
		if err != nil || len(due) != 1 || due[0].ID != mine[1].ID || due[0].Generation != 2 {
			t.Fatalf("due %+v, %v", due, err)
		}
		if out := sender.Attempt(t.Context(), deliverytest.Task(due[0])); out.Do != delivery.Ack || !out.Attempted {
			t.Fatalf("resumed: %+v", out)
		}
	})
}

func TestAttemptRetryAfterGatesEndpoint(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 429, Header: http.Header{"Retry-After": {"7200"}}}, testkit.Answer{})
		m := w.Merchant()
		w.Endpoint(m, r.URL)
		ds := w.Publish(m, 2)
		sender := w.Sender()
		start := time.Now()
		out := sender.Attempt(t.Context(), deliverytest.Task(ds[0]))
		if out.Do != delivery.Requeue || out.At.Sub(start) < 2*time.Hour-time.Second {
			t.Fatalf("throttled: %+v", out)
		}
		out = sender.Attempt(t.Context(), deliverytest.Task(ds[1]))
		row := w.Get(ds[1])
		wait := row.NextAttemptAt.Sub(start)
		if out.Do != delivery.Ack || out.Attempted || wait < time.Hour-time.Second || wait > time.Hour+time.Minute ||
			!row.SweepAfter.Equal(row.NextAttemptAt) {
			t.Fatalf("waiting behind the gate: %+v, %+v", out, row)
		}
		if row.Attempts != 0 || len(r.All()) != 1 {
			t.Fatalf("a gated delivery spent %d attempts", row.Attempts)
		}
	})
}

// TestLateSuccessCounts posts for an old generation: a success is accepted from any, a failure only from the current
// one.
func TestStaleGenerationVerdicts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		r := testkit.NewReceiver(t)
		m := w.Merchant()
		w.Endpoint(m, r.URL)
		for _, status := range []int{500, 200} {
			d := w.Publish(m, 1)[0]
			before := len(r.All())
			r.Answers(testkit.Answer{Status: status, Hang: false, Delay: time.Minute})
			done := make(chan delivery.Outcome, 1)
			sender := w.Sender(func(o *delivery.SenderOptions) { o.Timeout = 20 * time.Second })
			go func() { done <- sender.Attempt(context.Background(), deliverytest.Task(d)) }()
			r.WaitCount(t, before+1, 5*time.Second)
			if _, err := s.BumpGeneration(t.Context(), []models.Delivery{d}, time.Now().UTC(), outbox.Sweep); err != nil {
				t.Fatal(err)
			}
			r.Release()
			out := <-done
			row := w.Get(d)
			if status == 500 &&
				(out.Do != delivery.Requeue || row.Attempts != 0 || row.Generation != 2 || row.State != models.DeliveryPending) {
				t.Errorf("a stale failure: %+v, row %+v", out, row)
			}
			if status == 200 && (out.Do != delivery.Ack || row.State != models.DeliveryDelivered || row.Attempts != 1) {
				t.Errorf("a stale success: %+v, row %+v", out, row)
			}
			if as, err := s.Attempts(t.Context(), m, d.ID); err != nil || len(as) != 1 {
				t.Errorf("attempts on record: %d, %v", len(as), err)
			}
		}
	})
}

func TestRotationHoldsFromTheNextAttempt(t *testing.T) {
	w := deliverytest.New(t, storetest.SQLite(t))
	r := testkit.NewReceiver(t)
	m := w.Merchant()
	e, old := w.Endpoint(m, r.URL)
	sender := w.Sender()
	attempt := func() testkit.Received {
		t.Helper()
		n := len(r.All())
		if out := sender.Attempt(t.Context(), deliverytest.Task(w.Publish(m, 1)[0])); out.Do != delivery.Ack {
			t.Fatalf("outcome %+v", out)
		}
		return r.WaitCount(t, n+1, time.Second)[n]
	}
	attempt()
	var fresh webhook.Secret
	rotate := func(rot endpoints.Rotation) {
		t.Helper()
		w.InTx(func(tx *store.Tx) (err error) {
			_, fresh, err = w.Endpoints.RotateSecret(t.Context(), tx, models.System, m, e.ID, rot)
			return err
		})
	}
	rotate(endpoints.Rotation{})
	got := attempt()
	if got.Header.Get(webhook.HeaderSignature) != webhook.SignBody(fresh, got.Body) ||
		got.Header.Get(webhook.HeaderSignaturePrevious) != webhook.SignBody(old, got.Body) {
		t.Fatal("both secrets must sign right after a rotation")
	}
	current := fresh
	brought := "a secret that the shop has brought along"
	rotate(endpoints.Rotation{Secret: &brought, ActivateIn: time.Hour})
	got = attempt()
	if got.Header.Get(webhook.HeaderSignature) != webhook.SignBody(current, got.Body) ||
		got.Header.Get(webhook.HeaderSignatureNext) != webhook.SignBody(fresh, got.Body) {
		t.Fatal("the next secret must sign second until it is activated")
	}
	if n := len(strings.Fields(got.Header.Get(webhook.HeaderStandardSignature))); n != 3 {
		t.Fatalf("%d signatures", n)
	}
	none := time.Duration(0)
	rotate(endpoints.Rotation{Overlap: &none})
	got = attempt()
	if got.Header.Get(webhook.HeaderSignature) != webhook.SignBody(fresh, got.Body) ||
		got.Header.Get(webhook.HeaderSignaturePrevious) != "" {
		t.Fatal("without an overlap only the new secret signs")
	}
}
