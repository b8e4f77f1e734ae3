package main

// allow counts the events that were in flight at the crashes.
//
// When a worker was killed, those are in the requests that the receiver had accepted from it and that are on no record:
// each excuses one more acceptance of what it carried. When Redis lost its memory, nobody but a worker itself could
// know what that had in work: each such request excuses one more acceptance too, whether or not it came to be on
// record.
func (o *oracle) allow() {
	excuse := func(f Fault, r *Request) {
		o.excused[r] = f
		o.row(f).Allowed += len(r.Events)
		o.v.Allowed += len(r.Events)
	}
	for _, s := range o.Injections {
		row := o.row(s.Fault)
		if s.Crashed != nil {
			row.InWork += len(s.Crashed.Active)
			for _, id := range s.Crashed.Held {
				for _, r := range o.of(id) {
					if r.Accepted && !o.recorded[r] && !o.inFlight(r) && !r.At.After(s.At.Add(crashSlack)) {
						excuse(s.Fault, r)
					}
				}
			}
		}
		if s.Forgotten != nil {
			row.InWork += len(s.Forgotten.Active)
			for _, id := range s.Forgotten.Active {
				for _, r := range o.of(id) {
					if r.Accepted && !o.inFlight(r) && r.At.After(s.At.Add(-inWork)) && r.At.Before(s.At.Add(inWork)) {
						excuse(s.Fault, r)
						break
					}
				}
			}
		}
	}
}

// of lists the requests of the delivery with this id.
func (o *oracle) of(id string) []*Request {
	d := o.byID[id]
	if d == nil {
		return nil
	}
	return o.requests[target{d.WebhookID, d.Endpoint}]
}

// inFlight reports whether a request is counted as in flight at a crash already.
func (o *oracle) inFlight(r *Request) bool {
	_, ok := o.excused[r]
	return ok
}
