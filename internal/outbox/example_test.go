package outbox_test

import (
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/models"
)

func ExampleFanOut() {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	open := now.Add(time.Minute)
	endpoints := []models.Endpoint{
		{ID: "we_shop", MerchantID: "mer_1", Events: []string{"payment.*"}, Status: models.EndpointEnabled},
		{ID: "we_paused", MerchantID: "mer_1", Events: []string{"*"}, Status: models.EndpointPaused},
		{ID: "we_failing", MerchantID: "mer_1", Events: []string{"*"}, Status: models.EndpointEnabled, BreakerState: models.BreakerOpen, BreakerOpenUntil: &open},
		{ID: "we_other", MerchantID: "mer_2", Events: []string{"*"}, Status: models.EndpointEnabled},
	}
	event := models.Event{ID: "evt_1", MerchantID: "mer_1", Type: "payment.confirmed", CreatedAt: now}
	for _, d := range outbox.FanOut([]models.Event{event}, endpoints, 15) {
		fmt.Println(d.EndpointID, d.State, "suspended:", d.Suspended, "due in", d.NextAttemptAt.Sub(now))
	}
	// Output:
	// we_shop pending suspended: false due in 0s
	// we_paused held suspended: false due in 0s
	// we_failing pending suspended: true due in 1m0s
}
