package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/maintenance"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// Retention drops an event that is old and of which no delivery is left.
func ExampleRetention_Pass() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	made := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	id := models.NewID(models.PrefixEvent, made)
	err := s.InTx(ctx, func(tx *store.Tx) error {
		if err := tx.InsertMerchant(ctx, models.Merchant{ID: "mer_1", CreatedAt: made, UpdatedAt: made}); err != nil {
			return err
		}
		return tx.InsertEvents(ctx, []models.Event{{ID: id, MerchantID: "mer_1", Type: "payment.created",
			Body: []byte("{}"), CreatedAt: made}})
	})
	if err != nil {
		panic(err)
	}
	for _, days := range []int{60, 120} {
		retention, err := maintenance.NewRetention(maintenance.RetentionOptions{
			Store: s, Deliveries: 30 * day, Events: 90 * day, Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return made.AddDate(0, 0, days) },
		})
		if err != nil {
			panic(err)
		}
		err = retention.Pass(ctx)
		_, missing := s.EventByID(ctx, id)
		fmt.Printf("after %d days: %v, dropped: %v\n", days, err, errors.Is(missing, models.ErrNotFound))
	}
	// Output:
	// after 60 days: <nil>, dropped: false
	// after 120 days: <nil>, dropped: true
}
