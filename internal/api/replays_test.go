package api

import (
	"net/http"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

func TestReplayOverREST(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchant, key := c.merchant(t, "a", false)
		testKey := c.key(t, merchant, true)
		e := decoded[WebhookEndpoint](t, c.ask(key, "POST", "/api/v1/webhook_endpoints",
			`{"url":"https://shop.example/hooks","rate_limit":5,"batch_max_events":10,"batch_max_wait":0.25}`),
			http.StatusCreated)
		if e.RateLimit == nil || *e.RateLimit != 5 || e.BatchMaxEvents == nil || *e.BatchMaxEvents != 10 ||
			e.BatchMaxWait == nil || *e.BatchMaxWait != 0.25 {
			t.Fatalf("%+v", e)
		}
		e = decoded[WebhookEndpoint](t, c.ask(key, "PATCH", "/api/v1/webhook_endpoints/"+e.ID,
			`{"rate_limit":null,"batch_max_events":null,"batch_max_wait":null}`), http.StatusOK)
		if e.RateLimit != nil || e.BatchMaxEvents != nil || e.BatchMaxWait != nil {
			t.Fatalf("%+v", e)
		}
		for range 3 {
			decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"1"}`),
				http.StatusCreated)
		}
		base := "/api/v1/webhook_endpoints/" + e.ID
		stats := decoded[EndpointStats](t, c.ask(key, "GET", base+"/stats", ""), http.StatusOK)
		if stats.Pending != 3 || stats.Attempts != 0 || stats.SuccessRate != nil || stats.OldestPendingAt == nil {
			t.Errorf("%+v", stats)
		}

		// The clock stands still, so only what is asked for with an end before now can be older than the job: nothing.
		plan := decoded[Replay](t, c.ask(key, "POST", base+"/replay",
			`{"state":"dead","event_type":"payment.created","rate":10,"dry_run":true}`), http.StatusOK)
		if plan.ID != nil || plan.Status != "dry_run" || plan.Rate != 10 || *plan.State != "dead" ||
			*plan.EventType != "payment.created" {
			t.Errorf("%+v", plan)
		}
		job := decoded[Replay](t, c.ask(key, "POST", base+"/replay", "", "Idempotency-Key", "again"), http.StatusAccepted)
		if job.ID == nil || job.Status != "running" || job.Rate != 50 {
			t.Errorf("%+v", job)
		}
		if same := decoded[Replay](t, c.ask(key, "POST", base+"/replay", "", "Idempotency-Key", "again"),
			http.StatusAccepted); *same.ID != *job.ID {
			t.Errorf("the same request made %s and %s", *job.ID, *same.ID)
		}
		if p := decoded[Problem](t, c.ask(key, "POST", base+"/replay", ""),
			http.StatusConflict); p.Code != CodeReplayRunning {
			t.Errorf("%+v", p)
		}
		if got := decoded[Replay](t, c.ask(key, "GET", "/api/v1/replays/"+*job.ID, ""), http.StatusOK); *got.ID != *job.ID {
			t.Errorf("%+v", got)
		}
		for _, path := range []string{"/api/v1/replays/" + *job.ID, "/api/v1/replays/rep_unknown"} {
			if w := c.ask(testKey, "GET", path, ""); w.Code != http.StatusNotFound {
				t.Errorf("%s with a test key: %d", path, w.Code)
			}
		}
		for range 2 {
			if got := decoded[Replay](t, c.ask(key, "POST", "/api/v1/replays/"+*job.ID+"/cancel", ""),
				http.StatusOK); got.Status != "canceled" {
				t.Errorf("%+v", got)
			}
		}
		for body, field := range map[string]string{
			`{"rate":0}`: "rate", `{"state":"pending"}`: "state", `{"event_type":"x"}`: "event_type",
			`{"created_after":"yesterday"}`: "created_after",
		} {
			if p := decoded[Problem](t, c.ask(key, "POST", base+"/replay", body), http.StatusBadRequest); len(p.Errors) != 1 ||
				p.Errors[0].Field != field {
				t.Errorf("%s: %+v", body, p)
			}
		}
		if p := decoded[Problem](t, c.ask(key, "POST", base+"/replay", `{"created_after":"2030-01-01T00:00:00Z"}`),
			http.StatusUnprocessableEntity); p.Errors[0].Field != "created_after" {
			t.Errorf("%+v", p)
		}
	})
}
