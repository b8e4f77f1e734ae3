package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/models"
)

// pattern is a row that the API wrote, to write more of its kind: the value of every column that it gives, as text, or
// as bytes where it holds bytes.
type pattern struct {
	table string
	value map[string]any
}

// paymentTables hold the rows of one payment, in an order that foreign keys allow.
var paymentTables = []string{"payments", "addresses", "events", "deliveries", "idempotency_keys"}

// patternsOf reads what the newest payment of a merchant consists of: one row of each table.
func patternsOf(t testkit.TB, h *gateway.Gateway, merchant string) []pattern {
	t.Helper()
	var all []pattern
	for _, table := range paymentTables {
		rows, err := h.DB.QueryContext(t.Context(), `SELECT column_name, data_type FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name = $1 AND column_name NOT IN ('xact', 'seq')`, table)
		must(t, err)
		p := pattern{table, make(map[string]any)}
		var selected, names []string
		for rows.Next() {
			var name, kind string
			must(t, rows.Scan(&name, &kind))
			names = append(names, name)
			if kind != "bytea" {
				name += "::text"
			}
			selected = append(selected, name)
		}
		must(t, rows.Err())
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		must(t, h.DB.QueryRowContext(t.Context(), "SELECT "+strings.Join(selected, ", ")+" FROM "+table+
			" WHERE merchant_id = $1 ORDER BY created_at DESC LIMIT 1", merchant).Scan(into...))
		for i, v := range values {
			if v != nil {
				p.value[names[i]] = v
			}
		}
		all = append(all, p)
	}
	return all
}

// insert is the statement that writes such a row, and its columns in the order of its parameters.
func (p pattern) insert() (sql string, columns []string) {
	columns = slices.Sorted(maps.Keys(p.value))
	placeholders := make([]string, len(columns))
	for i := range columns {
		placeholders[i] = fmt.Sprintf("$%d", i+1)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", p.table, strings.Join(columns, ", "),
		strings.Join(placeholders, ", ")), columns
}

// bareWriter commits the rows of one payment per transaction, by pgx alone: BEGIN, a statement a row, COMMIT.
type bareWriter struct {
	t        testkit.TB
	patterns []pattern
	sql      []string
	columns  [][]string
	conns    []*pgx.Conn
	next     int
}

func newBareWriter(t testkit.TB, h *gateway.Gateway, merchant string, connections int) *bareWriter {
	t.Helper()
	w := &bareWriter{t: t, patterns: patternsOf(t, h, merchant), next: 1}
	for _, p := range w.patterns {
		sql, columns := p.insert()
		w.sql, w.columns = append(w.sql, sql), append(w.columns, columns)
	}
	for range connections {
		c, err := pgx.Connect(t.Context(), h.DatabaseURL)
		must(t, err)
		t.Cleanup(func() { must(t, c.Close(context.WithoutCancel(t.Context()))) })
		w.conns = append(w.conns, c)
	}
	return w
}

// perSecond writes n payments, over all connections at once.
func (w *bareWriter) perSecond(n int) float64 {
	w.t.Helper()
	base := w.next
	w.next += n
	free := make(chan *pgx.Conn, len(w.conns))
	for _, c := range w.conns {
		free <- c
	}
	start := time.Now()
	inParallel(w.t, n, len(w.conns), func(i int) error {
		c := <-free
		defer func() { free <- c }()
		return w.write(c, base+i)
	})
	return float64(n) / time.Since(start).Seconds()
}

