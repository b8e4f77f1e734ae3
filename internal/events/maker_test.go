package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func endpoint() models.Endpoint {
	return models.Endpoint{
		ID: models.NewID(models.PrefixEndpoint, noon), MerchantID: models.NewID(models.PrefixMerchant, noon),
		URL: "https://shop.example", Status: models.EndpointEnabled,
	}
}

func maker(t *testing.T) *events.Maker {
	t.Helper()
	m, err := events.New()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ExampleMaker_Endpoint() {
	m, err := events.New()
	if err != nil {
		panic(err)
	}
	e, err := m.Endpoint(webhook.WebhookTest, endpoint(), events.SecretDates{}, noon)
	var body webhook.Event
	fmt.Println(err, json.Unmarshal(e.Body, &body), body.ID == e.ID)
	fmt.Println(body.Type, body.Timestamp, len(body.Nonce), body.Data.Endpoint.URL)
	// Output:
	// <nil> <nil> true
	// webhook.test 1795435200 32 https://shop.example
}

func ExampleMaker_Payment() {
	m, err := events.New()
	if err != nil {
		panic(err)
	}
	view := events.Sample(webhook.PaymentConfirmed, noon).Payment
	e, err := m.Payment(events.Payment{Type: webhook.PaymentConfirmed, MerchantID: endpoint().MerchantID, View: *view},
		noon)
	fmt.Println(err, e.Type, e.Sequence, *e.PaymentID == view.ID)
	view.Status = "asleep"
	_, err = m.Payment(events.Payment{Type: webhook.PaymentConfirmed, MerchantID: endpoint().MerchantID, View: *view},
		noon)
	fmt.Println(err != nil)
	// Output:
	// <nil> payment.confirmed 3 true
	// true
}

func TestEncodeRefuses(t *testing.T) {
	m := maker(t)
	if _, err := m.Endpoint("payment.stolen", endpoint(), events.SecretDates{}, noon); err == nil {
		t.Error("an unknown type was encoded")
	}
	large := endpoint()
	large.DisabledReason = strings.Repeat("x", webhook.MaxEventBytes)
	if _, err := m.Endpoint(webhook.EndpointDisabled, large, events.SecretDates{}, noon); !errors.Is(err,
		webhook.ErrTooLarge) {
		t.Errorf("64 KiB and more: %v", err)
	}
	foreign := endpoint()
	foreign.MerchantID = "somebody"
	if e, err := m.Endpoint(webhook.WebhookTest, foreign, events.SecretDates{}, noon); err == nil || e.Body != nil {
		t.Error("a merchant id of another form was encoded")
	}
}

func TestEveryEventIsItsOwn(t *testing.T) {
	m := maker(t)
	seen := make(map[string]bool)
	for range 100 {
		e, err := m.Endpoint(webhook.WebhookTest, endpoint(), events.SecretDates{}, noon)
		if err != nil {
			t.Fatal(err)
		}
		var body webhook.Event
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatal(err)
		}
		if seen[body.ID] || seen[body.Nonce] {
			t.Fatalf("id %s or nonce %s came twice", body.ID, body.Nonce)
		}
		seen[body.ID], seen[body.Nonce] = true, true
	}
}

// TestSamplesFitTheirSchemas: every payment type has a sample, which is an event like any other.
func TestSamplesFitTheirSchemas(t *testing.T) {
	m := maker(t)
	for _, typ := range webhook.EventTypes() {
		if !typ.IsPayment() {
			continue
		}
		e, err := m.Endpoint(typ, endpoint(), events.SecretDates{}, noon)
		if err != nil {
			t.Error(err)
			continue
		}
		var body webhook.Event
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatal(err)
		}
		p := body.Data.Payment
		if *p.OrderID != events.SampleOrderID || p.ChainID == 1 {
			t.Errorf("the sample of %s could be taken for a sale", typ)
		}
		if (typ == webhook.PaymentReorged) != (len(body.Data.Retracts) > 0) || (typ == webhook.PaymentConfirmed) &&
			p.Status != "confirmed" {
			t.Errorf("%s: %+v", typ, p)
		}
	}
}
