package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// InsertEndpoint writes an endpoint.
func (tx *Tx) InsertEndpoint(ctx context.Context, e models.Endpoint) error {
	return wrap("insert endpoint "+e.ID, tx.with(ctx).Create(&e).Error)
}

// Endpoint reads one endpoint of a merchant. A deleted one is not found.
func (q *Queries) Endpoint(ctx context.Context, merchantID, id string) (models.Endpoint, error) {
	var e models.Endpoint
	err := q.with(ctx).Where("merchant_id = ? AND id = ? AND deleted_at IS NULL", merchantID, id).Take(&e).Error
	return e, one("endpoint "+id, err)
}

// EndpointByID reads an endpoint whoever owns it, also a deleted one.
func (q *Queries) EndpointByID(ctx context.Context, id string) (models.Endpoint, error) {
	var e models.Endpoint
	err := q.with(ctx).Where("id = ?", id).Take(&e).Error
	return e, one("endpoint "+id, err)
}

// LockEndpoint reads one endpoint of a merchant and locks its row until the transaction ends.
func (tx *Tx) LockEndpoint(ctx context.Context, merchantID, id string) (models.Endpoint, error) {
	var rows []models.Endpoint
	err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Endpoint{}, "")+
		" FROM webhook_endpoints WHERE merchant_id = ? AND id = ? AND deleted_at IS NULL"+
		tx.dialect.forUpdate(),
		merchantID, id).Scan(&rows).Error
	if err != nil {
		return models.Endpoint{}, wrap("lock endpoint "+id, err)
	}
	if len(rows) == 0 {
		return models.Endpoint{}, models.ErrNotFound
	}
	return rows[0], nil
}

// LockMerchant reads a merchant and locks its row, so that what is counted per merchant can be counted.
func (tx *Tx) LockMerchant(ctx context.Context, id string) (models.Merchant, error) {
	var rows []models.Merchant
	if err := tx.with(ctx).Raw("SELECT "+tx.columns(&models.Merchant{}, "")+" FROM merchants WHERE id = ?"+
		tx.dialect.forUpdate(),
		id).Scan(&rows).Error; err != nil {
		return models.Merchant{}, wrap("lock merchant "+id, err)
	}
	if len(rows) == 0 {
		return models.Merchant{}, models.ErrNotFound
	}
	return rows[0], nil
}

// ListEndpoints reads a page of a merchant's endpoints, all of them or those of test mode alone.
func (q *Queries) ListEndpoints(ctx context.Context, merchantID string, test bool, p Page) ([]models.Endpoint, error) {
	db := p.apply(q.with(ctx).Where("merchant_id = ? AND deleted_at IS NULL", merchantID))
	if test {
		db = db.Where("mode = 'test'")
	}
	var rows []models.Endpoint
	err := db.Find(&rows).Error
	return rows, wrap("list endpoints", err)
}

// EndpointsOf reads all endpoints of a merchant, newest first.
func (q *Queries) EndpointsOf(ctx context.Context, merchantID string) ([]models.Endpoint, error) {
	var rows []models.Endpoint
	err := q.with(ctx).Where("merchant_id = ? AND deleted_at IS NULL",
		merchantID).Order("created_at DESC, id DESC").Find(&rows).Error
	return rows, wrap("endpoints of "+merchantID, err)
}

// CountEndpoints counts the endpoints that a merchant made, by their modes.
func (q *Queries) CountEndpoints(ctx context.Context, merchantID string) (map[models.Mode]int, error) {
	var rows []struct {
		Mode models.Mode
		N    int
	}
	err := q.with(ctx).Model(&models.Endpoint{}).Select("mode, COUNT(*) AS n").
		Where("merchant_id = ? AND deleted_at IS NULL AND NOT is_default", merchantID).Group("mode").Scan(&rows).Error
	have := make(map[models.Mode]int)
	for _, r := range rows {
		have[r.Mode] = r.N
	}
	return have, wrap("count endpoints", err)
}

// SaveEndpoint writes what can change of an endpoint and moves its version on, which every worker notices at its next
// delivery. An endpoint that somebody else changed since e was read is [models.ErrConflict].
func (tx *Tx) SaveEndpoint(ctx context.Context, e models.Endpoint) (models.Endpoint, error) {
	read := e.Version
	e.Version++
	res := tx.with(ctx).Model(&models.Endpoint{}).Where("id = ? AND version = ?", e.ID, read).
		Select("URL", "Description", "Events", "Filter", "Status", "DisabledReason", "HeadersSealed", "CAPEM", "SPKIPins",
			"ClientCertPEM", "ClientKeySealed", "TimeoutMS", "RateLimit", "MaxInFlight", "MaxAttempts", "RetryBaseMS",
			"RetryMaxMS", "BatchMaxEvents", "BatchMaxWaitMS", "BreakerState", "BreakerOpenUntil", "BreakerTrips",
			"BreakerProbe", "Timeouts", "Failures", "NotBefore", "LastSuccessAt", "FailingSince", "Version", "UpdatedAt",
			"DeletedAt").Updates(&e)
	if res.Error != nil {
		return e, wrap("save endpoint "+e.ID, res.Error)
	}
	if res.RowsAffected == 0 {
		return e, fmt.Errorf("store: save endpoint %s: version %d is not the newest: %w", e.ID, read, models.ErrConflict)
	}
	return e, nil
}

