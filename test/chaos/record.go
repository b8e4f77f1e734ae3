package main

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Deliveries reads what the record says is to be delivered.
func (h *harness) Deliveries() ([]Delivery, error) {
	rows, err := h.DB.QueryContext(h.t.Context(), `SELECT d.id, coalesce(d.event_id, d.batch_id, ''), d.event_id IS NULL, coalesce(d.payment_id, ''),
		coalesce(e.sequence, 0), w.url, d.state, d.created_at
		FROM deliveries d JOIN webhook_endpoints w ON w.id = d.endpoint_id LEFT JOIN events e ON e.id = d.event_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Delivery
	for rows.Next() {
		var d Delivery
		if err := rows.Scan(&d.ID, &d.WebhookID, &d.Batch, &d.Payment, &d.Sequence, &d.Endpoint, &d.State,
			&d.CreatedAt); err != nil {
			return nil, err
		}
		d.Endpoint = path.Base(d.Endpoint)
		all = append(all, d)
	}
	return all, rows.Err()
}

// Attempts reads the attempts that the record calls delivered.
func (h *harness) Attempts() ([]Attempt, error) {
	rows, err := h.DB.QueryContext(h.t.Context(), `SELECT a.event_id, w.url, a.number, a.started_at, a.total_us
		FROM attempts a JOIN webhook_endpoints w ON w.id = a.endpoint_id WHERE a.class = 'delivered'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Attempt
	for rows.Next() {
		var a Attempt
		var micros int64
		if err := rows.Scan(&a.WebhookID, &a.Endpoint, &a.Number, &a.Started, &micros); err != nil {
			return nil, err
		}
		a.Endpoint, a.Took = path.Base(a.Endpoint), time.Duration(micros)*time.Microsecond
		all = append(all, a)
	}
	return all, rows.Err()
}

// Waiting counts the rows that wait, in whatever way.
func (h *harness) Waiting() (int, error) {
	var n int
	err := h.DB.QueryRowContext(h.t.Context(),
		"SELECT count(*) FROM deliveries WHERE state IN ('pending', 'held')").Scan(&n)
	return n, err
}

// queues are those of the gateway. They are not read from Redis, whose own list of them does not survive it.
func queues() []string {
	all := []string{"wh:retry", "wh:slow"}
	for i := range lanes {
		all = append(all, "wh:"+strconv.Itoa(i))
	}
	return all
}

// Tasks lists the ids of all tasks that Redis has, without those in the archive.
func (h *harness) Tasks() map[string]bool {
	archived := make(map[string]bool)
	for _, q := range queues() {
		for _, id := range list(h.Redis.Do(h.t, "ZRANGE", "asynq:{"+q+"}:archived", "0", "-1")) {
			archived[id] = true
		}
	}
	found := make(map[string]bool)
	for cursor := "0"; ; {
		answer, ok := h.Redis.Do(h.t, "SCAN", cursor, "MATCH", "asynq:{*}:t:*", "COUNT", "10000").([]any)
		if !ok || len(answer) != 2 {
			h.t.Fatal("SCAN did not answer with two values")
		}
		for _, key := range list(answer[1]) {
			if _, id, _ := strings.Cut(key, "}:t:"); !archived[id] {
				found[id] = true
			}
		}
		if cursor, _ = answer[0].(string); cursor == "0" {
			return found
		}
	}
}

func list(answer any) []string {
	values, _ := answer.([]any)
	var all []string
	for _, v := range values {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// Left says what is left over in Postgres and in Redis, which is nothing once all is delivered.
func (h *harness) Left() []string {
	var left []string
	if n, err := h.Waiting(); err != nil || n > 0 {
		left = append(left, fmt.Sprintf("%d rows wait in Postgres (%v)", n, err))
	}
	for _, q := range queues() {
		for _, set := range []struct{ name, count string }{{"pending", "LLEN"}, {"active", "LLEN"}, {"lease", "ZCARD"},
			{"scheduled", "ZCARD"}, {"retry", "ZCARD"}} {
			if n := h.Redis.Do(h.t, set.count, "asynq:{"+q+"}:"+set.name); n != int64(0) {
				left = append(left, fmt.Sprintf("%v in %s of %s", n, set.name, q))
			}
		}
	}
	tasks := h.Tasks()
	for id := range tasks {
		if len(left) > 20 {
			break
		}
		left = append(left, "the task "+id)
	}
	if len(tasks) > 0 {
		left = append(left, fmt.Sprintf("%d tasks in all", len(tasks)))
	}
	return left
}
