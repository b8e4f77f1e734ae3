package delivery

import (
	"context"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

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