// EndpointsSent are the ids of the endpoints that have a delivery of one of some events.
func (q *Queries) EndpointsSent(ctx context.Context, eventIDs []string) ([]string, error) {
	var ids []string
	for start := 0; start < len(eventIDs); start += chunk {
		var some []string
		err := q.with(ctx).Model(&models.Delivery{}).Distinct("endpoint_id").
			Where("event_id IN ?", eventIDs[start:min(start+chunk, len(eventIDs))]).Pluck("endpoint_id", &some).Error
		if err != nil {
			return nil, wrap("endpoints that were sent events", err)
		}
		ids = append(ids, some...)
	}
	return ids, nil
}

// GateEndpoint lets nothing be sent to an endpoint before until; an earlier gate is moved on, a later one stays.
func (q *Queries) GateEndpoint(ctx context.Context, id string, until time.Time) error {
	return wrap("gate endpoint "+id, q.with(ctx).Model(&models.Endpoint{}).
		Where("id = ? AND (not_before IS NULL OR not_before < ?)", id, until).UpdateColumn("not_before", until).Error)
}

// MerchantOfEndpoint is whom an endpoint belongs to.
func (q *Queries) MerchantOfEndpoint(ctx context.Context, id string) (string, error) {
	var e models.Endpoint
	err := q.with(ctx).Select("merchant_id").Where("id = ? AND deleted_at IS NULL", id).Take(&e).Error
	return e.MerchantID, one("endpoint "+id, err)
}

// PausedEndpoints are those that an operator paused.
func (q *Queries) PausedEndpoints(ctx context.Context) ([]models.Endpoint, error) {
	var rows []models.Endpoint
	err := q.with(ctx).Where("status = 'paused' AND deleted_at IS NULL").Order("id").Find(&rows).Error
	return rows, wrap("paused endpoints", err)
}

// EndpointTimeouts tells how long a request may take, by the id of the endpoint, where one sets that for itself.
func (q *Queries) EndpointTimeouts(ctx context.Context) (map[string]time.Duration, error) {
	var rows []models.Endpoint
	if err := q.with(ctx).Select("id, timeout_ms").Where("timeout_ms IS NOT NULL").Find(&rows).Error; err != nil {
		return nil, wrap("timeouts of endpoints", err)
	}
	timeouts := make(map[string]time.Duration, len(rows))
	for _, e := range rows {
		timeouts[e.ID] = time.Duration(*e.TimeoutMS) * time.Millisecond
	}
	return timeouts, nil
}

// HoldDeliveries holds every pending delivery of an endpoint and returns how many. Without tests, those go on.
func (tx *Tx) HoldDeliveries(ctx context.Context, endpointID string, tests bool, now time.Time) (int64, error) {
	res := tx.with(ctx).Exec(
		"UPDATE deliveries SET state = 'held', parked = FALSE, updated_at = ? WHERE endpoint_id = ? AND state = 'pending' AND (? OR event_type <> 'webhook.test' AND sign_with = '')",
		now, endpointID, tests)
	return res.RowsAffected, wrap("hold deliveries of "+endpointID, res.Error)
}

// ResumeDeliveries makes every held delivery of an endpoint due now, under a new generation, and returns how many. The
// sweeper enqueues them, oldest first, because there may be any number of them; members of a batch are sent with it,
// and what waits for a batch waits on.
func (tx *Tx) ResumeDeliveries(ctx context.Context, endpointID string, now time.Time,
	sweep SweepDelays) (int64, error) {
	res := tx.with(ctx).Exec(`UPDATE deliveries SET state = 'pending', generation = CASE WHEN `+waitsInBatch+` THEN generation ELSE generation + 1 END,
		next_attempt_at = ?, sweep_after = CASE WHEN `+isMember("deliveries")+` THEN ? WHEN `+waitsInBatch+` THEN ? ELSE created_at END, updated_at = ?
		WHERE endpoint_id = ? AND state = 'held'`, now, now.Add(sweep.Batched), now.Add(sweep.Resumed), now, endpointID)
	return res.RowsAffected, wrap("resume deliveries of "+endpointID, res.Error)
}

// CancelDeliveries ends every waiting delivery of an endpoint and returns how many.
func (tx *Tx) CancelDeliveries(ctx context.Context, endpointID string, now time.Time) (int64, error) {
	res := tx.with(ctx).Exec(
		"UPDATE deliveries SET state = 'canceled', updated_at = ? WHERE endpoint_id = ? AND state IN ('pending', 'held')",
		now, endpointID)
	return res.RowsAffected, wrap("cancel deliveries of "+endpointID, res.Error)
}
