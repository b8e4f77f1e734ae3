package webhook_test

import (
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
	"github.com/ctrip-gateway/ctrip/webhook/guardtest"
)

func TestMemoryGuardSuite(t *testing.T) {
	now := time.Now()
	g, err := webhook.NewMemoryGuard(webhook.GuardOptions{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	guardtest.Run(t, g, func() { now = now.Add(webhook.DefaultClaimTTL) })
}
