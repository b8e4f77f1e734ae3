package web

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLiveAsksOnceASecond: however many look, the record is asked once a second for each topic once, nobody is told the
// same version twice, and nothing is asked when nobody looks.
func TestLiveAsksOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked, version, failing := 0, "1", false
		l := &live{read: func(_ context.Context, topics []string) (map[string]string, error) {
			mu.Lock()
			defer mu.Unlock()
			if asked++; len(topics) != 2 {
				t.Errorf("asked for %v", topics)
			}
			if failing {
				return nil, errors.New("no database")
			}
			return map[string]string{"a": version, "b": "same"}, nil
		}}
		set := func(v string, f bool) {
			mu.Lock()
			defer mu.Unlock()
			version, failing = v, f
		}
		times := func() int {
			mu.Lock()
			defer mu.Unlock()
			return asked
		}
		var all []*watcher
		var leaves []func()
		for i := range 100 {
			w, leave := l.watch([]string{"a", "b"}[i%2])
			all, leaves = append(all, w), append(leaves, leave)
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := times(); n != 11 {
			t.Errorf("asked %d times in ten seconds", n)
		}
		for i, w := range all {
			if got := <-w.changed; got != []string{"1", "same"}[i%2] {
				t.Fatalf("told %q", got)
			}
		}
		set("2", true)
		time.Sleep(3 * time.Second)
		set("3", false)
		time.Sleep(3 * time.Second)
		set("4", false)
		time.Sleep(3 * time.Second)
		if got := <-all[0].changed; got != "4" {
			t.Errorf("who is slow gets %q", got)
		}
		select {
		case got := <-all[1].changed:
			t.Errorf("told %q again", got)
		default:
		}
		for _, leave := range leaves {
			leave()
		}
		time.Sleep(2 * time.Second)
		before := times()
		time.Sleep(time.Minute)
		if n := times(); n != before {
			t.Errorf("asked %d times for nobody", n-before)
		}
		third, leaveThird := l.watch("a")
		fourth, leaveFourth := l.watch("b")
		if a, b := <-third.changed, <-fourth.changed; a != "4" || b != "same" {
			t.Errorf("the next ones are told %q and %q", a, b)
		}
		leaveThird()
		leaveFourth()
		time.Sleep(2 * time.Second)
	})
}
