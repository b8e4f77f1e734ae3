package store

import (
	"context"

	"github.com/ctrip-gateway/ctrip/models"
)

// DeliveryByID reads a delivery whoever it belongs to.
func (q *Queries) DeliveryByID(ctx context.Context, id string) (models.Delivery, error) {
	var d models.Delivery
	err := q.with(ctx).Where("id = ? AND event_id IS NOT NULL", id).Take(&d).Error
	return d, one("delivery "+id, err)
}

// DeliveriesOf reads every delivery of an event to an endpoint, replays included, oldest first.
func (q *Queries) DeliveriesOf(ctx context.Context, eventID, endpointID string) ([]models.Delivery, error) {
	var rows []models.Delivery
	err := q.with(ctx).Where("event_id = ? AND endpoint_id = ?", eventID,
		endpointID).Order("created_at, id").Find(&rows).Error
	return rows, wrap("deliveries of "+eventID, err)
}

// Batch reads a batch, with its body.
func (q *Queries) Batch(ctx context.Context, id string) (models.Batch, error) {
	var b models.Batch
	err := q.with(ctx).Where("id = ?", id).Take(&b).Error
	return b, one("batch "+id, err)
}

// AuditAbout reads the chained lines of the audit log about some subjects, oldest first; see [Store.ChainAudit].
func (q *Queries) AuditAbout(ctx context.Context, subjects []string) ([]models.AuditEntry, error) {
	var lines []models.AuditEntry
	err := q.with(ctx).Where("subject IN ?", subjects).Order("seq").Find(&lines).Error
	return lines, wrap("audit log", err)
}

// AuditTail reads the newest chained line of the audit log; [models.ErrNotFound] when there is none.
func (q *Queries) AuditTail(ctx context.Context) (models.AuditEntry, error) {
	var e models.AuditEntry
	err := q.with(ctx).Order("seq DESC").Limit(1).Take(&e).Error
	return e, one("audit tail", err)
}

// AuditAbout is [Queries.AuditAbout], with the lines that wait to be chained.
func (s *Store) AuditAbout(ctx context.Context, subjects []string) ([]models.AuditEntry, error) {
	if _, err := s.ChainAudit(ctx); err != nil {
		return nil, err
	}
	return s.Queries.AuditAbout(ctx, subjects)
}

// AuditTail is [Queries.AuditTail], with the lines that wait to be chained.
func (s *Store) AuditTail(ctx context.Context) (models.AuditEntry, error) {
	if _, err := s.ChainAudit(ctx); err != nil {
		return models.AuditEntry{}, err
	}
	return s.Queries.AuditTail(ctx)
}
