package main

import (
	"slices"
	"time"
)

// recoveries measures how long what a strike held up was held up. After the death of a worker that is what it had in
// work, after anything else everything that was open.
func (o *oracle) recoveries() {
	next := func(t target, after time.Time) (time.Time, bool) {
		for _, r := range o.requests[t] {
			if r.At.After(after) {
				return r.At, true
			}
		}
		return time.Time{}, false
	}
	type life struct {
		t             target
		created, done time.Time
	}
	var lives []life
	for _, d := range o.byID {
		t := target{d.WebhookID, d.Endpoint}
		l := life{t: t, created: d.CreatedAt}
		for _, r := range o.requests[t] {
			if r.Accepted && o.recorded[r] {
				l.done = r.At
				break
			}
		}
		lives = append(lives, l)
	}
	for _, s := range o.Strikes {
		row := o.row(s.Fault)
		if s.Crashed != nil {
			for _, id := range s.Crashed.Active {
				if d := o.byID[id]; d != nil && !o.doneBy(d, s.At) {
					if at, ok := next(target{d.WebhookID, d.Endpoint}, s.At.Add(crashSlack)); ok {
						row.Recovery = append(row.Recovery, at.Sub(s.At))
					}
				}
			}
			continue
		}
		for _, l := range lives {
			if l.created.After(s.At) || l.done.IsZero() || !l.done.After(s.At) {
				continue
			}
			if at, ok := next(l.t, s.At); ok {
				row.Recovery = append(row.Recovery, at.Sub(s.At))
			}
		}
	}
	for _, row := range o.v.ByFault {
		slices.Sort(row.Recovery)
	}
}

// doneBy reports whether an acceptance that is on record came before a moment.
func (o *oracle) doneBy(d *Delivery, t time.Time) bool {
	return slices.ContainsFunc(o.requests[target{d.WebhookID, d.Endpoint}], func(r *Request) bool {
		return r.Accepted && o.recorded[r] && !r.At.After(t.Add(crashSlack))
	})
}

// quantile is the p-th part of sorted durations, 0 of none.
func quantile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
