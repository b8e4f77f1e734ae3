package web

import (
	"bytes"
	"context"
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
	rows, err := s.endpoints(r.Context(), v)
	if err != nil {
		return err
	}
	view := endpointsView{EgressIPs: s.opts.EgressIPs}
	for _, e := range rows {
		view.Endpoints = append(view.Endpoints, s.viewEndpoint(e))
	}
	return s.show(w, r, v, "endpoints", "Endpoints", "endpoints", view)
}

// deliveryRow is a delivery with the URL it goes to, "" when the endpoint was deleted or is not for the visitor's key.
type deliveryRow struct {
	models.Delivery
	URL    string
	Hidden bool
}

// listDeliveries shows what was sent, or waits to be, newest first.
func (s *Site) listDeliveries(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := queryOf(r)
	types := names(webhook.EventTypes())
	f := store.DeliveryFilter{
		State: q.oneOf("state", names(models.DeliveryStates)), EventType: q.oneOf("type", types),
		EndpointID: q.text("endpoint"), EventID: q.text("event"), Test: v.Key.Test,
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
	endpoints, err := s.opts.Store.EndpointsOf(r.Context(), v.Merchant.ID)
	if err != nil {
		return err
	}
	known := make(map[string]models.Endpoint, len(endpoints))
	for _, e := range endpoints {
		known[e.ID] = e
	}
	rows := make([]deliveryRow, len(found))
	for i, d := range found {
		e, ok := known[d.EndpointID]
		rows[i] = rowOf(d, e, ok, v)
	}
	endpoints = slices.DeleteFunc(endpoints, func(e models.Endpoint) bool { return !v.Key.Sees(e.Mode) })
	return s.show(w, r, v, "deliveries", "Deliveries", "deliveries", struct {
		list
		Endpoints []models.Endpoint
	}{list{
		Rows: rows, Empty: len(rows) == 0, Older: older, Further: page.Before != nil,
		Filter:  map[string]string{"state": f.State, "type": f.EventType, "endpoint": f.EndpointID, "event": f.EventID},
		Choices: map[string][]string{"state": names(models.DeliveryStates), "type": types},
	}, endpoints})
}

// rowOf is a delivery with what the visitor may know of its endpoint, which exists or was deleted.
func rowOf(d models.Delivery, e models.Endpoint, exists bool, v *visitor) deliveryRow {
	row := deliveryRow{Delivery: d, URL: e.URL, Hidden: exists && !v.Key.Sees(e.Mode)}
	if row.Hidden {
		row.URL = ""
	}
	return row
}

// endpoints are the merchant's that a visitor may see: with a test key, the test endpoints.
func (s *Site) endpoints(ctx context.Context, v *visitor) ([]models.Endpoint, error) {
	rows, err := s.opts.Store.EndpointsOf(ctx, v.Merchant.ID)
	return slices.DeleteFunc(rows, func(e models.Endpoint) bool { return !v.Key.Sees(e.Mode) }), err
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
	view := deliveryView{Made: d.Attempts, Sent: r.URL.Query().Get("sent") == "1"}
	endpoint, err := s.opts.Store.Endpoint(ctx, v.Merchant.ID, d.EndpointID)
	switch {
	case errors.Is(err, models.ErrNotFound): // deleted; its deliveries can still be read
	case err != nil:
		return err
	default:
		view.Button = again(d, endpoint, v)
	}
	view.deliveryRow = rowOf(d, endpoint, err == nil, v)
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
		if err := s.opts.Redelivery.AuditRead(ctx, v.by(), v.hash(), d); err != nil {
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

// delivery reads the delivery of a request, if the visitor may see it: with a test key, one of a test event.
func (s *Site) delivery(r *http.Request, v *visitor) (models.Delivery, error) {
	d, err := s.opts.Store.Delivery(r.Context(), v.Merchant.ID, r.PathValue("id"))
	if err != nil || !v.Key.Test {
		return d, err
	}
	test, err := s.opts.Store.TestDelivery(r.Context(), d.ID)
	if err == nil && !test {
		err = models.ErrNotFound
	}
	return d, err
}
