package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

// watchEvery is the time between two screens of `ctripctl status --watch`.
const watchEvery = 2 * time.Second

func (sh *shell) status() *cobra.Command {
	watch := false
	c := &cobra.Command{
		Use: "status", Short: "Show chains, lanes, dead letters and what waits for a person, on one screen",
		Long: `Show chains, lanes, dead letters and what waits for a person, on one screen. The operator's page at /status of the ops
listener shows the same.`,
		Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			for {
				s, err := a.Status(ctx)
				if err != nil {
					return err
				}
				if watch && !sh.json {
					fmt.Fprint(sh.out, "\x1b[H\x1b[2J") // to the top left, and clear
				}
				if err := sh.answer(s, func() error { return sh.screen(s) }); err != nil || !watch {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(watchEvery):
				}
			}
		}),
	}
	c.Flags().BoolVar(&watch, "watch", false, "show it anew every two seconds, until it is stopped")
	return c
}

// screen prints the state of the gateway: first what asks for a person, then the tables.
func (sh *shell) screen(s admin.Status) error {
	for _, line := range s.Attention() {
		fmt.Fprintln(sh.out, "! "+line)
	}
	if err := sh.facts("", "at", s.At.Format(time.RFC3339), "oldest due", seconds(s.OldestDueSeconds),
		"dead letters", fmt.Sprint(s.DeadLetters), "open breakers", fmt.Sprint(s.OpenBreakers)); err != nil {
		return err
	}
	fmt.Fprintln(sh.out)
	var rows [][]string
	for _, c := range s.Chains {
		rows = append(rows, []string{c.Chain, fmt.Sprint(c.Number), fmt.Sprint(c.HeadNumber), fmt.Sprint(c.FinalNumber),
			ageOf(c), fmt.Sprint(c.Doubts), when(c.HaltedAt)})
	}
	if err := sh.table("CHAIN BLOCK HEAD FINAL AGE DOUBTS HALTED", "No chain has been scanned yet.", rows); err != nil {
		return err
	}
	fmt.Fprintln(sh.out)
	rows = nil
	for _, l := range s.Lanes {
		rows = append(rows, []string{l.Name, fmt.Sprint(l.Pending), fmt.Sprint(l.Active), fmt.Sprint(l.Retry),
			fmt.Sprint(l.Archived), fmt.Sprint(l.ExpiredLeases), seconds(l.OldestSeconds)})
	}
	if err := sh.table("LANE PENDING ACTIVE RETRY ARCHIVED EXPIRED OLDEST", "No lane could be read.", rows); err != nil {
		return err
	}
	fmt.Fprintln(sh.out)
	rows = nil
	for _, p := range s.Processes {
		rows = append(rows, []string{p.Role, p.ID, p.Version, fmt.Sprint(p.Schema), p.StartedAt.Format(time.RFC3339),
			seconds(p.AgeSeconds), strings.Join(p.Leads, ",")})
	}
	if err := sh.table("ROLE PROCESS VERSION SCHEMA STARTED SIGN LEADS", "No process has given a sign of life.",
		rows); err != nil {
		return err
	}
	if len(s.DeadByReason) == 0 {
		return nil
	}
	fmt.Fprintln(sh.out)
	rows = nil
	for _, d := range s.DeadByReason {
		rows = append(rows, []string{d.Reason, fmt.Sprint(d.Count)})
	}
	return sh.table("DEAD-FOR COUNT", "", rows)
}

func seconds(n int64) string { return (time.Duration(n) * time.Second).String() }
