package outbox

import (
	"sync"
	"time"
)

// tokenBuckets tell which endpoints have more enqueued than belongs into a lane that they share with others. Each
// endpoint has a bucket of bucketSize tokens, which fills by bucketRate tokens a second.
type tokenBuckets struct {
	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// exceeded takes one token of an endpoint, and reports whether there was none.
func (t *tokenBuckets) exceeded(endpointID string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buckets == nil || len(t.buckets) >= maxBuckets { // forgotten endpoints start with a full bucket
		t.buckets = make(map[string]bucket)
	}
	b, ok := t.buckets[endpointID]
	if !ok {
		b = bucket{left: bucketSize, at: now}
	}
	if now.After(b.at) {
		b.left, b.at = min(bucketSize, b.left+bucketRate*now.Sub(b.at).Seconds()), now
	}
	exceeded := b.left < 1
	if !exceeded {
		b.left--
	}
	t.buckets[endpointID] = b
	return exceeded
}
