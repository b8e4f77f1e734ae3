package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// replayPoll is how often a command that waits for a replay looks how far it is.
const replayPoll = 500 * time.Millisecond

func (sh *shell) replay() *cobra.Command {
	return sh.group("replay", "Send webhooks again: all that match", sh.replayStart(), sh.replayGet(), sh.replayCancel())
}

func (sh *shell) replayStart() *cobra.Command {
	var r admin.ReplayRequest
	var after, before string
	var dry, wait bool
	c := &cobra.Command{
		Use: "start ENDPOINT", Short: "Send again to an endpoint what matches", Args: cobra.ExactArgs(1),
		Long: `Make a job that sends events to an endpoint again, the same bytes under the same webhook-id. It looks at the newest delivery
of each event, and leaves out what is going to be sent anyway. Workers carry it out; any of them goes on when one dies.`,
		Example: "  ctripctl replay start we_… --state dead --after 2026-11-22T00:00:00Z --dry-run\n  ctripctl replay " +
			"start we_… --state dead --rate 20 --wait",
	}
	c.RunE = sh.do(func(ctx context.Context, args []string) error {
		for _, t := range []struct {
			flag, text string
			into       **time.Time
		}{{"after", after, &r.CreatedAfter}, {"before", before, &r.CreatedBefore}} {
			if t.text == "" {
				continue
			}
			at, err := time.Parse(time.RFC3339, t.text)
			if err != nil {
				return misused("--%s must be a time such as 2026-11-23T10:00:00Z", t.flag)
			}
			*t.into = &at
		}
		return sh.withAdmin(ctx, false, func(a *admin.Admin) error {
			begin := a.StartReplay
			if dry {
				begin = a.PlanReplay
			}
			job, err := begin(ctx, args[0], r)
			if err != nil {
				return err
			}
			if wait && !dry {
				err := sh.follow(ctx, "ctripctl replay get "+job.ID, advanceOf(job), func() (advance, error) {
					if job, err = a.Replay(ctx, job.ID); err != nil {
						return advance{}, err
					}
					return advanceOf(job), nil
				})
				if err != nil {
					return err
				}
			}
			return sh.printReplay(job)
		})
	})
	c.Flags().StringVar(&r.State, "state", "", "only delivered, dead or canceled ones")
	c.Flags().StringVar(&r.EventType, "type", "", "only events of this type")
	c.Flags().StringVar(&after, "after", "", "only deliveries made at this time or later (RFC 3339)")
	c.Flags().StringVar(&before, "before", "", "only deliveries made before this time (RFC 3339)")
	c.Flags().IntVar(&r.Rate, "rate", 50, "deliveries a second")
	c.Flags().BoolVar(&dry, "dry-run", false, "count and send nothing")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is over, and show how far it is")
	suggest(c, "state", replayedStates)
	suggest(c, "type", webhook.EventTypes())
	return c
}

// advance is how far a replay is.
type advance struct {
	done, total int
	over        bool
}

// follow waits for the end of a replay, which look asks about, and shows how far it is. command shows it later.
func (sh *shell) follow(ctx context.Context, command string, a advance, look func() (advance, error)) error {
	p := sh.progress("replayed")
	defer func() { p.end(int64(a.done), int64(a.total)) }()
	for !a.over {
		p.at(int64(a.done), int64(a.total))
		select {
		case <-ctx.Done():
			return fmt.Errorf("it goes on without you: %s", command)
		case <-time.After(replayPoll):
		}
		var err error
		if a, err = look(); err != nil {
			return err
		}
	}
	return nil
}

func advanceOf(j admin.Replay) advance { return advance{j.Replayed + j.Skipped, j.Matched, j.Ended()} }

func (sh *shell) replayGet() *cobra.Command {
	return &cobra.Command{
		Use: "get REPLAY", Short: "Show a replay and how far it is", Args: cobra.ExactArgs(1),
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			job, err := a.Replay(ctx, args[0])
			if err != nil {
				return err
			}
			return sh.printReplay(job)
		}),
	}
}

func (sh *shell) replayCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel REPLAY", Short: "End a replay; what it has begun is sent", Args: cobra.ExactArgs(1),
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			job, err := a.CancelReplay(ctx, args[0])
			if err != nil {
				return err
			}
			return sh.printReplay(job)
		}),
	}
}

func (sh *shell) printReplay(j admin.Replay) error {
	return sh.answer(j, func() error {
		return sh.facts("", "replay", j.ID, "endpoint", j.EndpointID, "type", j.EventType, "state", j.State, "after",
			when(j.CreatedAfter), "before", when(&j.CreatedBefore),
			"rate", fmt.Sprint(j.Rate, "/s"), "status", j.Status, "matched", fmt.Sprint(j.Matched), "replayed",
			fmt.Sprint(j.Replayed), "skipped", fmt.Sprint(j.Skipped))
	})
}
