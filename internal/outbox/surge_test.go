package outbox

import (
	"fmt"
	"testing"
	"time"
)

func TestSurge(t *testing.T) {
	var s surge
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	count := func(endpoint string, n int) (over int) {
		for range n {
			if s.over(endpoint, now) {
				over++
			}
		}
		return over
	}
	if got := count("a", 1000); got != 1000-surgeBurst {
		t.Errorf("%d of a flood are over", got)
	}
	if got := count("b", surgeBurst); got != 0 {
		t.Errorf("a neighbour lost %d", got)
	}
	now = now.Add(500 * time.Millisecond)
	if got := count("a", 1000); got != 1000-surgeRate/2 {
		t.Errorf("after half a second %d are over", got)
	}
	now = now.Add(time.Hour)
	if got := count("a", 1000); got != 1000-surgeBurst {
		t.Errorf("after an hour %d are over", got)
	}
	now = now.Add(-time.Hour) // a clock that goes back gives nothing
	if got := count("a", 10); got != 10 {
		t.Errorf("%d are over", got)
	}
	for i := range 3 * surgeMost {
		s.over(fmt.Sprint(i), now)
	}
	if len(s.buckets) > surgeMost {
		t.Errorf("%d endpoints are remembered", len(s.buckets))
	}
}
