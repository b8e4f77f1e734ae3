package main

import (
	"slices"
	"time"
)

// life is what became of one delivery.
type life struct {
	row       *Delivery
	requests  []*Request
	done      time.Time // of the first acceptance that is on record, zero when there is none
	refused   []time.Time
	abandoned []time.Time // when a worker died that had it in work
}

// recoveries measures for how long an injection held deliveries up.
//
// After the death of a worker that is everything that it had in work and not yet on record, until it comes to the
// receiver again. After a fault of the receiver it is what that refused, until it is accepted. After anything else it
// is what was open, until it is accepted, without what waited for another reason: refused by the receiver, or in work
// at a death.
func (o *oracle) recoveries() {
	lives := o.lives()
	for _, s := range o.Injections {
		row := o.row(s.Fault)
		for _, l := range lives {
			if until, ok := l.heldUp(s); ok {
				row.Recovery = append(row.Recovery, until.Sub(s.At))
			}
		}
	}
	for _, row := range o.v.ByFault {
		slices.Sort(row.Recovery)
	}
}

func (o *oracle) lives() []*life {
	var all []*life
	byID := make(map[string]*life)
	for id, d := range o.byID {
		l := &life{row: d, requests: o.of(id)}
		for _, r := range l.requests {
			if r.Accepted && o.recorded[r] && l.done.IsZero() {
				l.done = r.At
			}
			if !r.Accepted {
				l.refused = append(l.refused, r.At)
			}
		}
		all, byID[id] = append(all, l), l
	}
	for _, s := range o.Injections {
		if s.Crashed == nil {
			continue
		}
		for _, id := range s.Crashed.Active {
			if l := byID[id]; l != nil {
				l.abandoned = append(l.abandoned, s.At)
			}
		}
	}
	return all
}

// heldUp tells until when an injection held a delivery up, if it did.
func (l *life) heldUp(s Injection) (time.Time, bool) {
	if l.done.IsZero() {
		return time.Time{}, false
	}
	between := func(t time.Time) bool { return t.After(s.At) && t.Before(l.done) }
	switch {
	case s.Crashed != nil:
		if !slices.ContainsFunc(l.abandoned, s.At.Equal) {
			return time.Time{}, false
		}
		i := slices.IndexFunc(l.requests, func(r *Request) bool { return r.At.After(s.At.Add(crashSlack)) })
		if i < 0 || !l.done.After(s.At.Add(crashSlack)) {
			return time.Time{}, false
		}
		return l.requests[i].At, true
	case s.Fault.ofReceiver():
		return l.done, slices.ContainsFunc(l.refused, between) && !slices.ContainsFunc(l.abandoned, between)
	}
	before := func(t time.Time) bool { return t.Before(l.done) }
	return l.done, !l.row.CreatedAt.After(s.At) && l.done.After(s.At) && !slices.ContainsFunc(l.refused, before) &&
		!slices.ContainsFunc(l.abandoned, before)
}
