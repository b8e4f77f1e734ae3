package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// examineProcesses tells who lives, by the signs that processes write, and who leads which chain.
func examineProcesses(ctx context.Context, db *store.Store) []Check {
	const name, mayRead = "processes", "may the user read its own tables?"
	all, now, err := db.Processes(ctx)
	if err != nil {
		return []Check{{name, false, oneLine(err), mayRead}}
	}
	leases, err := db.Leases(ctx)
	if err != nil {
		return []Check{{name, false, oneLine(err), mayRead}}
	}
	all = slices.DeleteFunc(all, func(p models.Process) bool { return !p.IsAlive(now) })
	checks := []Check{{Name: name, OK: true, Detail: describeProcesses(all)}}
	if line := describeLeases(leases, all, now); line != "" {
		checks = append(checks, Check{Name: "chain leases", OK: true, Detail: line})
	}
	return checks
}

// describeProcesses counts those of each role and build.
func describeProcesses(alive []models.Process) string {
	if len(alive) == 0 {
		return "none has given a sign within " + models.ProcessAlive.String()
	}
	counts, order := make(map[string]int), []string(nil)
	for _, p := range alive {
		kind := fmt.Sprintf("%s %s (schema %d)", p.Role, p.Version, p.Schema)
		if p.Version == "" {
			kind = fmt.Sprintf("%s (schema %d)", p.Role, p.Schema)
		}
		if counts[kind]++; counts[kind] == 1 {
			order = append(order, kind)
		}
	}
	slices.Sort(order)
	for i, kind := range order {
		order[i] = fmt.Sprintf("%d %s", counts[kind], kind)
	}
	return strings.Join(order, ", ")
}

// describeLeases tells who leads each chain.
func describeLeases(leases []models.ChainLease, alive []models.Process, now time.Time) string {
	var lines []string
	for _, l := range leases {
		switch {
		case l.Holder == "" || now.After(l.ExpiresAt):
			lines = append(lines, fmt.Sprintf("%d: nobody", l.ChainID))
		case !slices.ContainsFunc(alive, func(p models.Process) bool { return p.ID == l.Holder }):
			lines = append(lines, fmt.Sprintf("%d: %s, which has given no sign", l.ChainID, l.Holder))
		default:
			lines = append(lines, fmt.Sprintf("%d: %s", l.ChainID, l.Holder))
		}
	}
	return strings.Join(lines, ", ")
}
