package models

import "time"

// Actor is who does something, for the audit log.
type Actor struct {
	Name string // "operator", "operator:" and a name, "key:" and an id, or "system"
	IP   string // "" when the request did not come over HTTP
}

// System is the gateway itself.
var System = Actor{Name: "system"}

// Now is the time of a clock in UTC, to the microsecond: both databases keep no more.
func Now(clock func() time.Time) time.Time { return Micro(clock()) }

// Micro is t in UTC, to the microsecond, as both databases keep it.
func Micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
