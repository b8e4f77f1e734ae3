package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

// Pauses are everything to which nothing is sent by order of an operator.
type Pauses struct {
	All       *PauseAll        `json:"all"` // null while the switch for everybody is off
	Merchants []PausedMerchant `json:"merchants"`
	Endpoints []PausedEndpoint `json:"webhook_endpoints"`
}

// PauseAll is the switch for everybody.
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

// Scope says whom the incident switch is turned for: an endpoint, or a merchant, or with neither everybody.
type Scope struct{ MerchantID, EndpointID string }

// Pause turns the incident switch and returns what is paused then.
func (d *Admin) Pause(ctx context.Context, of Scope, reason string) (Pauses, error) {
	return d.turn(ctx, of, func(s *endpoints.Service, tx *store.Tx, merchantID string) error {
		if of.EndpointID != "" {
			_, err := s.Pause(ctx, tx, d.by(), merchantID, of.EndpointID, reason)
			return err
		}
		return s.PauseDeliveries(ctx, tx, d.by(), merchantID, reason)
	})
}

// Resume turns it back.
func (d *Admin) Resume(ctx context.Context, of Scope) (Pauses, error) {
	return d.turn(ctx, of, func(s *endpoints.Service, tx *store.Tx, merchantID string) error {
		if of.EndpointID != "" {
			_, err := s.Resume(ctx, tx, d.by(), merchantID, of.EndpointID)
			return err
		}
		return s.ResumeDeliveries(ctx, tx, d.by(), merchantID)
	})
}

func (d *Admin) turn(ctx context.Context, of Scope, do func(s *endpoints.Service, tx *store.Tx, merchantID string) error) (Pauses, error) {
	service, err := d.endpoints()
	if err != nil {
		return Pauses{}, err
	}
	err = d.inTx(ctx, func(tx *store.Tx) error {
		merchantID := of.MerchantID
		if of.EndpointID != "" {
			var err error
			if merchantID, err = tx.MerchantOfEndpoint(ctx, of.EndpointID); err != nil {
				return missing(err, "webhook endpoint", of.EndpointID)
			}
		}
		return missing(do(service, tx, merchantID), "merchant", merchantID)
	})
	if err != nil {
		return Pauses{}, err
	}
	return d.Pauses(ctx)
}

// Pauses reads what is paused.
func (d *Admin) Pauses(ctx context.Context) (Pauses, error) {
	v := Pauses{Merchants: []PausedMerchant{}, Endpoints: []PausedEndpoint{}}
	p, err := d.store.Pauses(ctx)
	if err != nil {
		return v, err
	}
	if p.All != nil {
		v.All = &PauseAll{p.All.UTC(), p.Reason}
	}
	merchants, err := d.store.Merchants(ctx)
	if err != nil {
		return v, err
	}
	for _, m := range merchants {
		if m.DeliveriesPausedAt != nil {
			v.Merchants = append(v.Merchants, PausedMerchant{m.ID, m.DeliveriesPausedAt.UTC()})
		}
	}
	paused, err := d.store.PausedEndpoints(ctx)
	for _, e := range paused {
		v.Endpoints = append(v.Endpoints, PausedEndpoint{e.ID, e.MerchantID, e.DisabledReason})
	}
	return v, err
}
