package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/ctrip-gateway/ctrip/models"
)

// classAuthRejected is the class of attempts that were answered 401 or 403.
const classAuthRejected = "auth_rejected"

// RejectingEndpoints reads which endpoints answered 401 or 403 since a moment, and how often, the most often first.
func (q *Queries) RejectingEndpoints(ctx context.Context, since time.Time, limit int) ([]Rejecting, error) {
	var rows []Rejecting
	err := q.with(ctx).Table("attempts").Select("endpoint_id, merchant_id, COUNT(*) AS attempts").
		Where("class = 'auth_rejected' AND id >= ?", models.FirstID(models.PrefixAttempt, since)).
		Group("endpoint_id, merchant_id").Order("COUNT(*) DESC, endpoint_id").Limit(limit).Find(&rows).Error
	return rows, wrap("rejecting endpoints", err)
}

// Rejecting is an endpoint that turns our signatures, or us, away.
type Rejecting struct {
	EndpointID, MerchantID string
	Attempts               int
}

// statsMost bounds how many attempts the statistics of an endpoint read.
const statsMost = 10_000

// EndpointStats are what became of the newest attempts on an endpoint, and what waits for it.
type EndpointStats struct {
	Attempts, Succeeded  int
	AuthRejected         int // answered 401 or 403
	P50Micros, P95Micros int64
	Pending, Held, Dead  int
	OldestPending        *time.Time
}

// EndpointStats counts the attempts on an endpoint since a moment, at most the newest 10,000, on deliveries that were
// made since then, wait still, or died since then; and what waits for it now.
func (q *Queries) EndpointStats(ctx context.Context, e models.Endpoint, since time.Time) (EndpointStats, error) {
	var s EndpointStats
	if err := q.countAttempts(ctx, e, since, &s); err != nil {
		return s, wrap("attempts on "+e.ID, err)
	}
	if err := q.countBacklog(ctx, e, &s); err != nil {
		return s, wrap("backlog of "+e.ID, err)
	}
	var dead int64
	err := q.with(ctx).Table("deliveries").Where("endpoint_id = ? AND state = 'dead' AND dead_at >= ?", e.ID,
		since).Count(&dead).Error
	s.Dead = int(dead)
	return s, wrap("dead deliveries of "+e.ID, err)
}

func (q *Queries) countAttempts(ctx context.Context, e models.Endpoint, since time.Time, s *EndpointStats) error {
	var rows []struct {
		TotalMicros int64
		Class       string
	}
	tried := q.with(ctx).Table("deliveries").Select("id").Where("merchant_id = ? AND endpoint_id = ? AND attempts > 0",
		e.MerchantID, e.ID)
	newest := tried.Session(&gorm.Session{}).Where("created_at >= ?",
		since).Order("created_at DESC, id DESC").Limit(statsMost)
	// What is tried again for days was made before, and so was what died of it.
	retried := tried.Session(&gorm.Session{}).Where("state = 'pending' AND created_at < ?",
		since).Order("created_at DESC, id DESC").Limit(statsMost)
	died := tried.Session(&gorm.Session{}).Where("state = 'dead' AND dead_at >= ? AND created_at < ?", since,
		since).Order("dead_at DESC").Limit(statsMost)
	err := q.with(ctx).Table("attempts").Select("total_us AS total_micros, class").
		Where("(delivery_id IN (?) OR delivery_id IN (?) OR delivery_id IN (?)) AND started_at >= ?", newest, retried, died,
			since).
		Order("started_at DESC").Limit(statsMost).Find(&rows).Error
	if err != nil {
		return err
	}
	took := make([]int64, len(rows))
	for i, r := range rows {
		took[i] = r.TotalMicros
		switch r.Class {
		case string(models.DeliveryDelivered):
			s.Succeeded++
		case classAuthRejected:
			s.AuthRejected++
		}
	}
	slices.Sort(took)
	if s.Attempts = len(took); s.Attempts > 0 {
		s.P50Micros, s.P95Micros = took[(len(took)-1)/2], took[(len(took)-1)*95/100]
	}
	return nil
}

