package events_test

import (
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

func test(reason string) webhook.Event {
	return webhook.Event{
		ID: models.NewID(models.PrefixEvent, noon), Type: webhook.WebhookTest, APIVersion: webhook.APIVersion,
		CreatedAt: webhook.At(noon), Timestamp: noon.Unix(), Nonce: strings.Repeat("0", 32), MerchantID: models.NewID(models.PrefixMerchant, noon),
		Data: webhook.Data{Endpoint: &webhook.Endpoint{ID: models.NewID(models.PrefixEndpoint, noon), URL: "https://shop.example", Status: "enabled", DisabledReason: &reason}},
	}
}

func ExampleEncoder_Encode() {
	enc, err := events.New()
	if err != nil {
		panic(err)
	}
	e := test("")
	e.Data.Endpoint.DisabledReason = nil
	body, err := enc.Encode(e)
	fmt.Println(err, strings.HasPrefix(string(body), `{"id":"evt_`))
	e.Data.Endpoint.Status = "asleep"
	_, err = enc.Encode(e)
	fmt.Println(err != nil)
	// Output:
	// <nil> true
	// true
}

func TestEncodeRefuses(t *testing.T) {
	enc, err := events.New()
	if err != nil {
		t.Fatal(err)
	}
	unknown := test("")
	unknown.Type = "payment.stolen"
	if _, err := enc.Encode(unknown); err == nil {
		t.Error("an unknown type was encoded")
	}
	if _, err := enc.Encode(test(strings.Repeat("x", webhook.MaxEventBytes))); !errors.Is(err, webhook.ErrTooLarge) {
		t.Errorf("64 KiB and more: %v", err)
	}
	foreign := test("")
	foreign.MerchantID = "somebody"
	if _, err := enc.Encode(foreign); err == nil {
		t.Error("a merchant id of another form was encoded")
	}
}
