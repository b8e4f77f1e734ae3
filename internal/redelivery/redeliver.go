package redelivery

import (
	"context"
	"errors"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Redeliver sends an event to an endpoint once more: a pending delivery becomes due now, with the batch that it is in
// if it is in one, a finished one gets a new row with a budget of its own, the same body and the same webhook-id. To a
// disabled endpoint it is [ErrEndpointDisabled], to a deleted one [models.ErrNotFound]; what is held stays held.
func (s *Service) Redeliver(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID,
	deliveryID string) (models.Delivery, error) {
	d, err := tx.LockDelivery(ctx, merchantID, deliveryID)
	if err != nil {
		return d, err
	}
	e, err := tx.Endpoint(ctx, d.MerchantID, d.EndpointID)
	if err != nil {
		return d, err
	}
	if e.Status == models.EndpointDisabled && !d.IsTest() {
		return d, ErrEndpointDisabled
	}
	if test, err := s.isTest(ctx, tx, d); err != nil {
		return d, err
	} else if !e.Mode.Takes(test) {
		return d, ErrOtherMode
	}
	return s.send(ctx, tx, actor, d, e, "delivery.redelivered")
}

// send is what Redeliver and an operator's Run in asynqmon have in common.
func (s *Service) send(ctx context.Context, tx *store.Tx, actor models.Actor, d models.Delivery, e models.Endpoint,
	action string) (models.Delivery, error) {
	now := s.now()
	next := d
	var err error
	switch d.State {
	case models.DeliveryPending:
		if next, err = s.dueNow(ctx, tx, d, now); err != nil {
			return d, err
		}
	case models.DeliveryHeld:
		return d, nil
	default:
		if next, err = s.repeat(ctx, tx, d, e, now); err != nil {
			return d, err
		}
		if err := tx.InsertDeliveries(ctx, []models.Delivery{next}); err != nil {
			return d, err
		}
	}
	detail := map[string]string{"as": next.ID, "event_id": d.EventID, "endpoint_id": d.EndpointID}
	return next, s.audit(ctx, tx, actor, action, d.ID, d.MerchantID, detail)
}

// repeat is the row that sends the event of a finished delivery once more: a budget of its own, and attempts count on.
func (s *Service) repeat(ctx context.Context, tx *store.Tx, d models.Delivery, e models.Endpoint,
	now time.Time) (models.Delivery, error) {
	ev, err := tx.EventByID(ctx, d.EventID)
	if err != nil {
		return d, err
	}
	if d.IsTest() {
		e = outbox.Unblocked(e)
	}
	test, err := s.isTest(ctx, tx, d)
	if err != nil {
		return d, err
	}
	next := outbox.NewDelivery(ev, e, s.maxAttempts, now)
	next.Test = &test
	next.ReplayOf, next.SignWith = &d.ID, d.SignWith
	next.AttemptBase, err = tx.AttemptsMade(ctx, d.EventID, d.EndpointID)
	return next, err
}

// isTest reports whether the event of a delivery is of test mode.
func (s *Service) isTest(ctx context.Context, tx *store.Tx, d models.Delivery) (bool, error) {
	if d.Test != nil {
		return *d.Test, nil
	}
	return tx.EventIsTest(ctx, d.EventID)
}

// RunDead answers an operator who pressed Run on the task of a dead delivery, once however often the task comes.
func (s *Service) RunDead(ctx context.Context, deliveryID string) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		d, err := tx.LockDelivery(ctx, "", deliveryID)
		if err != nil || d.State != models.DeliveryDead {
			return err
		}
		e, err := tx.Endpoint(ctx, d.MerchantID, d.EndpointID)
		if errors.Is(err, models.ErrNotFound) {
			return nil // the endpoint is gone, and with it the wish
		}
		if err != nil {
			return err
		}
		if d.EventID == "" {
			return s.runBatch(ctx, tx, d, e)
		}
		return s.runOnce(ctx, tx, d, e)
	})
}

func (s *Service) runOnce(ctx context.Context, tx *store.Tx, d models.Delivery, e models.Endpoint) error {
	if _, err := tx.PendingReplay(ctx, d); !errors.Is(err, models.ErrNotFound) {
		return err
	}
	if test, err := s.isTest(ctx, tx, d); err != nil || !e.Mode.Takes(test) {
		return err
	}
	_, err := s.send(ctx, tx, models.Actor{Name: "operator"}, d, e, "delivery.run")
	return err
}

// dueNow makes a pending delivery due: where it is in a batch, the batch; where it waits for one, it waits no more.
func (s *Service) dueNow(ctx context.Context, tx *store.Tx, d models.Delivery, now time.Time) (models.Delivery, error) {
	if !d.InBatch() {
		return tx.DueNow(ctx, d, now, outbox.Sweep)
	}
	batch, err := tx.LockBatchDelivery(ctx, *d.BatchID)
	if err == nil && batch.State == models.DeliveryPending {
		_, err = tx.DueNow(ctx, batch, now, outbox.Sweep)
	}
	return d, err
}

// runBatch answers an operator who pressed Run on the task of a dead batch: its members are sent again, one by one.
func (s *Service) runBatch(ctx context.Context, tx *store.Tx, batch models.Delivery, e models.Endpoint) error {
	members, err := tx.LockBatchMembers(ctx, *batch.BatchID)
	if err != nil {
		return err
	}
	for _, d := range members {
		if d.State != models.DeliveryDead {
			continue
		}
		if err := s.runOnce(ctx, tx, d, e); err != nil {
			return err
		}
	}
	return nil
}
