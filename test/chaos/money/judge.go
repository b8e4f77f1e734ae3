package money

import (
	"fmt"
	"math/big"
	"slices"
)

// Event is an event of the record.
type Event struct {
	ID, Type  string
	Confirmed *big.Int // what it says is confirmed
	Retracts  []string
}

// Case is a payment: what the chain holds for it in the end, and what the record says.
type Case struct {
	Name                string
	Asked, Holds        *big.Int
	Status              string
	Received, Confirmed *big.Int
	Events              []Event // by sequence
	Doubted             bool    // a doubt is left open
}

// Verdict is what the evidence proves.
type Verdict struct {
	Payments, Right, Missed, Believed, Twice int
	Problems                                 []string
}

// Line is the last line of a run.
func (v Verdict) Line() string {
	return fmt.Sprintf("payments=%d right=%d missed=%d believed_wrongly=%d announced_twice=%d", v.Payments, v.Right,
		v.Missed, v.Believed, v.Twice)
}

// OK reports whether the promise was kept.
func (v Verdict) OK() bool {
	return v.Right == v.Payments && v.Missed+v.Believed+v.Twice == 0 && len(v.Problems) == 0
}

func (v *Verdict) problem(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// Judge says what the evidence proves.
func Judge(cases []Case) Verdict {
	v := Verdict{Payments: len(cases)}
	for _, c := range cases {
		before := len(v.Problems)
		if c.Confirmed.Cmp(c.Holds) < 0 {
			v.Missed++
			v.problem("%s: the chain holds %s, confirmed are %s; %s", c.Name, c.Holds, c.Confirmed, c.story())
		}
		if why := c.believed(); why != "" {
			v.Believed++
			v.problem("%s: %s; %s", c.Name, why, c.story())
		}
		live, twice := c.live()
		if twice != "" {
			v.Twice++
			v.problem("%s: %s twice, without a retraction between; %s", c.Name, twice, c.story())
		}
		if why := c.wrong(live); why != "" && len(v.Problems) == before {
			v.problem("%s: %s; %s", c.Name, why, c.story())
		}
		if len(v.Problems) == before {
			v.Right++
		}
	}
	return v
}

func (c Case) story() string {
	out := fmt.Sprintf("asked %s, holds %s, %s, received %s, confirmed %s, doubted %t:", c.Asked, c.Holds, c.Status,
		c.Received, c.Confirmed, c.Doubted)
	for _, e := range c.Events {
		out += fmt.Sprintf(" %s(%s)", e.Type, e.Confirmed)
	}
	return out
}

// believed says why the record believed too much: money is confirmed that is not there, or was once said to be.
func (c Case) believed() string {
	if c.Confirmed.Cmp(c.Holds) > 0 {
		return fmt.Sprintf("the chain holds %s, confirmed are %s", c.Holds, c.Confirmed)
	}
	final := make(map[string]bool)
	for _, e := range c.Events {
		if e.Confirmed.Cmp(c.Holds) > 0 {
			return fmt.Sprintf("%s says that %s are confirmed, and the chain holds %s", e.Type, e.Confirmed, c.Holds)
		}
		final[e.ID] = e.Type == "payment.confirmed"
		for _, id := range e.Retracts {
			if final[id] {
				return "payment.confirmed was retracted"
			}
		}
	}
	return ""
}

// live returns the types of the events that nothing retracts, and one that is there twice.
func (c Case) live() (live map[string]string, twice string) {
	live = make(map[string]string)
	for _, e := range c.Events {
		for kind, id := range live {
			if slices.Contains(e.Retracts, id) {
				delete(live, kind)
			}
		}
		if e.Type == "payment.reorged" {
			continue
		}
		if _, is := live[e.Type]; is {
			twice = e.Type
		}
		live[e.Type] = e.ID
	}
	return live, twice
}

// wrong says what is not as it should be, when every amount is.
func (c Case) wrong(live map[string]string) string {
	paid, over := c.Holds.Cmp(c.Asked) >= 0, c.Holds.Cmp(c.Asked) > 0
	wants := map[string]bool{
		"payment.created": true, "payment.detected": paid, "payment.confirmed": paid, "payment.overpaid": over,
	}
	if !paid && c.Holds.Sign() > 0 {
		wants["payment.partially_paid"] = true
	}
	status := "pending"
	if paid {
		status = "confirmed"
	}
	switch {
	case c.Status != status:
		return "its status is " + c.Status
	case c.Received.Cmp(c.Holds) != 0:
		return fmt.Sprintf("received are %s", c.Received)
	case c.Doubted:
		return "a doubt is left"
	}
	for kind, want := range wants {
		if _, is := live[kind]; is != want {
			return fmt.Sprintf("%s stands: %t", kind, is)
		}
	}
	return ""
}
