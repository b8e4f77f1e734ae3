package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// excerpt is how much of a receiver's answer is shown, in bytes.
const excerpt = 4 << 10

// endpointView is an endpoint with the breaker as it stands now.
type endpointView struct {
	models.Endpoint
	Breaker string
	Waits   *time.Time // nothing is sent before
}

type endpointsView struct {
	Endpoints []endpointView
	EgressIPs []string
}

// listEndpoints shows where the merchant's events go.
func (s *Site) listEndpoints(w http.ResponseWriter, r *http.Request, v *visitor) error {
	rows, err := s.opts.Store.EndpointsOf(r.Context(), v.Merchant.ID)
	if err != nil {
		return err
	}
	view := endpointsView{EgressIPs: s.opts.EgressIPs}
	for _, e := range rows {
		row := endpointView{Endpoint: e, Breaker: e.BreakerState}
		for _, until := range []*time.Time{e.BreakerOpenUntil, e.NotBefore} {
			if until != nil && until.After(s.now()) && (row.Waits == nil || until.After(*row.Waits)) {
				row.Waits = until
			}
		}
		view.Endpoints = append(view.Endpoints, row)
	}
	return s.show(w, r, v, "endpoints", "Endpoints", "endpoints", view)
}

// deliveryRow is a delivery with the URL it goes to, "" when the endpoint was deleted.
type deliveryRow struct {
	models.Delivery
	URL string
}

// listDeliveries shows what was sent, or waits to be, newest first.
func (s *Site) listDeliveries(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := queryOf(r)
	types := names(webhook.EventTypes())
	f := store.DeliveryFilter{
		State: q.oneOf("state", names(models.DeliveryStates)), EventType: q.oneOf("type", types),
		EndpointID: q.text("endpoint"), EventID: q.text("event"),
	}
	page := q.page()
	if q.err != nil {
		return q.err
	}
	found, err := s.opts.Store.ListDeliveries(r.Context(), v.Merchant.ID, f, page)
	if err != nil {
		return err
	}
	found, older := cut(found, r, func(d models.Delivery) (time.Time, string) { return d.CreatedAt, d.ID })
	if found, err = s.visible(r, v, found); err != nil {
		return err
	}
	endpoints, err := s.opts.Store.EndpointsOf(r.Context(), v.Merchant.ID)
	if err != nil {
		return err
	}
	urls := make(map[string]string, len(endpoints))
	for _, e := range endpoints {
		urls[e.ID] = e.URL
	}
	rows := make([]deliveryRow, len(found))
	for i, d := range found {
		rows[i] = deliveryRow{d, urls[d.EndpointID]}
	}
	return s.show(w, r, v, "deliveries", "Deliveries", "deliveries", struct {
		list
		Endpoints []models.Endpoint
	}{list{
		Rows: rows, Empty: len(rows) == 0, Older: older, Further: page.Before != nil,
		Filter:  map[string]string{"state": f.State, "type": f.EventType, "endpoint": f.EndpointID, "event": f.EventID},
		Choices: map[string][]string{"state": names(models.DeliveryStates), "type": types},
	}, endpoints})
}

// visible takes from a page of deliveries those that a test key may not see: the ones about payments of real money.
func (s *Site) visible(r *http.Request, v *visitor, rows []models.Delivery) ([]models.Delivery, error) {
	if !v.Key.Test {
		return rows, nil
	}
	known := make(map[string]bool)
	var failed error
	rows = slices.DeleteFunc(rows, func(d models.Delivery) bool {
		if d.PaymentID == nil || failed != nil {
			return false
		}
		hidden, ok := known[*d.PaymentID]
		if !ok {
			_, err := s.payment(r, v, *d.PaymentID)
			hidden = errors.Is(err, models.ErrNotFound)
			if err != nil && !hidden {
				failed = err
			}
			known[*d.PaymentID] = hidden
		}
		return hidden
	})
	return rows, failed
}

type deliveryView struct {
	deliveryRow
	Attempts []attemptView
	Made     int
	Body     string // what is sent; "" when the key may not see payments
	Button   string // the words on the button; "" when there is none
	Sent     bool   // the button was pressed just now
}

type attemptView struct {
	models.Attempt
	Answer    string
	Truncated bool
}

// showDelivery shows one delivery with every attempt. That somebody read them is written into the audit log.
func (s *Site) showDelivery(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx := r.Context()
	d, err := s.delivery(r, v)
	if err != nil {
		return err
	}
	view := deliveryView{deliveryRow: deliveryRow{Delivery: d}, Made: d.Attempts, Sent: r.URL.Query().Get("sent") == "1"}
	endpoint, err := s.opts.Store.Endpoint(ctx, v.Merchant.ID, d.EndpointID)
	switch {
	case errors.Is(err, models.ErrNotFound): // deleted; its deliveries can still be read
	case err != nil:
		return err
	default:
		view.URL = endpoint.URL
		view.Button = again(d, endpoint, v)
	}
	attempts, err := s.opts.Store.Attempts(ctx, v.Merchant.ID, d.ID)
	if err != nil {
		return err
	}
	slices.Reverse(attempts)
	for _, a := range attempts {
		shown := a.ResponseBody[:min(len(a.ResponseBody), excerpt)]
		view.Attempts = append(view.Attempts, attemptView{a, strings.ToValidUTF8(string(shown), "\uFFFD"),
			len(shown) < len(a.ResponseBody)})
	}
	if v.Payments() {
		event, err := s.opts.Store.Event(ctx, v.Merchant.ID, d.EventID)
		if err != nil && !errors.Is(err, models.ErrNotFound) { // events end before payments do
			return err
		}
		view.Body = indent(event.Body)
	}
	if len(attempts) > 0 {
		if err := s.audit(ctx, v, "attempts.read", d.ID); err != nil {
			return err
		}
	}
	return s.show(w, r, v, "delivery", "Delivery "+d.ID, "deliveries", view)
}

// again is what the button to send a delivery once more says.
func again(d models.Delivery, e models.Endpoint, v *visitor) string {
	switch {
	case !v.Redeliver() || d.State == models.DeliveryHeld || e.Status != models.EndpointEnabled:
		return ""
	case d.State == models.DeliveryPending:
		return "Send now"
	}
	return "Send again"
}

func indent(body []byte) string {
	var out bytes.Buffer
	if json.Indent(&out, body, "", "  ") != nil {
		return string(body)
	}
	return out.String()
}

// redeliver sends a delivery once more and shows the one that does.
func (s *Site) redeliver(w http.ResponseWriter, r *http.Request, v *visitor) error {
	d, err := s.delivery(r, v)
	if err != nil {
		return err
	}
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
		d, err = s.opts.Redelivery.Redeliver(r.Context(), tx, v.by(), v.Merchant.ID, d.ID)
		return err
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/portal/deliveries/"+d.ID+"?sent=1", http.StatusSeeOther)
	return nil
}

// delivery reads the delivery of a request, if the visitor may see it.
func (s *Site) delivery(r *http.Request, v *visitor) (models.Delivery, error) {
	d, err := s.opts.Store.Delivery(r.Context(), v.Merchant.ID, r.PathValue("id"))
	if err != nil || !v.Key.Test || d.PaymentID == nil {
		return d, err
	}
	_, err = s.payment(r, v, *d.PaymentID)
	return d, err
}
