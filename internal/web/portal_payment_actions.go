package web

import (
	"encoding/csv"
	"errors"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// cancelPayment closes a payment before anything arrived.
func (s *Site) cancelPayment(w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, err := s.payment(r, v, r.PathValue("id"))
	if err != nil {
		return err
	}
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		_, err := s.opts.Payments.Cancel(r.Context(), tx, v.by(), v.Merchant.ID, p.ID)
		return err
	})
	if errors.Is(err, payments.ErrNotCancelable) {
		return &problem{http.StatusConflict, "That cannot be done now", sentence(err)}
	} else if err != nil {
		return err
	}
	return s.then(w, r, v, "/portal/payments/"+p.ID, flash{Text: "The payment was canceled."})
}

// exportPayments writes what a list of payments shows, all of it, as CSV. What fails after the first row breaks the
// connection off, so that nobody takes a part for the whole.
func (s *Site) exportPayments(w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, q := paymentFilter(r, v)
	if q.err != nil {
		return q.err
	}
	leave, ok := s.exporting.Take(map[string]int{v.Merchant.ID: payments.ExportsOfMerchant})
	if !ok {
		s.tooMany(w, exportsAgain)
		return errTooMany
	}
	defer leave()
	ctx := r.Context()
	rows, err := s.opts.Store.ListPayments(ctx, v.Merchant.ID, f, store.Page{Limit: payments.ExportRows})
	if err == nil {
		err = s.opts.Store.InTx(ctx, func(tx *store.Tx) error {
			return s.audit(ctx, tx, v, "payments.exported", v.Merchant.ID)
		})
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="payments.csv"`)
	out, control := csv.NewWriter(w), http.NewResponseController(w)
	err = out.Write(payments.Columns)
	for err == nil {
		_ = control.SetWriteDeadline(time.Now().Add(payments.ExportPatience)) // not every writer has one
		v.share.Leave()
		if err = s.writeRows(out, rows); err != nil || len(rows) < payments.ExportRows {
			break
		}
		last := rows[len(rows)-1]
		page := store.Page{Limit: payments.ExportRows, Before: &store.Position{CreatedAt: last.CreatedAt, ID: last.ID}}
		if err = v.share.Reacquire(ctx); err == nil {
			rows, err = s.opts.Store.ListPayments(ctx, v.Merchant.ID, f, page)
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

const exportsAgain = 10 * time.Second

func (s *Site) writeRows(out *csv.Writer, rows []models.Payment) error {
	for _, p := range rows {
		cells, err := payments.Row(s.opts.Payments.View(p, payments.State{}))
		if err == nil {
			err = out.Write(cells)
		}
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
