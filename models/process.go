package models

import "time"

// ProcessAlive is how long after its last sign a process still counts as alive.
const ProcessAlive = 30 * time.Second

// Process is one that runs, or ran until lately.
type Process struct {
	ID        string    `json:"id"`
	Role      string    `json:"role"`      // api, worker, scanner; several with commas
	Version   string    `json:"version"`   // of the binary
	Schema    int64     `json:"schema"`    // that the binary was built for
	MaxConns  int       `json:"max_conns"` // that it may open to the database
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`
}

// IsAlive reports whether the process gave a sign lately, by the clock that its signs are dated by.
func (p Process) IsAlive(now time.Time) bool { return now.Sub(p.SeenAt) <= ProcessAlive }

// PoolsOf sums the connections that the live ones of some processes may open, a further one each for their signs, and
// counts them.
func PoolsOf(all []Process, now time.Time) (connections, alive int) {
	for _, p := range all {
		if p.IsAlive(now) {
			connections += p.MaxConns + 1
			alive++
		}
	}
	return connections, alive
}
