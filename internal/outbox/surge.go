package outbox

import (
	"sync"
	"time"
)

const (
	// surgeBurst and surgeRate (a second) are what an endpoint may have enqueued in its lane; what is more goes to the lane of
	// slow endpoints. So a thousand events for one endpoint never stand in front of those of its neighbours, whether it
	// answers or hangs, and an endpoint that is busy and well loses nothing: that lane is as quick while nobody hangs.
	surgeBurst = 64
	surgeRate  = 100
	surgeMost  = 10_000 // endpoints that are remembered
)

// surge tells which endpoints have more enqueued than belongs into a lane that they share.
type surge struct {
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// over takes one place of an endpoint, and reports whether there was none.
func (s *surge) over(endpointID string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets == nil || len(s.buckets) >= surgeMost { // to forget means to give everybody a full bucket
		s.buckets = make(map[string]bucket)
	}
	b, ok := s.buckets[endpointID]
	if !ok {
		b = bucket{left: surgeBurst, at: now}
	}
	if now.After(b.at) {
		b.left, b.at = min(surgeBurst, b.left+surgeRate*now.Sub(b.at).Seconds()), now
	}
	over := b.left < 1
	if !over {
		b.left--
	}
	s.buckets[endpointID] = b
	return over
}
