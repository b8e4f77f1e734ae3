package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func sec(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Second))) }

// clean is the evidence of a run in which payments with two events each went to two endpoints, and all was well.
func clean(payments int) Evidence {
	var e Evidence
	for p := range payments {
		for n := 1; n <= 2; n++ {
			for _, endpoint := range []string{"a", "b"} {
				payment, event := fmt.Sprintf("pay_%d", p), fmt.Sprintf("evt_%d_%d", p, n)
				at := sec(float64(p))
				e.Wanted = append(e.Wanted, Arrival{payment, n, endpoint})
				e.Deliveries = append(e.Deliveries, Delivery{ID: "dlv_" + event + endpoint, Endpoint: endpoint, WebhookID: event,
					Payment: payment, Sequence: n, State: "delivered", CreatedAt: at})
				e.Attempts = append(e.Attempts, Attempt{WebhookID: event, Endpoint: endpoint, Number: 1, Started: at,
					Took: 100 * time.Millisecond})
				e.Requests = append(e.Requests, Request{WebhookID: event, Endpoint: endpoint, Attempt: 1,
					Body: [32]byte{byte(p), byte(n)}, At: at.Add(50 * time.Millisecond), Accepted: true,
					Events: []EventRef{{event, payment, n}}})
			}
		}
	}
	return e
}

// again makes the first request come once more, after seconds, as a delivery does whose verdict was lost.
func again(e *Evidence, after float64) {
	r := e.Requests[0]
	r.At = r.At.Add(time.Duration(after * float64(time.Second)))
	e.Requests = append(e.Requests, r)
	e.Attempts[0].Started = r.At.Add(-50 * time.Millisecond)
}