func (w *bareWriter) write(c *pgx.Conn, i int) error {
	ctx, now := w.t.Context(), time.Now()
	payment, event := models.NewID(models.PrefixPayment, now), models.NewID(models.PrefixEvent, now)
	own := map[string]map[string]any{
		"payments": {
			"id": payment, "token": models.NewToken(models.PrefixCheckout), "order_id": fmt.Sprintf("bare-%d", i),
			"address":       bareAddress(i),
			"address_index": fmt.Sprint(bareIndex + i), "derivation_path": fmt.Sprintf("m/44'/60'/0'/0/%d", bareIndex+i),
		},
		"addresses": {
			"address": bareAddress(i), "address_index": fmt.Sprint(bareIndex + i), "payment_id": payment,
			"derivation_path": fmt.Sprintf("m/44'/60'/0'/0/%d", bareIndex+i),
		},
		"events":           {"id": event, "payment_id": payment},
		"deliveries":       {"id": models.NewID(models.PrefixDelivery, now), "event_id": event, "payment_id": payment},
		"idempotency_keys": {"key": fmt.Sprintf("bare-%d", i)},
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	for k, p := range w.patterns {
		values := make([]any, len(w.columns[k]))
		for j, column := range w.columns[k] {
			values[j] = p.value[column]
			if v, ok := own[p.table][column]; ok {
				values[j] = v
			}
		}
		if _, err := tx.Exec(ctx, w.sql[k], values...); err != nil {
			return fmt.Errorf("%s: %w", p.table, err)
		}
	}
	return tx.Commit(ctx)
}

// bareIndex and oldIndex begin ranges of address indexes that the API does not reach.
const (
	bareIndex = 1_000_000_000
	oldIndex  = 500_000_000
)

// bareAddress is an address as random as a real one, so that its index is hit as a real one hits it.
func bareAddress(i int) string {
	return fmt.Sprintf("0x%016x%016x%08x", mix(uint64(i)), mix(uint64(i)+1<<32), i)
}

// mix spreads the bits of x (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// rare is how many of the old payments are of each rare kind: with a dead delivery, and with an event that few have. It
// does not depend on how many there are in all, so that pages of them are equally long.
const rare = 100

// oldColumns say how the rows of the n-th old payment, i, differ from the pattern. Old payments are spread over a month
// up to an hour ago; a tenth expired, the others were confirmed.
func oldColumns(n int) map[string]map[string]string {
	made := fmt.Sprintf("now() - interval '1 hour' - interval '30 days' * (%d - i) / %d", n, n)
	status := "CASE WHEN i % 10 = 0 THEN 'expired' ELSE 'confirmed' END"
	isRare := fmt.Sprintf("i %% %d = 0", n/rare)
	kind := "CASE WHEN " + isRare + " THEN 'payment.reorged' ELSE 'payment.created' END"
	address := "'0x' || md5(i::text) || lpad(to_hex(i), 8, '0')"
	id := func(prefix string) string { return "'" + prefix + "_' || lpad(i::text, 26, '0')" }
	index := fmt.Sprintf("%d + i", oldIndex)
	path := fmt.Sprintf("'m/44''/60''/0''/0/' || %d + i", oldIndex)
	return map[string]map[string]string{
		"payments": {
			"id": id("pay"), "token": "'co_' || md5(i::text)", "order_id": "'old-' || i", "status": status, "address": address,
			"address_index": index, "derivation_path": path, "created_at": made, "updated_at": made, "expires_at": made +
				" + interval '30 minutes'",
			"closed_at": made + " + interval '30 minutes'", "watch_until": made + " + interval '1 day'",
			"confirmed_at": "CASE WHEN i % 10 > 0 THEN " + made + " END",
		},
		"addresses": {"address": address, "address_index": index, "derivation_path": path, "payment_id": id("pay"),
			"created_at": made},
		"events": {"id": id("evt"), "payment_id": id("pay"), "type": kind, "created_at": made},
		"deliveries": {
			"id": id("dlv"), "event_id": id("evt"), "payment_id": id("pay"), "event_type": kind, "attempts": "1",
			"state": "CASE WHEN " + isRare + " THEN 'dead' ELSE 'delivered' END", "created_at": made, "updated_at": made,
			"next_attempt_at": made, "sweep_after": made, "delivered_at": made, "dead_at": made, "archived_at": made,
		},
	}
}

// age gives a merchant n old payments, each with its address, an event and a delivery.
func age(t testkit.TB, h *gateway.Gateway, merchant string, n int) {
	t.Helper()
	insertLike(t, h, merchant, n, oldColumns(n))
}

// insertLike writes n rows like those of the newest payment of a merchant into each table of which it is said how
// they differ.
func insertLike(t testkit.TB, h *gateway.Gateway, merchant string, n int, differs map[string]map[string]string) {
	t.Helper()
	for _, p := range patternsOf(t, h, merchant) {
		own := differs[p.table]
		if own == nil {
			continue // idempotency keys live for a day
		}
		columns := slices.Sorted(maps.Keys(own))
		values := make([]string, len(columns))
		for i, c := range columns {
			values[i] = own[c]
		}
		for c := range p.value {
			if own[c] == "" {
				columns, values = append(columns, c), append(values, "p."+c)
			}
		}
		_, err := h.DB.ExecContext(t.Context(),
			fmt.Sprintf(
				"INSERT INTO %s (%s) SELECT %s FROM (SELECT * FROM %s WHERE merchant_id = $1 ORDER BY created_at DESC LIMIT 1) p, generate_series(1, $2::int) i",
				p.table, strings.Join(columns, ", "), strings.Join(values, ", "), p.table), merchant, n)
		must(t, err)
	}
	for _, sql := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		_, err := h.DB.ExecContext(t.Context(), sql)
		must(t, err)
	}
}
