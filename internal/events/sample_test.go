package events

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestSamplesFitTheirSchemas: every payment type has a sample, which is an event like any other.
func TestSamplesFitTheirSchemas(t *testing.T) {
	encoder, err := New()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, typ := range webhook.EventTypes() {
		if !typ.IsPayment() {
			continue
		}
		e := webhook.Event{
			ID: models.NewID(models.PrefixEvent, now), Type: typ, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now), Timestamp: now.Unix(),
			Nonce: "0123456789abcdef0123456789abcdef", MerchantID: models.NewID(models.PrefixMerchant, now), Data: Sample(typ, now),
		}
		if _, err := encoder.Encode(e); err != nil {
			t.Error(err)
		}
		p := e.Data.Payment
		if *p.OrderID != SampleOrderID || p.ChainID == 1 {
			t.Errorf("the sample of %s could be taken for a sale", typ)
		}
		if (typ == webhook.PaymentReorged) != (len(e.Data.Retracts) > 0) || (typ == webhook.PaymentConfirmed) && p.Status != "confirmed" {
			t.Errorf("%s: %+v", typ, p)
		}
	}
}
