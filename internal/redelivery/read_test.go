package redelivery_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestReadingIsToldOnce: a session that reads a delivery's attempts again and again writes one line in ten minutes;
// another session, and another delivery, have lines of their own.
func TestReadingIsToldOnce(t *testing.T) {
	s := storetest.SQLite(t)
	w := deliverytest.New(t, s)
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return now }
	read := func(session, delivery string) {
		d := models.Delivery{ID: delivery, MerchantID: "mer_1"}
		if err := w.Redelivery.AuditRead(t.Context(), models.Actor{Name: "key:key_1"}, session, d); err != nil {
			t.Fatal(err)
		}
	}
	lines := func(want int64) {
		t.Helper()
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != want {
			t.Errorf("%d lines, %v, want %d", n, err, want)
		}
	}
	for range 5 {
		read("one", "dlv_1")
	}
	lines(1)
	read("one", "dlv_2")
	read("two", "dlv_1")
	lines(3)
	now = now.Add(10 * time.Minute)
	read("one", "dlv_1")
	read("one", "dlv_1")
	lines(4)
}
