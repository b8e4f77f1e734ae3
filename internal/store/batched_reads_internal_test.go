package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ctrip-gateway/ctrip/models"
)

// TestBatchedReadsAreNoOlderThanTheirQuestions: questions that come while statements are under way share the next
// one, and none is given what was read before it was asked, for the same key either.
func TestBatchedReadsAreNoOlderThanTheirQuestions(t *testing.T) {
	var mu sync.Mutex
	var batches [][]string
	version := 0
	started, goOn := make(chan struct{}), make(chan struct{})
	r := batchedRead[string, int]{read: func(_ context.Context, keys []string) (map[string]int, error) {
		mu.Lock()
		batches = append(batches, slices.Clone(keys))
		values := make(map[string]int)
		for _, k := range keys {
			values[k] = version
		}
		mu.Unlock()
		started <- struct{}{}
		<-goOn
		return values, nil
	}}
	var early, late sync.WaitGroup
	ask := func(all *sync.WaitGroup, key string, want int) {
		all.Go(func() {
			if got, err := r.get(t.Context(), key); err != nil || got != want {
				t.Errorf("%s: %d, %v, want %d", key, got, err, want)
			}
		})
	}
	for range readsAtOnce { // each takes a statement of its own
		ask(&early, "a", 0)
		<-started
	}
	mu.Lock()
	version = 1
	mu.Unlock()
	for range 10 {
		ask(&late, "a", 1)
		ask(&late, "b", 1)
	}
	for waits := 0; waits < 20; {
		r.mu.Lock()
		waits = len(r.waiting)
		r.mu.Unlock()
	}
	goOn <- struct{}{}
	<-started
	for range readsAtOnce {
		goOn <- struct{}{}
	}
	early.Wait()
	late.Wait()
	mu.Lock()
	defer mu.Unlock()
	if last := batches[len(batches)-1]; len(batches) != readsAtOnce+1 || len(last) != 2 {
		t.Errorf("statements were made for %v", batches)
	}
}

// TestBatchedReadsFailAlone: what the database refuses of several fails alone, what is not there is not found, and who
// gives up waits no longer.
func TestBatchedReadsFailAlone(t *testing.T) {
	refused := errors.New("refused")
	r := batchedRead[string, int]{read: func(_ context.Context, keys []string) (map[string]int, error) {
		if slices.Contains(keys, "bad") {
			return nil, refused
		}
		return map[string]int{"good": 1}, nil
	}}
	batch := []question[string, int]{}
	for _, key := range []string{"good", "bad", "none", "good"} {
		batch = append(batch, question[string, int]{key, make(chan answer[int], 1)})
	}
	r.serve(batch)
	for i, want := range []error{nil, refused, models.ErrNotFound, nil} {
		if a := <-batch[i].answer; !errors.Is(a.err, want) || want == nil && a.value != 1 {
			t.Errorf("%s: %+v", batch[i].key, a)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := batchedRead[string, int]{working: readsAtOnce}
	if _, err := never.get(ctx, "good"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPadded(t *testing.T) {
	for n, want := range map[int]string{1: "a", 2: "aa", 3: "aaaa", 5: "aaaaaaaa", 64: strings.Repeat("a", 64)} {
		if got := strings.Join(padded(slices.Repeat([]string{"a"}, n)), ""); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