func (q *Queries) countBacklog(ctx context.Context, e models.Endpoint, s *EndpointStats) error {
	var counts []struct {
		State models.DeliveryState
		N     int
	}
	waiting := "endpoint_id = ? AND state IN ('pending', 'held') AND event_id IS NOT NULL"
	if err := q.with(ctx).Table("deliveries").Select("state, COUNT(*) AS n").Where(waiting,
		e.ID).Group("state").Find(&counts).Error; err != nil {
		return err
	}
	for _, c := range counts {
		if c.State == models.DeliveryHeld {
			s.Held = c.N
		} else {
			s.Pending = c.N
		}
	}
	if s.Pending > 0 {
		var oldest []time.Time
		if err := q.with(ctx).Table("deliveries").Where("endpoint_id = ? AND state = 'pending' AND event_id IS NOT NULL",
			e.ID).
			Order("created_at").Limit(1).Pluck("created_at", &oldest).Error; err != nil {
			return err
		}
		if len(oldest) > 0 {
			at := oldest[0].UTC()
			s.OldestPending = &at
		}
	}
	return nil
}

const (
	// deadLettersMost bounds how many dead deliveries are counted.
	deadLettersMost = 100_000
	// unannouncedMost bounds how many payments are counted that no endpoint has heard of.
	unannouncedMost = 1_000
)

// DeadLetters counts the deliveries that are dead, up to 100,000.
func (q *Queries) DeadLetters(ctx context.Context) (int, error) {
	var n int64
	err := q.with(ctx).Table("(?) AS dead",
		q.with(ctx).Table("deliveries").Select("1").Where("state = 'dead'").Limit(deadLettersMost)).Count(&n).Error
	return int(n), wrap("dead letters", err)
}

// Unannounced counts, up to 1,000, the payment.confirmed events made between two moments that some endpoint was to get
// and none has got. What is held, because its endpoint or its merchant was paused on purpose, does not count.
func (q *Queries) Unannounced(ctx context.Context, from, to time.Time) (int, error) {
	var n int64
	err := q.with(ctx).Raw(`SELECT COUNT(*) FROM (SELECT DISTINCT d.event_id FROM deliveries d
		WHERE d.state IN ('pending', 'dead') AND d.event_type = 'payment.confirmed' AND d.created_at BETWEEN ? AND ?
		AND NOT (d.parked AND (EXISTS (SELECT 1 FROM delivery_pause p WHERE p.paused_at IS NOT NULL)
			OR EXISTS (SELECT 1 FROM merchants m WHERE m.id = d.merchant_id AND m.deliveries_paused_at IS NOT NULL)))
		AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.event_id = d.event_id AND o.state IN ('delivered', 'held'))
		LIMIT ?) AS unannounced`, from, to, unannouncedMost).Scan(&n).Error
	return int(n), wrap("unannounced payments", err)
}

// DeadReason is why deliveries died, and how many of them for that.
type DeadReason struct {
	Reason string `json:"reason"`
	Count  int    `json:"count"`
}

// DeadByReason counts the newest 10,000 dead deliveries by their reason, the most frequent first.
func (q *Queries) DeadByReason(ctx context.Context) ([]DeadReason, error) {
	reasons := []DeadReason{}
	newest := q.with(ctx).Table("deliveries").Select("dead_reason").Where("state = 'dead'").Order("dead_at DESC").
		Limit(statsMost)
	err := q.with(ctx).Table("(?) AS dead", newest).Select("dead_reason AS reason, COUNT(*) AS count").
		Group("dead_reason").Order("COUNT(*) DESC, dead_reason").Scan(&reasons).Error
	return reasons, wrap("dead by reason", err)
}
