package store

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// An event is of test mode when its payment is on a test chain or, without a payment, when its endpoint is a test
// endpoint. What names neither is of live mode.

// testEvent is the condition of an event of test mode, of the table or alias e.
func testEvent(e string) string {
	return "(CASE WHEN " + e + ".payment_id IS NOT NULL THEN " + testPayment(e) +
		" ELSE EXISTS (SELECT 1 FROM webhook_endpoints te WHERE te.id = " + e + ".endpoint_id AND te.mode = 'test') END)"
}

// testDelivery is the condition of a delivery of test mode, of the table or alias d. Rows of processes that knew no
// modes are asked for their event.
func testDelivery(d string) string {
	return "COALESCE(" + d + ".test, CASE WHEN " + d + ".payment_id IS NOT NULL THEN " + testPayment(d) +
		" ELSE EXISTS (SELECT 1 FROM events ev JOIN webhook_endpoints te ON te.id = ev.endpoint_id" +
		" WHERE ev.id = " + d + ".event_id AND te.mode = 'test') END)"
}

func testPayment(of string) string {
	return "EXISTS (SELECT 1 FROM payments tp WHERE tp.id = " + of + ".payment_id AND tp.test)"
}

// testShown is the condition of a delivery that a test key sees, of the table or alias d: of test mode, and to an
// endpoint that takes that. It begins in the words of the index deliveries_list_test.
func testShown(d string) string {
	return d + ".test IS NOT FALSE AND " + testDelivery(d) +
		" AND EXISTS (SELECT 1 FROM webhook_endpoints tw WHERE tw.id = " + d +
		".endpoint_id AND tw.mode <> 'live')"
}

// taken is the condition of a delivery that its endpoint takes by their modes, of the table or alias d.
func taken(d string) string {
	return "EXISTS (SELECT 1 FROM webhook_endpoints mw WHERE mw.id = " + d + ".endpoint_id AND (mw.mode = 'both' OR " +
		"(mw.mode = 'test') = " + testDelivery(d) + "))"
}

// EventIsTest reports whether a stored event is of test mode.
func (q *Queries) EventIsTest(ctx context.Context, id string) (bool, error) {
	var n int64
	err := q.with(ctx).Table("events").Where("id = ? AND "+testEvent("events"), id).Count(&n).Error
	return n > 0, wrap("mode of "+id, err)
}

// TestDelivery reports whether a test key may see a delivery: it is of test mode, and its endpoint takes that.
func (q *Queries) TestDelivery(ctx context.Context, id string) (bool, error) {
	var n int64
	err := q.with(ctx).Table("deliveries").Where("id = ? AND "+testShown("deliveries"), id).Count(&n).Error
	return n > 0, wrap("mode of "+id, err)
}

// SetMode writes the mode of an endpoint, and cancels what waits for it and is of a mode that it does not take. It
// returns how many those were.
func (tx *Tx) SetMode(ctx context.Context, e models.Endpoint, now time.Time) (models.Endpoint, int64, error) {
	e, err := tx.SaveEndpoint(ctx, e)
	if err == nil {
		err = tx.with(ctx).Model(&models.Endpoint{}).Where("id = ?", e.ID).UpdateColumn("mode", e.Mode).Error
	}
	if err != nil {
		return e, 0, wrap("mode of "+e.ID, err)
	}
	res := tx.with(ctx).Exec("UPDATE deliveries SET state = 'canceled', updated_at = ? WHERE endpoint_id = ? AND "+
		"state IN ('pending', 'held') AND event_id IS NOT NULL AND NOT "+taken("deliveries"), now, e.ID)
	return e, res.RowsAffected, wrap("cancel what "+e.ID+" takes no more", res.Error)
}

// BatchWaits reports whether a batch that was formed for an endpoint waits to be sent.
func (q *Queries) BatchWaits(ctx context.Context, endpointID string) (bool, error) {
	var n int64
	err := q.with(ctx).Table("deliveries").Where("endpoint_id = ? AND event_id IS NULL AND state IN ('pending', 'held')",
		endpointID).Count(&n).Error
	return n > 0, wrap("batches of "+endpointID, err)
}
