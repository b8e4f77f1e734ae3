package api

import (
	"context"
	"encoding/csv"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// wantsCSV reports whether a request prefers a CSV export to JSON: the heavier of the two that Accept names decides,
// and between equals the first.
func wantsCSV(accept string) bool {
	csv, heaviest := false, 0.0
	for _, part := range strings.Split(accept, ",") {
		kind, params, err := mime.ParseMediaType(part)
		q := 1.0
		if given, ok := params["q"]; ok && err == nil {
			q, err = strconv.ParseFloat(given, 64)
		}
		if err != nil || q <= heaviest {
			continue
		}
		switch kind {
		case "text/csv":
			csv, heaviest = true, q
		case "application/json", "application/*", "*/*":
			csv, heaviest = false, q
		}
	}
	return csv
}

// export is a list as CSV, all of it, written as it is read. next returns the rows after a position, fewer than
// [payments.ExportRows] at the end.
type export struct {
	name    string
	columns []string
	next    func(ctx context.Context, p store.Page) (rows [][]string, last store.Position, err error)
	ctx     context.Context
	// patience is how long a reader may take for a page.
	patience time.Duration
	leave    func()
	share    *limits.Share // held while a page is read, not while it is written
}

const (
	// exportsOfAll is how many exports of all merchants together may be written at once in one process.
	exportsOfAll = 40
	// exportsAgain is when a merchant with as many exports under way as there may be is to come again.
	exportsAgain = 10 * time.Second
)

// newExport checks a request for an export and writes it into the audit log.
func (h *handlers) newExport(ctx context.Context, name string, limit *int, cursor *string,
	columns []string) (export, error) {
	for _, p := range []struct {
		name, example string
		given         bool
	}{{"cursor", exampleCursor, cursor != nil}, {"limit", "20", limit != nil}} {
		if p.given {
			return export{},
				Invalid(FieldError{Field: p.name, Message: "goes with Accept: application/json only; a CSV export holds all rows " +
					"that match", Example: p.example})
		}
	}
	x := callerOf(ctx)
	leave, ok := h.exporting.Take(map[string]int{x.merchant.ID: payments.ExportsOfMerchant,
		limits.Everybody: exportsOfAll})
	if !ok {
		return export{}, NewProblem(CodeRateLimited, "As many exports as may be read at once are being read.").
			RetryAfter(exportsAgain)
	}
	err := h.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, models.AuditEntry{At: h.now().UTC(), Actor: x.actor().Name, IP: x.ip, Action: name + ".exported",
			Subject: x.merchant.ID, Merchant: x.merchant.ID})
	})
	if err != nil {
		leave()
		return export{}, err
	}
	// Reading it all may take longer than any other request; a reader that went away ends it at the next page.
	return export{name: name, columns: columns, ctx: context.WithoutCancel(ctx), patience: h.limits.AnswerTimeout,
		leave: leave, share: x.share}, nil
}

func (e export) VisitListPaymentsResponse(w http.ResponseWriter) error   { return e.write(w) }
func (e export) VisitListDeliveriesResponse(w http.ResponseWriter) error { return e.write(w) }

// write streams the export. What fails after the first row breaks the connection off, so that nobody takes a part for
// the whole.
func (e export) write(w http.ResponseWriter) error {
	if e.leave != nil {
		defer e.leave()
	}
	control := http.NewResponseController(w)
	page := store.Page{Limit: payments.ExportRows}
	out := csv.NewWriter(w)
	for first := true; ; first = false {
		rows, last, err := e.read(page)
		if err != nil && first {
			return err
		}
		if first {
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			w.Header().Set("Content-Disposition", `attachment; filename="`+e.name+`.csv"`)
			w.WriteHeader(http.StatusOK)
			rows = append([][]string{e.columns}, rows...)
		}
		if e.patience > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(e.patience)) // not every writer has one
		}
		if err == nil {
			err = out.WriteAll(rows)
		}
		if err == nil {
			err = control.Flush()
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if first {
			rows = rows[1:]
		}
		if len(rows) < payments.ExportRows {
			return nil
		}
		page.Before = &last
	}
}

// read reads a page, within the merchant's share of the database.
func (e export) read(page store.Page) (rows [][]string, last store.Position, err error) {
	if err := e.share.Reacquire(e.ctx); err != nil {
		return nil, last, err
	}
	defer e.share.Leave()
	return e.next(e.ctx, page)
}

// exportPayments is a list of payments as CSV.
func (h *handlers) exportPayments(ctx context.Context, params ListPaymentsParams,
	f store.PaymentFilter) (ListPaymentsResponseObject, error) {
	e, err := h.newExport(ctx, "payments", params.Limit, params.Cursor, payments.Columns)
	merchantID := callerOf(ctx).merchant.ID
	e.next = func(ctx context.Context, page store.Page) (out [][]string, last store.Position, err error) {
		rows, err := h.store.ListPayments(ctx, merchantID, f, page)
		for _, row := range rows {
			cells, err := payments.Row(h.payments.View(row, payments.State{}))
			if err != nil {
				return nil, last, err
			}
			out = append(out, cells)
			last = store.Position{CreatedAt: row.CreatedAt, ID: row.ID}
		}
		return out, last, err
	}
	return e, err
}

var deliveryColumns = []string{
	"id", "event_id", "event_type", "endpoint_id", "payment_id", "state", "attempts", "max_attempts", "last_class",
	"last_status", "dead_reason", "replay_of",
	"created_at", "next_attempt_at", "delivered_at",
}

// exportDeliveries is a list of deliveries as CSV.
func (h *handlers) exportDeliveries(ctx context.Context, params ListDeliveriesParams,
	f store.DeliveryFilter) (ListDeliveriesResponseObject, error) {
	e, err := h.newExport(ctx, "deliveries", params.Limit, params.Cursor, deliveryColumns)
	merchantID := callerOf(ctx).merchant.ID
	e.next = func(ctx context.Context, page store.Page) (out [][]string, last store.Position, err error) {
		rows, err := h.store.ListDeliveries(ctx, merchantID, f, page)
		for _, row := range rows {
			d := deliveryView(row)
			status := ""
			if d.LastStatus != nil {
				status = strconv.Itoa(*d.LastStatus)
			}
			out = append(out, []string{
				d.ID, d.EventID, string(d.EventType), d.EndpointID, deref(d.PaymentID), string(d.State), strconv.Itoa(d.Attempts),
				strconv.Itoa(d.MaxAttempts),
				deref(d.LastClass), status, payments.Cell(d.DeadReason), deref(d.ReplayOf),
				payments.Stamp(&d.CreatedAt), payments.Stamp(d.NextAttemptAt),
				payments.Stamp(d.DeliveredAt),
			})
			last = store.Position{CreatedAt: row.CreatedAt, ID: row.ID}
		}
		return out, last, err
	}
	return e, err
}
