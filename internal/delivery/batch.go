package delivery

import (
	"context"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// pack divides what waits for an endpoint, oldest first, into batches of at most that many events and of
// [webhook.MaxBatchBytes]. The last of them is left to wait unless it is full, or its first event was there by due. It is
// pure.
func pack(waiting []store.BatchCandidate, most int, due time.Time) [][]store.BatchCandidate {
	var batches [][]store.BatchCandidate
	first, size := 0, 0
	for i, g := range waiting {
		if i > first && (i-first == most || webhook.BatchSize(i-first+1, size+len(g.Body)) > webhook.MaxBatchBytes) {
			batches = append(batches, waiting[first:i])
			first, size = i, 0
		}
		size += len(g.Body)
	}
	if rest := waiting[first:]; len(rest) == most || len(rest) > 0 && !rest[0].CreatedAt.After(due) {
		batches = append(batches, rest)
	}
	return batches
}

// splits reports whether an answer means that the receiver cannot take a batch, but perhaps its events one by one
// (ruling 15): any 4xx that is not about who asks, how often, or whether anything is there at all.
func splits(class Class, status int) bool {
	return class == Rejected && status != http.StatusRequestTimeout
}

// batchVerdict is what a verdict does to the members of a batch, in its transaction; also comes after it. The verdict on a
// delivery that is no carrier is left as it is.
func (s *Sender) batchVerdict(row *store.Waiting, v *store.Verdict, also func(context.Context, *store.Tx) error) func(context.Context, *store.Tx) error {
	if !row.IsBatch {
		return also
	}
	if splits(Class(v.Class), v.StatusCode) {
		v.State, v.DeadReason, v.ChangesLane = models.DeliveryCanceled, "", false
	}
	verdict := *v
	return func(ctx context.Context, tx *store.Tx) error {
		if err := tx.UpdateBatchMembers(ctx, row.ID, row.EventID, verdict); err != nil || also == nil {
			return err
		}
		return also(ctx, tx)
	}
}

// dueNow makes a pending delivery due: where it is in a batch, the batch; where it waits for one, it waits no more.
func (s *Service) dueNow(ctx context.Context, tx *store.Tx, d models.Delivery, now time.Time) (models.Delivery, error) {
	if !d.InBatch() {
		return tx.DueNow(ctx, d, now)
	}
	carrier, err := tx.LockBatchDelivery(ctx, *d.BatchID)
	if err == nil && carrier.State == models.DeliveryPending {
		_, err = tx.DueNow(ctx, carrier, now)
	}
	return d, err
}

// runCarrier answers an operator who pressed Run on the task of a dead batch: its members are sent again, one by one.
func (s *Service) runCarrier(ctx context.Context, tx *store.Tx, carrier models.Delivery, e models.Endpoint) error {
	members, err := tx.LockBatchMembers(ctx, *carrier.BatchID)
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
