package web

import (
	"net/http"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// happening is something that happened to a payment, in the order of time.
type happening struct {
	At    time.Time
	Kind  string // transfer, event or delivery
	Text  string
	State string // for the badge; "" has none
	Note  string
	Link  string
}

// timeline puts a payment's transfers, events and deliveries into the order in which they happened. Deliveries are for
// visitors who may see webhooks.
func (s *Site) timeline(r *http.Request, v *visitor, transfers []paymentTransfer,
	events []store.Announced) ([]happening, error) {
	var all []happening
	for _, t := range transfers {
		h := happening{At: t.BlockTime, Kind: "transfer", Text: t.Amount + " arrived", State: string(t.Status), Link: t.URL}
		if t.TxHash != "" {
			h.Note = t.TxHash
		}
		all = append(all, h)
	}
	ids := make([]string, len(events))
	types := make(map[string]string, len(events))
	for i, e := range events {
		ids[i], types[e.ID] = e.ID, e.Type
		h := happening{At: e.CreatedAt, Kind: "event", Text: e.Type, Note: e.ID}
		if v.Webhooks() {
			h.Link = "/portal/deliveries?event=" + e.ID
		}
		all = append(all, h)
	}
	if v.Webhooks() {
		sent, err := s.sentOf(r, v, ids)
		if err != nil {
			return nil, err
		}
		all = append(all, sent...)
	}
	slices.SortStableFunc(all, func(a, b happening) int { return a.At.Compare(b.At) })
	return all, nil
}

// sentOf are the deliveries of some events: when each was made, and when it was over.
func (s *Site) sentOf(r *http.Request, v *visitor, events []string) ([]happening, error) {
	deliveries, err := s.opts.Store.DeliveriesOfEvents(r.Context(), v.Merchant.ID, events)
	if err != nil {
		return nil, err
	}
	endpoints, err := s.opts.Store.EndpointsOf(r.Context(), v.Merchant.ID)
	if err != nil {
		return nil, err
	}
	known := make(map[string]models.Endpoint, len(endpoints))
	for _, e := range endpoints {
		known[e.ID] = e
	}
	var all []happening
	for _, d := range deliveries {
		e, exists := known[d.EndpointID]
		row := rowOf(d, e, exists, v)
		if row.Hidden {
			continue
		}
		h := happening{At: d.CreatedAt, Kind: "delivery", Text: d.EventType, State: string(d.State), Note: row.URL,
			Link: "/portal/deliveries/" + d.ID}
		for _, over := range []*time.Time{d.DeliveredAt, d.DeadAt} {
			if over != nil {
				h.At = *over
			}
		}
		all = append(all, h)
	}
	return all, nil
}
