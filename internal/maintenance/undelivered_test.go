package maintenance_test

import (
	"context"
	"database/sql"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// TestUndeliveredIsCounted: the webhook of a confirmed payment that no endpoint has got for an hour is counted, and no
// longer when one has got it or an operator holds it back; dead letters are counted too.
func TestUndeliveredIsCounted(t *testing.T) {
	s, owner := storetest.Owned(t)
	f := deliverytest.New(t, s)
	metrics := telemetry.NewMetrics()
	watch, err := maintenance.NewWatch(maintenance.WatchOptions{Store: s, Endpoints: f.Endpoints, Metrics: metrics,
		Logger: f.Logger, Now: f.Now})
	if err != nil {
		t.Fatal(err)
	}
	look := func(dead, unannounced string) {
		t.Helper()
		if err := watch.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		for _, want := range []string{"\nctrip_webhook_dead_letters " + dead + "\n",
			"\nctrip_payments_unannounced " + unannounced + "\n"} {
			if !strings.Contains(page.Body.String(), want) {
				t.Errorf("no line %q", strings.TrimSpace(want))
			}
		}
	}
	m := f.Merchant()
	f.Endpoint(m, "https://shop.example/")
	other, _ := f.Endpoint(m, "https://other.example/")
	ds := f.Publish(m, 3) // two deliveries each
	if len(ds) != 6 {
		t.Fatalf("%d deliveries", len(ds))
	}
	age := func(by time.Duration) {
		exec(t, owner, "UPDATE deliveries SET event_type = 'payment.confirmed', created_at = $1", f.Now().Add(-by))
	}
	age(30 * time.Minute)
	look("0", "0") // not an hour yet
	age(2 * time.Hour)
	look("0", "3")
	exec(t, owner, "UPDATE deliveries SET parked = TRUE") // its breaker is open
	look("0", "3")
	exec(t, owner, "UPDATE merchants SET deliveries_paused_at = $1", f.Now())
	look("0", "0") // an operator has paused the merchant
	exec(t, owner, "UPDATE merchants SET deliveries_paused_at = NULL")
	exec(t, owner, "UPDATE delivery_pause SET paused_at = $1", f.Now())
	look("0", "0") // or everybody
	exec(t, owner, "UPDATE delivery_pause SET paused_at = NULL")
	exec(t, owner, "UPDATE deliveries SET parked = FALSE")
	exec(t, owner, "UPDATE deliveries SET state = 'dead', dead_reason = 'exhausted', dead_at = $1 WHERE event_id = $2",
		f.Now(), ds[0].EventID)
	look("2", "3") // a dead one was not got either
	exec(t, owner, "UPDATE deliveries SET state = 'delivered', delivered_at = $1 WHERE event_id = $2 AND endpoint_id = $3",
		f.Now(), ds[0].EventID, other.ID)
	look("1", "2") // one of two endpoints has it
	exec(t, owner, "UPDATE deliveries SET state = 'held' WHERE state = 'pending'")
	look("1", "0") // held back on purpose
}

// TestWhatWaitsIsMeasured: payments in quarantine and the age of the oldest secret are counted by each look, and go
// back when they are settled.
func TestWhatWaitsIsMeasured(t *testing.T) {
	s, owner := storetest.Owned(t)
	f := deliverytest.New(t, s)
	metrics := telemetry.NewMetrics()
	watch, err := maintenance.NewWatch(maintenance.WatchOptions{Store: s, Endpoints: f.Endpoints, Metrics: metrics,
		Logger: f.Logger, Now: f.Now})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want string) { // the beginning of a line
		t.Helper()
		if err := watch.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		page := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		if !strings.Contains(page.Body.String(), "\n"+want) {
			t.Errorf("no line %q", want)
		}
	}
	m := f.Merchant()
	f.Endpoint(m, "https://shop.example/")
	// 10,000 s and what the test takes
	exec(t, owner, "UPDATE endpoint_secrets SET active_from = $1", f.Now().Add(-10_000*time.Second))
	look("ctrip_endpoint_secret_age_seconds 100")
	exec(t, owner, "UPDATE webhook_endpoints SET deleted_at = $1", f.Now())
	look("ctrip_endpoint_secret_age_seconds 0")
	look("ctrip_payments_in_quarantine 0")
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(context.WithoutCancel(t.Context()), statement, args...); err != nil {
		t.Fatal(err)
	}
}
