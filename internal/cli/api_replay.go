package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// replayedStates are the states of deliveries that can be sent again.
var replayedStates = []string{"delivered", "dead", "canceled"}

func (sh *shell) apiEndpointReplay() *cobra.Command {
	var kind, state string
	var when span
	var rate int
	var dry, wait bool
	c := &cobra.Command{
		Use: "replay ENDPOINT", Short: "Send again to an endpoint what matches", Args: cobra.ExactArgs(1),
		Long: `Make a job that sends events to an endpoint again, the same bytes under the same webhook-id. It looks at the newest delivery
of each event, and leaves out what is going to be sent anyway.`,
		Example: "  ctripctl api endpoint replay we_… --state dead --dry-run\n  ctripctl api endpoint replay we_… --state " +
			"dead --rate 20 --wait",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			job, err := api.ReplayWebhookEndpoint(ctx, args[0], client.ReplayCreate{
				EventType: given(webhook.EventType(kind)), State: given(state), CreatedAfter: when.after.orNil(),
				CreatedBefore: when.before.orNil(), Rate: &rate, DryRun: given(dry),
			}, api.options...)
			if err == nil && wait && job.ID != nil {
				job, err = api.follow(ctx, job)
			}
			return api.printReplay(job, err)
		}),
	}
	c.Flags().StringVar(&kind, "type", "", "only events of this type")
	c.Flags().StringVar(&state, "state", "", "only delivered, dead or canceled ones")
	when.add(c)
	c.Flags().IntVar(&rate, "rate", 50, "deliveries a second")
	c.Flags().BoolVar(&dry, "dry-run", false, "count and send nothing")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is over, and show how far it is")
	suggest(c, "type", webhook.EventTypes())
	suggest(c, "state", replayedStates)
	return once(c)
}

// follow waits for the end of a job.
func (api *apiClient) follow(ctx context.Context, job client.Replay) (client.Replay, error) {
	of := func(j client.Replay) advance {
		return advance{j.Replayed + j.Skipped, j.Matched, j.Status != "running"}
	}
	err := api.sh.follow(ctx, "ctripctl api replay get "+*job.ID, of(job), func() (advance, error) {
		now, err := api.GetReplay(ctx, *job.ID, client.Into(&api.answer))
		if err == nil {
			job = now
		}
		return of(job), err
	})
	return job, err
}

func (api *apiClient) printReplay(j client.Replay, err error) error {
	return api.print(err, func() error {
		return api.sh.facts("", "replay", orEmpty(j.ID), "endpoint", j.EndpointID, "type", orEmpty(j.EventType), "state",
			orEmpty(j.State),
			"after", stamped(j.CreatedAfter), "before", stamped(&j.CreatedBefore), "rate", fmt.Sprint(j.Rate, "/s"), "status",
			j.Status,
			"matched", fmt.Sprint(j.Matched), "replayed", fmt.Sprint(j.Replayed), "skipped", fmt.Sprint(j.Skipped))
	})
}

func (sh *shell) apiReplay() *cobra.Command {
	return sh.group("replay", "Look at and cancel replays; `endpoint replay` begins one", sh.apiReplayGet(),
		sh.apiReplayCancel())
}

func (sh *shell) apiReplayGet() *cobra.Command {
	var wait bool
	c := &cobra.Command{
		Use: "get REPLAY", Short: "Show a replay and how far it is", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			job, err := api.GetReplay(ctx, args[0], api.options...)
			if err == nil && wait && job.ID != nil {
				job, err = api.follow(ctx, job)
			}
			return api.printReplay(job, err)
		}),
	}
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is over, and show how far it is")
	return c
}

func (sh *shell) apiReplayCancel() *cobra.Command {
	return once(&cobra.Command{
		Use: "cancel REPLAY", Short: "End a replay; what it has begun is sent", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printReplay(api.CancelReplay(ctx, args[0], api.options...))
		}),
	})
}
