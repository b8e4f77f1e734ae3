package store_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestEndpointStatsOfOldDeliveries: what was made before the window and is tried again, or died, inside of it counts.
func TestEndpointStatsOfOldDeliveries(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		e, ds := shop(t, s, 4)
		since := time.Now().UTC().Add(time.Hour) // all four were made before; the attempts are moved behind it
		var verdicts []store.Verdict
		for i, d := range ds {
			v := verdict(d, []models.DeliveryState{models.DeliveryPending, models.DeliveryDead, models.DeliveryDelivered,
				models.DeliveryPending}[i])
			v.Attempt.StartedAt, v.At = since.Add(time.Minute), since.Add(time.Minute)
			if i == 3 { // tried long ago, and not again
				v.Attempt.StartedAt = since.Add(-time.Minute)
			}
			verdicts = append(verdicts, v)
		}
		record(t, s, verdicts...)
		got, err := s.EndpointStats(t.Context(), e, since)
		if err != nil || got.Attempts != 2 || got.Succeeded != 0 || got.Dead != 1 || got.Pending != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		before, err := s.EndpointStats(t.Context(), e, since.Add(-24*time.Hour))
		if err != nil || before.Attempts != 4 || before.Dead != 1 {
			t.Errorf("%+v, %v", before, err)
		}
		if later, err := s.EndpointStats(t.Context(), e, since.Add(time.Hour)); err != nil || later.Attempts != 0 ||
			later.Dead != 0 {
			t.Errorf("%+v, %v", later, err)
		}
	})
}
