package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestExportsCostWhatTheirSizeCosts: a CSV export of twice as many rows, or of twice as long cells that a spreadsheet
// could take for formulas, costs no more than its size.
func TestExportsCostWhatTheirSizeCosts(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t), func(o *Options) { o.Limits.Rate, o.Limits.Burst = 1e9, 1e9 })
	_, few := c.merchant(t, "a", false)
	_, many := c.merchant(t, "b", false)
	const rows = 20
	for i := range 3 * rows {
		key := few
		if i >= rows {
			key = many
		}
		body := fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1","order_id":"=%d","metadata":{"k":%q}}`, i,
			strings.Repeat("@", 400))
		if w := c.ask(key, "POST", "/api/v1/payments", body); w.Code != http.StatusCreated {
			t.Fatal(w.Body)
		}
	}
	testkit.CostsItsSize(t, "a CSV of payments", rows, func(n int) {
		key := few
		if n > rows {
			key = many
		}
		if w := c.ask(key, "GET", "/api/v1/payments", "", "Accept", "text/csv"); w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
	})
	for _, unit := range []string{" ", "=", "\t", "＝", "\"", ",", "\n", "x", "\u2028"} {
		testkit.CostsItsSize(t, "a cell of "+unit, 1<<14, func(n int) {
			order := strings.Repeat(unit, n)
			if _, err := payments.Row(webhook.Payment{OrderID: &order,
				Metadata: map[string]string{"k": order}}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