// killed makes a worker die that has the first delivery in work.
func killed(e *Evidence, at float64) {
	work := &Work{Held: []string{e.Deliveries[0].ID}, Active: []string{e.Deliveries[0].ID}}
	e.Injections = append(e.Injections, Injection{Fault: KillBeforeCommit, At: sec(at), Crashed: work})
}

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		change func(*Evidence)
		line   string
		says   string // in a problem; "" for a run that is in order
	}{
		"all is well": {func(*Evidence) {}, "events=12 delivered=12 lost=0 duplicates=0 foreign=0 allowed=0", ""},
		"never received": {func(e *Evidence) { e.Requests = e.Requests[1:] },
			"events=12 delivered=11 lost=1 duplicates=0 foreign=0 allowed=0", "evt_0_1 (dlv_evt_0_1a) was never accepted at a"},
		"received and refused": {func(e *Evidence) { e.Requests[0].Accepted = false },
			"events=12 delivered=11 lost=1 duplicates=0 foreign=0 allowed=0", "was never accepted"},
		"still waits": {func(e *Evidence) { e.Deliveries[3].State = "pending" },
			"events=12 delivered=11 lost=0 duplicates=0 foreign=0 allowed=0", "its state is pending"},
		"died": {func(e *Evidence) { e.Deliveries[3].State = "dead" },
			"events=12 delivered=11 lost=0 duplicates=0 foreign=0 allowed=0", "its state is dead"},
		"answered for and not on record": {func(e *Evidence) { e.Deliveries, e.Requests = e.Deliveries[1:], e.Requests[1:] },
			"events=12 delivered=11 lost=1 duplicates=0 foreign=0 allowed=0", "is not on record"},
		"nobody asked": {func(e *Evidence) { e.Wanted = e.Wanted[1:] },
			"events=12 delivered=12 lost=0 duplicates=0 foreign=0 allowed=0", "nobody asked for it"},
		"a duplicate without a crash": {func(e *Evidence) { again(e, 40) },
			"events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=0", "1 duplicates, and only 0 were"},
		"a duplicate after a crash": {func(e *Evidence) { again(e, 40); killed(e, 0.1) },
			"events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=1", ""},
		"two duplicates after one crash": {func(e *Evidence) { again(e, 40); again(e, 50); killed(e, 0.1) },
			"events=12 delivered=12 lost=0 duplicates=2 foreign=0 allowed=1", "2 duplicates, and only 1"},
		"a crash of another worker": {func(e *Evidence) {
			again(e, 40)
			killed(e, 0.1)
			e.Injections[0].Crashed.Held = []string{"dlv_evt_1_1a"}
		},
			"events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=0", "only 0"},
		"a crash before the request": {func(e *Evidence) { again(e, 40); killed(e, -5) },
			"events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=0", "only 0"},
		"a duplicate of what was on record": {func(e *Evidence) {
			again(e, 40)
			e.Attempts = append(e.Attempts, Attempt{WebhookID: "evt_0_1", Endpoint: "a", Number: 1, Started: sec(0),
				Took: 100 * time.Millisecond})
			killed(e, 0.2)
		}, "events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=0", "only 0"},
		"a duplicate after Redis lost its memory": {func(e *Evidence) {
			again(e, 2)
			e.Injections = append(e.Injections, Injection{Fault: FlushRedis, At: sec(0.1),
				Forgotten: &Work{Active: []string{e.Deliveries[0].ID}}})
		}, "events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=1", ""},
		"excused for another": {func(e *Evidence) {
			again(e, 40)
			e.Injections = append(e.Injections, Injection{Fault: FlushRedis, At: sec(0.1),
				Forgotten: &Work{Active: []string{"dlv_evt_0_1b"}}})
		}, "events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=1",
			"evt_0_1 came to a 1 times more than crashes excuse"},
		"a duplicate of what was not in work then": {func(e *Evidence) {
			again(e, 2)
			e.Injections = append(e.Injections, Injection{Fault: FlushRedis, At: sec(0.1),
				Forgotten: &Work{Held: []string{e.Deliveries[0].ID}}})
		}, "events=12 delivered=12 lost=0 duplicates=1 foreign=0 allowed=0", "only 0"},
		"a retry after a refusal": {func(e *Evidence) { again(e, 1); e.Requests[0].Accepted = false },
			"events=12 delivered=12 lost=0 duplicates=0 foreign=0 allowed=0", ""},
		"other bytes": {func(e *Evidence) { again(e, 40); killed(e, 0.1); e.Requests[len(e.Requests)-1].Body[5]++ },
			"events=12 delivered=12 lost=0 duplicates=1 foreign=1 allowed=1", "came with other bytes"},
		"another id": {func(e *Evidence) {
			again(e, 40)
			killed(e, 0.1)
			e.Requests[len(e.Requests)-1].WebhookID = "bat_1"
		}, "events=12 delivered=12 lost=0 duplicates=1 foreign=1 allowed=1", "under two ids: evt_0_1 and bat_1"},
		"an event nobody knows": {func(e *Evidence) {
			e.Requests = append(e.Requests, Request{WebhookID: "evt_x", Endpoint: "a", At: sec(9), Accepted: true,
				Events: []EventRef{{"evt_x", "pay_0", 3}}})
		}, "events=12 delivered=12 lost=0 duplicates=0 foreign=1 allowed=0", "is not on record there"},
		"a forged request": {func(e *Evidence) {
			e.Requests = append(e.Requests, Request{WebhookID: "evt_0_1", Endpoint: "a", At: sec(9),
				Invalid: "no signature fits the request"})
		}, "events=12 delivered=12 lost=0 duplicates=0 foreign=1 allowed=0", "no signature fits"},
		"a hole in the sequence": {func(e *Evidence) {
			for i := range e.Requests {
				if s := &e.Requests[i].Events[0]; s.Payment == "pay_0" && s.Sequence == 2 {
					s.Sequence = 3
				}
			}
		}, "events=12 delivered=12 lost=0 duplicates=0 foreign=0 allowed=0", "event 2 of pay_0 is missing"},
		"one number, two events": {func(e *Evidence) {
			for i := range e.Requests {
				if s := &e.Requests[i].Events[0]; s.Payment == "pay_0" {
					s.Sequence = 1
				}
			}
		}, "events=12 delivered=12 lost=0 duplicates=0 foreign=2 allowed=0", "event 1 of pay_0 has two ids"},
		"left over": {func(e *Evidence) { e.Left = []string{"1 in active of wh:0"} },
			"events=12 delivered=12 lost=0 duplicates=0 foreign=0 allowed=0", "left over: 1 in active of wh:0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := clean(3)
			tt.change(&e)
			v := Judge(e)
			if got := v.Line(); got != tt.line {
				t.Errorf("got  %s\nwant %s", got, tt.line)
			}
			if v.OK() != (tt.says == "") {
				t.Errorf("OK is %v: %q", v.OK(), v.Problems)
			}
			if all := strings.Join(v.Problems, "\n"); !strings.Contains(all, tt.says) {
				t.Errorf("no problem says %q: %s", tt.says, all)
			}
		})
	}
}

