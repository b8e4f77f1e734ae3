package outbox

import (
	"fmt"
	"testing"
	"time"
)

func TestTokenBuckets(t *testing.T) {
	var b tokenBuckets
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	count := func(endpoint string, n int) (over int) {
		for range n {
			if b.exceeded(endpoint, now) {
				over++
			}
		}
		return over
	}
	if got := count("a", 1000); got != 1000-bucketSize {
		t.Errorf("%d of a flood are over", got)
	}
	if got := count("b", bucketSize); got != 0 {
		t.Errorf("%d of another endpoint are over", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := count("a", 1000); got != 1000-bucketRate/2 {
		t.Errorf("after half a second %d are over", got)
	}
	now = now.Add(time.Hour)
	if got := count("a", 1000); got != 1000-bucketSize {
		t.Errorf("after an hour %d are over", got)
	}
	now = now.Add(-time.Hour) // a clock that goes back gives nothing
	if got := count("a", 10); got != 10 {
		t.Errorf("%d are over", got)
	}
	for i := range 3 * maxBuckets {
		b.exceeded(fmt.Sprint(i), now)
	}
	if len(b.buckets) > maxBuckets {
		t.Errorf("%d endpoints are remembered", len(b.buckets))
	}
}
