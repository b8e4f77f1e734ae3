package admin

import (
	"context"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

// Pauses are everything to which nothing is sent by order of an operator.
type Pauses = operate.Pauses

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
func (a *Admin) Pauses(ctx context.Context) (Pauses, error) { return operate.ReadPauses(ctx, a.store) }