// TestJudgeBatches: a batch in flight at a crash excuses one more acceptance of each of its events.
func TestJudgeBatches(t *testing.T) {
	e := clean(1)
	e.Deliveries = append(e.Deliveries, Delivery{ID: "dlv_c", Endpoint: "a", WebhookID: "bat_1", Batch: true,
		State: "delivered", CreatedAt: noon})
	var alone []Request
	for _, r := range e.Requests {
		if r.Endpoint != "a" {
			alone = append(alone, r)
		}
	}
	both := []EventRef{{"evt_0_1", "pay_0", 1}, {"evt_0_2", "pay_0", 2}}
	first := Request{WebhookID: "bat_1", Endpoint: "a", Attempt: 1, At: sec(1), Accepted: true, Events: both}
	second := first
	second.At = sec(41)
	e.Requests = append(alone, first, second)
	e.Attempts = append(e.Attempts, Attempt{WebhookID: "bat_1", Endpoint: "a", Number: 1, Started: sec(40.9),
		Took: time.Second})
	e.Injections = []Injection{{Fault: KillBeforeCommit, At: sec(1.1), Crashed: &Work{Held: []string{"dlv_c"},
		Active: []string{"dlv_c"}}}}
	v := Judge(e)
	if got, want := v.Line(), "events=4 delivered=4 lost=0 duplicates=2 foreign=0 allowed=2"; got != want || !v.OK() {
		t.Errorf("%s, want %s: %q", got, want, v.Problems)
	}
	if row := v.ByFault[KillBeforeCommit]; row.Duplicates != 2 || row.Allowed != 2 || row.InWork != 1 ||
		len(row.Recovery) != 1 || row.Recovery[0].Round(time.Second) != 40*time.Second {
		t.Errorf("%+v", row)
	}
}

// TestJudgeCounts: whatever is taken away from a run that was in order is counted as lost, whatever is added as a
// duplicate.
func TestJudgeCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := clean(rapid.IntRange(1, 20).Draw(t, "payments"))
		n := len(e.Requests)
		lost := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID[int]).Draw(t, "lost")
		gone := make(map[int]bool)
		for _, i := range lost {
			gone[i] = true
		}
		extra, remaining := 0, []Request(nil)
		for i, r := range e.Requests {
			if gone[i] {
				continue
			}
			remaining = append(remaining, r)
			for range rapid.IntRange(0, 2).Draw(t, "extra") {
				extra++
				r.At = r.At.Add(time.Minute)
				remaining = append(remaining, r)
			}
		}
		e.Requests = remaining
		v := Judge(e)
		if v.Events != n || v.Lost != len(lost) || v.Delivered != n-len(lost) || v.Duplicates != extra || v.Allowed != 0 ||
			v.Foreign != 0 {
			t.Fatalf("%d lost, %d extra: %s", len(lost), extra, v.Line())
		}
		if v.OK() != (len(lost) == 0 && extra == 0) {
			t.Fatalf("OK is %v of %s", v.OK(), v.Line())
		}
	})
}

func TestRecoveries(t *testing.T) {
	e := clean(1)
	e.Requests[0].At, e.Attempts[0].Started = sec(7), sec(6.9)
	e.Injections = []Injection{{Fault: StallRedis, At: sec(2)}, {Fault: CutRedis, At: sec(20)}}
	v := Judge(e)
	if r := v.ByFault[StallRedis].Recovery; len(r) != 1 || r[0] != 5*time.Second {
		t.Errorf("stall: %v", r)
	}
	if r := v.ByFault[CutRedis].Recovery; len(r) != 0 {
		t.Errorf("cut, with nothing open: %v", r)
	}
	if quantile(nil, 0.5) != 0 || quantile([]time.Duration{1, 2, 3}, 0.5) != 2 ||
		quantile([]time.Duration{1, 2, 3}, 1) != 3 {
		t.Error("quantile")
	}
}
