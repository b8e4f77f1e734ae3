package api

import (
	"fmt"
	"testing"
)

// TestRequestsReachDeep: the requests that FuzzRequests makes are not all refused at once. On every route some
// are accepted, and on every route that takes a body some with one.
func TestRequestsReachDeep(t *testing.T) {
	f := newFuzzedCounter(t)
	accepted, bodies, seen := map[string]int{}, map[string]int{}, map[string]int{}
	reached := func() bool {
		for _, route := range pages {
			if accepted[route] == 0 {
				return false
			}
		}
		for _, route := range f.routes {
			if accepted[route] == 0 || f.operations[route].Route.Operation.RequestBody != nil && bodies[route] == 0 {
				return false
			}
		}
		return true
	}
	for i := 0; i < 3000 && !reached(); i++ {
		d := newDice([]byte(fmt.Sprintf("%08d", i)))
		d.bytes = nil
		r := f.request(d)
		w := f.send(t, r)
		seen[r.route]++
		if w.Code < 300 || r.page && w.Code < 400 {
			accepted[r.route]++
			if r.body != "" {
				bodies[r.route]++
			}
		}
	}
	for _, route := range pages {
		t.Logf("%-60s %5d asked %5d accepted", route, seen[route], accepted[route])
		if accepted[route] == 0 {
			t.Errorf("%s: of %d requests none was accepted", route, seen[route])
		}
	}
	for _, route := range f.routes {
		op := f.operations[route]
		t.Logf("%-60s %5d asked %5d accepted %5d with a body", route, seen[route], accepted[route], bodies[route])
		if accepted[route] == 0 || op.Route.Operation.RequestBody != nil && bodies[route] == 0 {
			t.Errorf("%s: of %d requests %d were accepted, %d with a body", route, seen[route], accepted[route], bodies[route])
		}
	}
}
