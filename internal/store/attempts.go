package store

import (
	"context"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// Verdict is one POST that was made and what follows from it.
type Verdict struct {
	models.Attempt
	// RequestJSON and ResponseJSON are the recorded headers as JSON objects; the maps of Attempt are not looked at.
	RequestJSON, ResponseJSON string
	// TriesJSON is the list of models.Try, "" for an attempt of one request.
	TriesJSON string

	// Before is how many attempts the row had when it was read. A failure counts only if it still has as many and its
	// generation is still that of the attempt; a success always counts.
	Before int
	State  models.DeliveryState // delivered, dead, or pending for another try
	// ChangesLane says that the next try belongs to a new generation, because it waits in another lane.
	ChangesLane   bool
	NextAttemptAt time.Time // of a pending delivery
	DeadReason    string
	At            time.Time // when the answer was judged
}

// Recorded is what a verdict did.
type Recorded struct {
	// Applied is false when the delivery had moved on: the attempt is recorded, but changed nothing.
	Applied    bool
	Generation int
}

const (
	insertAttempt = `INSERT INTO attempts (id, delivery_id, event_id, endpoint_id, merchant_id, number, generation, class, status_code,
	error, request_headers, response_headers, response_body, remote_ip, dns_us, connect_us, tls_us, first_byte_us, total_us, started_at, tries)`

	recordPostgres = `WITH v AS (
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[], $8::text[], $9::int[],
		$10::text[], $11::text[], $12::text[], $13::bytea[], $14::text[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
		$19::bigint[], $20::timestamptz[], $21::int[], $22::text[], $23::int[], $24::timestamptz[], $25::text[], $26::timestamptz[], $28::text[])
	WITH ORDINALITY AS v (id, delivery_id, event_id, endpoint_id, merchant_id, number, generation, class, status_code, error, request_headers,
		response_headers, response_body, remote_ip, dns_us, connect_us, tls_us, first_byte_us, total_us, started_at, before, state,
		moved, next_attempt_at, dead_reason, at, tries, ord)
), made AS (` + insertAttempt + `
	SELECT id, delivery_id, event_id, endpoint_id, merchant_id, number, generation, class, status_code, error, request_headers::jsonb,
		response_headers::jsonb, response_body, remote_ip, dns_us, connect_us, tls_us, first_byte_us, total_us, started_at, NULLIF(tries, '')::jsonb
	FROM v
	ON CONFLICT (id) DO NOTHING
)
UPDATE deliveries d SET state = v.state, generation = d.generation + v.moved, attempts = d.attempts + 1,
	next_attempt_at = CASE v.state WHEN 'pending' THEN v.next_attempt_at ELSE d.next_attempt_at END,
	sweep_after = CASE v.state WHEN 'pending' THEN v.next_attempt_at + make_interval(secs => $27) ELSE d.sweep_after END,
	last_class = v.class, last_status = v.status_code, dead_reason = v.dead_reason,
	dead_at = CASE v.state WHEN 'dead' THEN v.at END, delivered_at = CASE v.state WHEN 'delivered' THEN v.at END, updated_at = v.at
FROM v WHERE d.id = v.delivery_id AND CASE v.state WHEN 'delivered' THEN d.state <> 'delivered'
	ELSE d.state = 'pending' AND d.generation = v.generation AND d.attempts = v.before END
RETURNING v.ord, d.generation`
)

// Record writes attempts and what they mean for their deliveries in one statement, or in one transaction of SQLite, and
// answers in the order of the verdicts. It is idempotent: a verdict that was recorded before changes nothing. No two
// verdicts of one call may be of the same delivery.
func (s *Store) Record(ctx context.Context, vs []Verdict, sweep SweepDelays) ([]Recorded, error) {
	if s.dialect == Postgres {
		return s.Queries.record(ctx, vs, sweep)
	}
	var done []Recorded
	err := s.InTx(ctx, func(tx *Tx) (err error) {
		done, err = tx.record(ctx, vs, sweep)
		return err
	})
	return done, err
}

// Record is [Store.Record] inside a transaction.
func (tx *Tx) Record(ctx context.Context, vs []Verdict, sweep SweepDelays) ([]Recorded, error) {
	return tx.record(ctx, vs, sweep)
}

func (q *Queries) record(ctx context.Context, vs []Verdict, sweep SweepDelays) ([]Recorded, error) {
	if len(vs) == 0 {
		return nil, nil
	}
	if q.dialect == SQLite {
		return q.recordSQLite(ctx, vs, sweep)
	}
	rows, err := q.db.Statement.ConnPool.QueryContext(ctx, recordPostgres, columns(vs, sweep)...)
	if err != nil {
		return nil, wrap("record attempts", err)
	}
	defer rows.Close()
	done := make([]Recorded, len(vs))
	for rows.Next() {
		var ord, generation int
		if err := rows.Scan(&ord, &generation); err != nil {
			return nil, wrap("record attempts", err)
		}
		done[ord-1] = Recorded{Applied: true, Generation: generation}
	}
	return done, wrap("record attempts", rows.Err())
}

func (q *Queries) recordSQLite(ctx context.Context, vs []Verdict, sweep SweepDelays) ([]Recorded, error) {
	db := q.with(ctx)
	done := make([]Recorded, len(vs))
	for i := range vs {
		v := &vs[i]
		err := db.Exec(insertAttempt+
			` VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULLIF(?, '')) ON CONFLICT (id) DO NOTHING`,
			v.ID, v.DeliveryID, v.EventID, v.EndpointID, v.MerchantID, v.Number, v.Attempt.Generation, v.Class, v.StatusCode,
			text(v.Error),
			object(v.RequestJSON), object(v.ResponseJSON), v.ResponseBody, v.RemoteIP, v.DNSMicros, v.ConnectMicros, v.TLSMicros,
			v.FirstByteMicros, v.TotalMicros, v.StartedAt, text(v.TriesJSON)).Error
		if err != nil {
			return nil, wrap("record attempt "+v.ID, err)
		}
		if done[i], err = q.applyVerdict(ctx, v, sweep); err != nil {
			return nil, err
		}
	}
	return done, nil
}

// ApplyVerdict does what a verdict means for its delivery, and writes no attempt: for one of which nothing else can be
// recorded.
func (s *Store) ApplyVerdict(ctx context.Context, v Verdict, sweep SweepDelays) (Recorded, error) {
	return s.applyVerdict(ctx, &v, sweep)
}

func (q *Queries) applyVerdict(ctx context.Context, v *Verdict, sweep SweepDelays) (Recorded, error) {
	set := map[string]any{"state": v.State, "last_class": v.Class, "last_status": v.StatusCode,
		"dead_reason": text(v.DeadReason), "dead_at": nil, "delivered_at": nil, "updated_at": v.At}
	fence, args := "id = ? AND state = 'pending' AND generation = ? AND attempts = ?",
		[]any{v.DeliveryID, v.Attempt.Generation, v.Before}
	switch v.State {
	case models.DeliveryDelivered:
		set["delivered_at"] = v.At
		fence, args = "id = ? AND state <> 'delivered'", []any{v.DeliveryID}
	case models.DeliveryDead:
		set["dead_at"] = v.At
	default:
		set["next_attempt_at"], set["sweep_after"] = v.NextAttemptAt, v.NextAttemptAt.Add(sweep.Retried)
	}
	names := []string{"attempts = attempts + 1", "generation = generation + ?"}
	values := []any{oneIf(v.ChangesLane)}
	for name, value := range set {
		names, values = append(names, name+" = ?"), append(values, value)
	}
	var generations []int
	err := q.with(ctx).Raw("UPDATE deliveries SET "+strings.Join(names, ", ")+" WHERE "+fence+" RETURNING generation",
		append(values, args...)...).Scan(&generations).Error
	if err != nil || len(generations) == 0 {
		return Recorded{}, wrap("apply verdict "+v.ID, err)
	}
	return Recorded{Applied: true, Generation: generations[0]}, nil
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// text is s as Postgres takes it: UTF-8 without NUL.
func text(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "") }

func object(s string) string {
	if s == "" {
		return "{}"
	}
	return s
}

// Attempts reads the attempts of a merchant's delivery, oldest first, those of the batch that carried it among them.
func (q *Queries) Attempts(ctx context.Context, merchantID, deliveryID string) ([]models.Attempt, error) {
	var rows []models.Attempt
	err := q.with(ctx).Where(`delivery_id IN (?, (SELECT c.id FROM deliveries m JOIN deliveries c ON c.batch_id = m.batch_id AND c.event_id IS NULL
		WHERE m.id = ? AND m.event_id IS NOT NULL)) AND merchant_id = ?`, deliveryID, deliveryID, merchantID).Order("number, started_at, id").Find(&rows).Error
	return rows, wrap("attempts of "+deliveryID, err)
}
