package admin

import (
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
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

// Scope says whose deliveries are paused: an endpoint's, or a merchant's, or with neither everybody's.
type Scope struct{ MerchantID, EndpointID string }

// PauseDeliveries is the incident switch: nothing is sent to those in scope. It returns what is paused then.
func (a *Admin) PauseDeliveries(ctx context.Context, of Scope, reason string) (Pauses, error) {
	return a.changePauses(ctx, of, func(s *endpoints.Service, tx *store.Tx, merchantID string) error {
		if of.EndpointID != "" {
			_, err := s.Pause(ctx, tx, a.actor, merchantID, of.EndpointID, reason)
			return err
		}
		return s.PauseDeliveries(ctx, tx, a.actor, merchantID, reason)
	})
}

// ResumeDeliveries lets what waited be sent.
func (a *Admin) ResumeDeliveries(ctx context.Context, of Scope) (Pauses, error) {
	return a.changePauses(ctx, of, func(s *endpoints.Service, tx *store.Tx, merchantID string) error {
		if of.EndpointID != "" {
			_, err := s.Resume(ctx, tx, a.actor, merchantID, of.EndpointID)
			return err
		}
		return s.ResumeDeliveries(ctx, tx, a.actor, merchantID)
	})
}

// changePauses runs one operation on the owner of what is in scope, "" for everybody.
func (a *Admin) changePauses(
	ctx context.Context, of Scope, operation func(s *endpoints.Service, tx *store.Tx, merchantID string) error,
) (Pauses, error) {
	service, err := a.endpoints()
	if err != nil {
		return Pauses{}, err
	}
	err = a.store.InTx(ctx, func(tx *store.Tx) error {
		merchantID := of.MerchantID
		if of.EndpointID != "" {
			var err error
			if merchantID, err = tx.MerchantOfEndpoint(ctx, of.EndpointID); err != nil {
				return notFound(err, "webhook endpoint", of.EndpointID)
			}
		}
		return notFound(operation(service, tx, merchantID), "merchant", merchantID)
	})
	if err != nil {
		return Pauses{}, err
	}
	return a.Pauses(ctx)
}

// Pauses reads what is paused.
func (a *Admin) Pauses(ctx context.Context) (Pauses, error) {
	v := Pauses{Merchants: []PausedMerchant{}, Endpoints: []PausedEndpoint{}}
	p, err := a.store.Pauses(ctx)
	if err != nil {
		return v, err
	}
	if p.All != nil {
		v.All = &PauseAll{p.All.UTC(), p.Reason}
	}
	merchants, err := a.store.Merchants(ctx)
	if err != nil {
		return v, err
	}
	for _, m := range merchants {
		if m.DeliveriesPausedAt != nil {
			v.Merchants = append(v.Merchants, PausedMerchant{m.ID, m.DeliveriesPausedAt.UTC()})
		}
	}
	paused, err := a.store.PausedEndpoints(ctx)
	for _, e := range paused {
		v.Endpoints = append(v.Endpoints, PausedEndpoint{e.ID, e.MerchantID, e.DisabledReason})
	}
	return v, err
}
