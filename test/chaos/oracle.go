package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// inWork is how long before and after Redis lost its memory the request of a task may have come that was in work just
// then: the time limit of a request, twice.
const inWork = 10 * time.Second

// crashSlack is how long after a worker's death a request that it had sent may still be read by the receiver. Nobody
// else can send the same delivery so soon: its task is leased to the dead worker for half a minute more.
const crashSlack = 2 * time.Second

// Arrival is where one event has to arrive: the n-th event of a payment, at one endpoint of its merchant.
type Arrival struct {
	Payment  string
	Sequence int
	Endpoint string
}

// Delivery is one row of the record.
type Delivery struct {
	ID, Endpoint string
	// WebhookID is the event, or the batch if Batch is set: then the row stands for the batch and for no event.
	WebhookID string
	Batch     bool
	Payment   string
	Sequence  int
	State     string
	CreatedAt time.Time
}

// Attempt is one attempt that the record holds as delivered.
type Attempt struct {
	WebhookID, Endpoint string
	Number              int
	Started             time.Time
	Took                time.Duration
}

// Request is one request as the receiver saw it.
type Request struct {
	WebhookID, Endpoint string
	Attempt             int
	Body                [32]byte // its SHA-256
	At                  time.Time
	Accepted            bool       // answered 2xx, whether or not anybody was left to read that
	Invalid             string     // why it is not what it should be, "" for a good one
	Events              []EventRef // what was in it: one event, or those of a batch
}

// EventRef is one event inside a request.
type EventRef struct {
	Event, Payment string
	Sequence       int
}

// Work is what workers had in work at a moment, as their connections to Redis showed.
type Work struct {
	// Held are the ids of the deliveries whose tasks were taken and not acknowledged. Active are those of them that were
	// not released either, to be tried again.
	Held, Active []string
}

// Injection is a fault that was injected.
type Injection struct {
	Fault Fault
	At    time.Time
	// Crashed is what the worker had in work that was killed, nil when none was.
	Crashed *Work
	// Forgotten is what all workers had in work when Redis lost what it knew of that, nil when it did not.
	Forgotten *Work
}

// Evidence is everything that a run saw.
type Evidence struct {
	Wanted     []Arrival // what the API was asked for and answered for
	Deliveries []Delivery
	Attempts   []Attempt
	Requests   []Request
	Injections []Injection
	Left       []string // what is left over: rows that wait, tasks in Redis
}

// Verdict is what the evidence proves.
type Verdict struct {
	// Events counts event × endpoint: what was asked for, and what the record has beyond that.
	Events int
	// Delivered counts those that the record calls delivered and the receiver accepted, Lost those it never accepted.
	Delivered, Lost int
	// Duplicates counts acceptances after the first one, Allowed how many the crashes excuse.
	Duplicates, Allowed int
	// Foreign counts whatever came under another id, with other bytes, or unasked for.
	Foreign  int
	Problems []string
	ByFault  map[Fault]*Row
}

// Row is what one kind of fault did.
type Row struct {
	Times, Lost, Duplicates, Allowed int
	// InWork is how many deliveries workers had in work when the fault was injected, of faults for which that matters.
	InWork int
	// Recovery are the times from an injection until what was open then came to the receiver again, sorted.
	Recovery []time.Duration
}

// OK reports whether the promise was kept.
func (v Verdict) OK() bool {
	return v.Delivered == v.Events && v.Lost == 0 && v.Foreign == 0 && v.Duplicates <= v.Allowed && len(v.Problems) == 0
}

// Line is the last line of a run.
func (v Verdict) Line() string {
	return fmt.Sprintf("events=%d delivered=%d lost=%d duplicates=%d foreign=%d allowed=%d",
		v.Events, v.Delivered, v.Lost, v.Duplicates, v.Foreign, v.Allowed)
}

const mostProblems = 50

