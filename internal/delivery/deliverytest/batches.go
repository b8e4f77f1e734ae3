package deliverytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Batching asks for batches of an endpoint.
func Batching(most int, wait time.Duration) func(*delivery.Settings) {
	ms := int(wait.Milliseconds())
	m, w := &most, &ms
	return func(set *delivery.Settings) { set.BatchMaxEvents, set.BatchMaxWaitMS = &m, &w }
}

// Batcher makes a Batcher on the clock of the world.
func (w *World) Batcher() *delivery.Batcher {
	w.T.Helper()
	b, err := delivery.NewBatcher(delivery.BatcherOptions{Store: w.Store, MaxAttempts: 15, Logger: w.Logger, Now: func() time.Time { return w.Now() }})
	must(w.T, err)
	return b
}

// Payment builds an event about a payment, of which the body is pad bytes longer than need be.
func (w *World) Payment(merchantID string, pad int) models.Event {
	w.T.Helper()
	now := w.now()
	nonce, err := webhook.NewNonce(nil)
	must(w.T, err)
	e := models.Event{ID: models.NewID(models.PrefixEvent, now), MerchantID: merchantID, Type: string(webhook.PaymentCreated), CreatedAt: now}
	e.Body, err = webhook.Encode(webhook.Event{
		ID: e.ID, Type: webhook.PaymentCreated, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now), Timestamp: now.Unix(), Nonce: nonce,
		MerchantID: merchantID, Data: webhook.Data{Payment: &webhook.Payment{
			ID: models.NewID(models.PrefixPayment, now), Sequence: 1, Status: "pending", Chain: "ethereum", ChainID: 1,
			Asset: webhook.Asset{Symbol: "USDC", Decimals: 6}, Address: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Amount: "1500000",
			AmountDecimal: "1.5", AmountReceived: "0", AmountConfirmed: "0", RequiredConfirmations: 12, CreatedAt: webhook.At(now),
			ExpiresAt: webhook.At(now.Add(time.Hour)), Metadata: map[string]string{"pad": strings.Repeat("x", pad)},
		}},
	})
	must(w.T, err)
	return e
}

// PublishPayments writes n events about payments, one after the other, and returns their deliveries.
func (w *World) PublishPayments(merchantID string, n, pad int) []models.Delivery {
	w.T.Helper()
	var all []models.Delivery
	w.InTx(func(tx *store.Tx) error {
		all = nil
		for i := range n {
			e := w.Payment(merchantID, pad)
			e.CreatedAt = e.CreatedAt.Add(time.Duration(i) * time.Microsecond) // so that there is an order
			ds, err := tx.Publish(w.T.Context(), e, 15)
			if err != nil {
				return fmt.Errorf("publish %s: %w", e.ID, err)
			}
			all = append(all, ds...)
		}
		return nil
	})
	return all
}
