package endpoints

import (
	"cmp"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// maxLiveSecrets is how many secrets of an endpoint may sign at once.
const maxLiveSecrets = 3

// Overlap limits of a rotation.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
	MaxActivateIn  = 7 * 24 * time.Hour
)

// Live is which of an endpoint's secrets sign at one moment.
type Live struct {
	Current  *models.EndpointSecret
	Next     *models.EndpointSecret  // becomes current at its ActiveFrom
	Previous []models.EndpointSecret // within their overlap, the newest first
}

// LiveSecrets sorts out which secrets sign at now: current is the one that became active last; what became
// active before it signs on until it expires; what becomes active later signs second. Expired ones sign no more.
func LiveSecrets(secrets []models.EndpointSecret, now time.Time) Live {
	var live Live
	byActivation := slices.SortedFunc(slices.Values(secrets), func(a, b models.EndpointSecret) int {
		return cmp.Or(b.ActiveFrom.Compare(a.ActiveFrom), b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.ID, a.ID))
	})
	for _, s := range byActivation {
		switch {
		case s.ExpiresAt != nil && !s.ExpiresAt.After(now):
		case s.ActiveFrom.After(now):
			live.Next = &s // the soonest of them wins
		case live.Current == nil:
			live.Current = &s
		default:
			live.Previous = append(live.Previous, s)
		}
	}
	space := maxLiveSecrets - 1
	if live.Next != nil {
		space--
	}
	live.Previous = live.Previous[:min(len(live.Previous), space)]
	return live
}

// rotation is what a rotation changes: when the new secret becomes active, and when each older one ends.
type rotation struct {
	activeFrom time.Time
	ends       map[string]time.Time // by the secret's id
}

// planRotation decides about the older secrets when a new one comes at now, to become current after activateIn. The
// current one signs on for overlap after that; older ones end no later than it does, and all but the newest end at
// once, so that no more than three live. One that was waiting to become current is replaced. With no overlap
// everything older ends when the new one starts.
func planRotation(secrets []models.EndpointSecret, now time.Time, activateIn, overlap time.Duration) rotation {
	live := LiveSecrets(secrets, now)
	r := rotation{activeFrom: now.Add(activateIn), ends: make(map[string]time.Time)}
	end := r.activeFrom.Add(overlap)
	if live.Next != nil {
		r.ends[live.Next.ID] = now
	}
	if live.Current != nil {
		r.ends[live.Current.ID] = end
	}
	for i, p := range live.Previous {
		limit := end
		if i > 0 {
			limit = now
		}
		if p.ExpiresAt == nil || p.ExpiresAt.After(limit) {
			r.ends[p.ID] = limit
		}
	}
	return r
}
