package store

import (
	"context"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertEvents writes events, which are in the log in this order, without deliveries. Their positions are taken right
// before the commit.
func (tx *Tx) InsertEvents(ctx context.Context, events []models.Event) error {
	if len(events) == 0 {
		return nil
	}
	rows := make([]numberedEvent, len(events))
	for i, e := range events {
		rows[i] = numberedEvent{e, true}
	}
	if err := tx.with(ctx).Omit("Seq").Create(&rows).Error; err != nil {
		return wrap("insert events", err)
	}
	for _, e := range events {
		tx.events = append(tx.events, placed{e.MerchantID, e.ID})
	}
	return nil
}

// Subscribers reads what decides which endpoints of merchants get an event, in the order of the endpoint's id. Other
// fields are empty.
func (q *Queries) Subscribers(ctx context.Context, merchantIDs []string) ([]models.Endpoint, error) {
	var endpoints []models.Endpoint
	err := q.with(ctx).Select("id", "merchant_id", "events", "event_filter", "mode", "status", "max_attempts",
		"breaker_state",
		"breaker_open_until", "slow",
		"batch_max_events", "batch_max_wait_ms").
		Where("merchant_id IN ? AND deleted_at IS NULL", merchantIDs).Order("id").Find(&endpoints).Error
	return endpoints, wrap("endpoints of merchants", err)
}

// InsertDeliveries writes delivery rows; after the commit those that need a task reach the hook of [Store.OnCommit].
func (tx *Tx) InsertDeliveries(ctx context.Context, rows []models.Delivery) error {
	if len(rows) == 0 {
		return nil
	}
	if err := tx.with(ctx).Create(&rows).Error; err != nil {
		return wrap("insert deliveries", err)
	}
	tx.enqueue(rows...)
	return nil
}

// enqueue tells the hook of [Store.OnCommit], after the commit, about those of the rows that need a task.
func (tx *Tx) enqueue(rows ...models.Delivery) {
	for _, d := range rows {
		if d.NeedsTask() {
			tx.written = append(tx.written, d)
		}
	}
}

// Event reads one event of a merchant.
func (q *Queries) Event(ctx context.Context, merchantID, id string) (models.Event, error) {
	var e models.Event
	err := q.with(ctx).Where("merchant_id = ? AND id = ?", merchantID, id).Take(&e).Error
	return e, one("event "+id, err)
}

// EventByID reads an event whoever it belongs to.
func (q *Queries) EventByID(ctx context.Context, id string) (models.Event, error) {
	var e models.Event
	err := q.with(ctx).Where("id = ?", id).Take(&e).Error
	return e, one("event "+id, err)
}
