package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestSlowNeighbour: while the receivers of one merchant hold on to every request that they are given, another
// merchant's deliveries go out and arrive, at the same host and in the same lanes.
func TestSlowNeighbour(t *testing.T) {
	for name, c := range map[string]struct {
		hostInFlight int
		sameHost     bool
	}{
		"at one host":  {8, true},
		"in one lane":  {1000, false},
		"at two slots": {2, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, func(o *delivery.SenderOptions) {
				o.Timeout, o.HostInFlight = 50*time.Second, c.hostInFlight
			})
			hanging := h.receiver
			if !c.sameHost {
				hanging = testkit.NewReceiver(t)
			}
			answer := func(got testkit.Received) testkit.Answer {
				if strings.HasPrefix(got.Path, "/slow") {
					return testkit.Answer{Delay: time.Minute}
				}
				return testkit.Answer{}
			}
			h.receiver.Script(answer)
			hanging.Script(answer)
			defer func() {
				hanging.Script(nil)
				hanging.Release()
			}()
			other := h.Merchant()
			for _, path := range []string{"/slow1", "/slow2", "/slow3", "/slow4", "/slow5", "/slow6"} {
				h.Endpoint(other, hanging.URL+path)
			}
			h.Endpoint(h.merchant, h.receiver.URL+"/quick")
			h.produce()
			h.work()
			h.Publish(other, 20)
			const workers = 20 // of each of the two lanes
			first := min(c.hostInFlight, 2*workers) / 2
			hanging.WaitCount(t, first, 40*time.Second)
			ds := h.Publish(h.merchant, 10)
			for _, d := range ds {
				h.WaitState(d, models.DeliveryDelivered, 20*time.Second) // before the first of the others ends
			}
			for _, got := range hanging.All() {
				if strings.HasPrefix(got.Path, "/slow") && time.Since(got.At) > 45*time.Second {
					t.Fatal("the machine is too slow for this test to tell anything")
				}
			}
		})
	}
}
