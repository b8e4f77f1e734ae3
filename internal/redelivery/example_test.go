package redelivery_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// A delivery that was canceled is sent again as a delivery of its own: the same event, a budget of its own.
func ExampleService_Redeliver() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	svc, err := redelivery.New(redelivery.Options{Store: s, MaxAttempts: 15, Now: func() time.Time { return now }})
	if err != nil {
		panic(err)
	}
	var old, next models.Delivery
	err = s.InTx(ctx, func(tx *store.Tx) error {
		event := models.Event{ID: "evt_1", MerchantID: "mer_1", Type: "payment.created", Body: []byte("{}"), CreatedAt: now}
		err := errors.Join(
			tx.InsertMerchant(ctx, models.Merchant{ID: "mer_1", CreatedAt: now, UpdatedAt: now}),
			tx.InsertEndpoint(ctx, models.Endpoint{ID: "we_1", MerchantID: "mer_1", URL: "https://shop.example/hooks",
				Events: []string{"*"}, Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1,
				CreatedAt: now, UpdatedAt: now}),
		)
		if err != nil {
			return err
		}
		published, err := outbox.Publish(ctx, tx, []models.Event{event}, 15)
		if err != nil {
			return err
		}
		old = published[0]
		_, err = tx.CancelDeliveries(ctx, "we_1", now)
		return err
	})
	if err != nil {
		panic(err)
	}

	err = s.InTx(ctx, func(tx *store.Tx) (err error) {
		next, err = svc.Redeliver(ctx, tx, models.Actor{Name: "operator:ann"}, "mer_1", old.ID)
		return err
	})
	fmt.Println(next.State, next.ID != old.ID, *next.ReplayOf == old.ID, next.EventID == old.EventID, err)
	// Output:
	// pending true true true <nil>
}