func (v *Verdict) problem(format string, args ...any) {
	if len(v.Problems) < mostProblems {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

// target is an event or a batch at an endpoint.
type target struct{ webhookID, endpoint string }

// oracle is the evidence put in order.
type oracle struct {
	Evidence
	v        Verdict
	rows     map[target]*Delivery  // of events
	byID     map[string]*Delivery  // of all
	requests map[target][]*Request // by webhook-id and endpoint
	accepted map[target][]*Request // by event and endpoint
	recorded map[*Request]bool     // acceptances of which the record knows
	excused  map[*Request]Fault    // acceptances that were in flight at a crash
}

// Judge says what the evidence proves.
func Judge(e Evidence) Verdict {
	slices.SortStableFunc(e.Requests, func(a, b Request) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(e.Injections, func(a, b Injection) int { return a.At.Compare(b.At) })
	o := &oracle{
		Evidence: e, v: Verdict{ByFault: make(map[Fault]*Row)}, rows: make(map[target]*Delivery),
		byID:     make(map[string]*Delivery),
		requests: make(map[target][]*Request), accepted: make(map[target][]*Request), recorded: make(map[*Request]bool),
		excused: make(map[*Request]Fault),
	}
	for _, s := range e.Injections {
		o.row(s.Fault).Times++
	}
	o.readRows()
	o.readRequests()
	o.match()
	o.allow()
	o.count()
	o.sequences()
	o.recoveries()
	for _, left := range e.Left {
		o.v.problem("left over: %s", left)
	}
	if o.v.Duplicates > o.v.Allowed {
		o.v.problem("%d duplicates, and only %d were in flight at a crash", o.v.Duplicates, o.v.Allowed)
	}
	return o.v
}

func (o *oracle) row(f Fault) *Row {
	r := o.v.ByFault[f]
	if r == nil {
		r = &Row{}
		o.v.ByFault[f] = r
	}
	return r
}

func (o *oracle) readRows() {
	for i := range o.Deliveries {
		d := &o.Deliveries[i]
		o.byID[d.ID] = d
		if !d.Batch {
			o.rows[target{d.WebhookID, d.Endpoint}] = d
		}
	}
	arrivals := make(map[Arrival]*Delivery)
	for _, d := range o.rows {
		arrivals[Arrival{d.Payment, d.Sequence, d.Endpoint}] = d
	}
	o.v.Events = len(o.rows)
	asked := make(map[Arrival]bool)
	for _, p := range o.Wanted {
		asked[p] = true
		if arrivals[p] == nil {
			o.v.Events++
			o.v.Lost++
			o.v.problem("event %d of %s at %s was answered for and is not on record", p.Sequence, p.Payment, p.Endpoint)
		}
	}
	for p, d := range arrivals {
		if !asked[p] && len(o.Wanted) > 0 {
			o.v.problem("%s is on record and nobody asked for it: %+v", d.WebhookID, p)
		}
	}
}

func (o *oracle) readRequests() {
	bodies := make(map[string][32]byte)
	for i := range o.Requests {
		r := &o.Requests[i]
		if r.Invalid != "" {
			o.v.Foreign++
			o.v.problem("%s at %s: %s", r.WebhookID, r.Endpoint, r.Invalid)
			continue
		}
		if first, again := bodies[r.WebhookID]; again && first != r.Body {
			o.v.Foreign++
			o.v.problem("%s came with other bytes", r.WebhookID)
		} else {
			bodies[r.WebhookID] = r.Body
		}
		o.requests[target{r.WebhookID, r.Endpoint}] = append(o.requests[target{r.WebhookID, r.Endpoint}], r)
		for _, seen := range r.Events {
			t := target{seen.Event, r.Endpoint}
			if o.rows[t] == nil {
				o.v.Foreign++
				o.v.problem("%s came to %s and is not on record there", seen.Event, r.Endpoint)
				continue
			}
			if r.Accepted {
				o.accepted[t] = append(o.accepted[t], r)
			}
		}
	}
}

// match finds the acceptances that the record knows of: those with an attempt of the same number that was under way.
func (o *oracle) match() {
	attempts := make(map[target][]Attempt)
	for _, a := range o.Attempts {
		t := target{a.WebhookID, a.Endpoint}
		attempts[t] = append(attempts[t], a)
	}
	for t, rs := range o.requests {
		for _, r := range rs {
			o.recorded[r] = slices.ContainsFunc(attempts[t], func(a Attempt) bool {
				return a.Number == r.Attempt && !r.At.Before(a.Started) && !r.At.After(a.Started.Add(a.Took+time.Second))
			})
		}
	}
}

func (o *oracle) count() {
	for t, d := range o.rows {
		got := o.accepted[t]
		if len(got) == 0 {
			o.v.Lost++
			o.row(o.faultAfter(d.CreatedAt)).Lost++
			o.v.problem("%s (%s) was never accepted at %s; its state is %s", t.webhookID, d.ID, t.endpoint, d.State)
			continue
		}
		if d.State == "delivered" {
			o.v.Delivered++
		} else {
			o.v.problem("%s (%s) was accepted at %s and its state is %s", t.webhookID, d.ID, t.endpoint, d.State)
		}
		o.duplicates(t, got)
		for _, r := range got[1:] {
			if r.WebhookID != got[0].WebhookID {
				o.v.Foreign++
				o.v.problem("%s came to %s under two ids: %s and %s", t.webhookID, t.endpoint, got[0].WebhookID, r.WebhookID)
			}
		}
	}
}

// duplicates counts the acceptances after the first one, and holds that for each of them another was in flight at a
// crash.
func (o *oracle) duplicates(t target, got []*Request) {
	extra := len(got) - 1
	o.v.Duplicates += extra
	for _, r := range got {
		if f, ok := o.excused[r]; ok && extra > 0 {
			extra--
			o.row(f).Duplicates++
		}
	}
	if extra > 0 {
		o.row(o.faultAfter(got[0].At.Add(-crashSlack))).Duplicates += extra
		o.v.problem("%s came to %s %d times more than crashes excuse: at %s", t.webhookID, t.endpoint, extra, times(got))
	}
}

func times(rs []*Request) string {
	var all []string
	for _, r := range rs {
		all = append(all, r.At.Format("15:04:05.000"))
	}
	return strings.Join(all, ", ")
}

// faultAfter is the first fault that was injected from a moment on, "" when none did.
func (o *oracle) faultAfter(t time.Time) Fault {
	i, _ := slices.BinarySearchFunc(o.Injections, t, func(s Injection, t time.Time) int { return s.At.Compare(t) })
	if i == len(o.Injections) {
		return ""
	}
	return o.Injections[i].Fault
}

// sequences holds that what each endpoint accepted of a payment counts from 1 without a hole, each number under one id.
func (o *oracle) sequences() {
	type line struct{ payment, endpoint string }
	lines := make(map[line]map[int]string)
	for t, rs := range o.accepted {
		for _, r := range rs {
			for _, seen := range r.Events {
				if seen.Event != t.webhookID || seen.Payment == "" {
					continue
				}
				l := line{seen.Payment, t.endpoint}
				if lines[l] == nil {
					lines[l] = make(map[int]string)
				}
				if other, ok := lines[l][seen.Sequence]; ok && other != seen.Event {
					o.v.Foreign++
					o.v.problem("event %d of %s has two ids: %s and %s", seen.Sequence, l.payment, other, seen.Event)
				}
				lines[l][seen.Sequence] = seen.Event
			}
		}
	}
	for l, got := range lines {
		for n := 1; n <= len(got); n++ {
			if _, ok := got[n]; !ok {
				o.v.problem("event %d of %s is missing at %s, which has %d", n, l.payment, l.endpoint, len(got))
				break
			}
		}
	}
}
