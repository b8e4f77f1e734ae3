package operate

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// Pauses are everything to which nothing is sent by order of an operator.
type Pauses struct {
	All       *PauseAll        `json:"all"` // null while nothing is paused for everybody
	Merchants []PausedMerchant `json:"merchants"`
	Endpoints []PausedEndpoint `json:"webhook_endpoints"`
}

// PauseAll is the pause of everybody's deliveries.
type PauseAll struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// PausedMerchant is one to whose endpoints nothing is sent.
type PausedMerchant struct {
	ID    string    `json:"id"`
	Since time.Time `json:"since"`
}

// PausedEndpoint is one whose deliveries are held.
type PausedEndpoint struct {
	ID         string `json:"id"`
	MerchantID string `json:"merchant_id"`
	Reason     string `json:"reason"`
}

// ReadPauses reads what is paused.
func ReadPauses(ctx context.Context, st *store.Store) (Pauses, error) {
	v := Pauses{Merchants: []PausedMerchant{}, Endpoints: []PausedEndpoint{}}
	p, err := st.Pauses(ctx)
	if err != nil {
		return v, err
	}
	if p.All != nil {
		v.All = &PauseAll{p.All.UTC(), p.Reason}
	}
	merchants, err := st.Merchants(ctx)
	if err != nil {
		return v, err
	}
	for _, m := range merchants {
		if m.DeliveriesPausedAt != nil {
			v.Merchants = append(v.Merchants, PausedMerchant{m.ID, m.DeliveriesPausedAt.UTC()})
		}
	}
	paused, err := st.PausedEndpoints(ctx)
	for _, e := range paused {
		v.Endpoints = append(v.Endpoints, PausedEndpoint{e.ID, e.MerchantID, e.DisabledReason})
	}
	return v, err
}
