package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func (sh *shell) apiEndpoint() *cobra.Command {
	return sh.group("endpoint", "Look after webhook endpoints",
		sh.apiEndpointCreate(), sh.apiEndpointList(), sh.apiEndpointGet(), sh.apiEndpointUpdate(), sh.apiEndpointEnable(),
		sh.apiEndpointDisable(),
		sh.apiEndpointDelete(), sh.apiEndpointRotate(), sh.apiEndpointTest(), sh.apiEndpointStats(), sh.apiEndpointReplay())
}

func (api *apiClient) printEndpoint(note string) func(client.WebhookEndpoint, error) error {
	return func(e client.WebhookEndpoint, err error) error {
		return api.print(err, func() error {
			pairs := []string{"endpoint", e.ID, "url", e.URL, "description", e.Description, "mode",
				string(e.Mode), "events",
				strings.Join(e.Events, ","),
				"status", string(e.Status), "reason", orEmpty(e.DisabledReason), "breaker", e.Breaker.State, "last success",
				stamped(e.LastSuccessAt), "secret", orEmpty(e.Secret)}
			for _, s := range e.Secrets {
				pairs = append(pairs, s.Role+" secret", "made "+stamped(&s.CreatedAt)+until(s.ExpiresAt))
			}
			for name := range e.Headers {
				pairs = append(pairs, "header", name)
			}
			for _, s := range []struct {
				name  string
				value *int
				unit  string
			}{
				{"timeout", e.Timeout, "s"}, {"max attempts", e.MaxAttempts, ""}, {"retry base", e.RetryBase, "s"},
				{"retry max", e.RetryMax, "s"},
				{"max in flight", e.MaxInFlight, ""}, {"rate limit", e.RateLimit, "/s"}, {"batch", e.BatchMaxEvents, " events"},
			} {
				if s.value != nil {
					pairs = append(pairs, s.name, number(s.value)+s.unit)
				}
			}
			pairs = append(pairs, "pins", strings.Join(e.SPKIPins, ","), "etag", api.answer.ETag())
			return api.sh.facts(note, pairs...)
		})
	}
}

func until(t *webhook.Time) string {
	if t == nil {
		return ""
	}
	return ", until " + stamped(t)
}

func (sh *shell) apiEndpointCreate() *cobra.Command {
	var settings endpointSettings
	var file string
	c := &cobra.Command{
		Use: "create", Short: "Create a webhook endpoint; its secret is shown once", Args: cobra.NoArgs,
		Example: "  ctripctl api endpoint create --url https://shop.example/hooks --events 'payment.*'",
	}
	c.RunE = sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
		in, err := settings.creation(sh, c)
		if err != nil {
			return err
		}
		if in.Secret, err = sh.brought(file); err != nil {
			return err
		}
		return api.printEndpoint("The secret is shown this once. Give it to the receiver now.")(api.CreateWebhookEndpoint(ctx,
			in, api.options...))
	})
	settings.add(c)
	c.Flags().StringVar(&file, "secret-file", "", secretFileUsage)
	return once(require(c, "url"))
}

func (sh *shell) apiEndpointList() *cobra.Command {
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List webhook endpoints, newest first", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			list, err := api.ListWebhookEndpoints(ctx,
				client.ListWebhookEndpointsParams{Limit: &p.limit, Cursor: given(p.cursor)}, api.options...)
			return api.page(err, "ID URL EVENTS STATUS BREAKER LAST_SUCCESS MODE", "There are no webhook endpoints.",
				list.NextCursor,
				func() (rows [][]string) {
					for _, e := range list.Data {
						rows = append(rows, []string{e.ID, e.URL, strings.Join(e.Events, ","), string(e.Status), e.Breaker.State,
							stamped(e.LastSuccessAt), string(e.Mode)})
					}
					return rows
				})
		}),
	}
	p.add(c)
	return c
}

func (sh *shell) apiEndpointGet() *cobra.Command {
	return &cobra.Command{
		Use: "get ENDPOINT", Short: "Show a webhook endpoint", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printEndpoint("")(api.GetWebhookEndpoint(ctx, args[0], api.options...))
		}),
	}
}

func (sh *shell) apiEndpointUpdate() *cobra.Command {
	var settings endpointSettings
	c := &cobra.Command{
		Use: "update ENDPOINT", Short: "Change a webhook endpoint; what no flag names stays as it is",
		Args: cobra.ExactArgs(1), Example: "  ctripctl api endpoint update we_… --timeout 5s --max-attempts default",
		Long: `Change a webhook endpoint; what no flag names stays as it is. When --url goes to another host, custom headers and the client
certificate have to be given again, or removed with --headers-file /dev/null and --no-client-cert.`,
	}
	c.RunE = sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
		in, err := settings.change(sh, c)
		if err != nil {
			return err
		}
		return api.printEndpoint("")(api.UpdateWebhookEndpoint(ctx, args[0], in, api.options...))
	})
	settings.add(c)
	c.Flags().BoolVar(&settings.noCert, "no-client-cert", false, "present no certificate any more")
	c.MarkFlagsMutuallyExclusive("no-client-cert", "client-cert-file")
	return ifMatch(c)
}

func (sh *shell) apiEndpointEnable() *cobra.Command {
	return once(&cobra.Command{
		Use: "enable ENDPOINT", Short: "Enable a webhook endpoint; what was held is sent", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printEndpoint("")(api.EnableWebhookEndpoint(ctx, args[0], api.options...))
		}),
	})
}

func (sh *shell) apiEndpointDisable() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "disable ENDPOINT", Short: "Disable a webhook endpoint; its deliveries are held", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printEndpoint("")(api.DisableWebhookEndpoint(ctx, args[0],
				client.WebhookEndpointDisable{Reason: given(reason)}, api.options...))
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "shown with the endpoint")
	return once(c)
}

func (sh *shell) apiEndpointDelete() *cobra.Command {
	return ifMatch(&cobra.Command{
		Use: "delete ENDPOINT", Short: "Delete a webhook endpoint; what waits for it is canceled", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.print(api.DeleteWebhookEndpoint(ctx, args[0], api.options...), func() error {
				return sh.facts("", "deleted", args[0])
			})
		}),
	})
}

func (sh *shell) apiEndpointRotate() *cobra.Command {
	var overlap, activateIn duration
	var file string
	c := &cobra.Command{
		Use: "rotate-secret ENDPOINT", Short: "Give a webhook endpoint another secret, which is shown once",
		Args: cobra.ExactArgs(1),
		Long: `Give a webhook endpoint another secret, from the next attempt on. The old one signs beside it until the overlap ends, so
that the receiver can be changed meanwhile. With --activate-in the old one stays current that long and the new one signs second.`,
	}
	c.RunE = sh.atAPI(func(ctx context.Context, api *apiClient, args []string) (err error) {
		in := client.SecretRotation{ActivateIn: activateIn.seconds()}
		if c.Flags().Changed("overlap") {
			in.OverlapSeconds = new(int(time.Duration(overlap) / time.Second))
		}
		if in.Secret, err = sh.brought(file); err != nil {
			return err
		}
		return api.printEndpoint(
			"The secret is shown this once. Give it to the receiver before the overlap ends.")(api.RotateWebhookSecret(ctx,
			args[0], in, api.options...))
	})
	c.Flags().Var(&overlap, "overlap", "how long the old secret signs on, 0s to 7d (default the gateway's)")
	c.Flags().Var(&activateIn, "activate-in", "when the new secret becomes current, up to 7d (default at once)")
	c.Flags().StringVar(&file, "secret-file", "", secretFileUsage)
	return once(c)
}

func (sh *shell) apiEndpointTest() *cobra.Command {
	var kind, signWith string
	c := &cobra.Command{
		Use: "test ENDPOINT", Short: "Send a signed event with sample data, and show what the endpoint said",
		Args: cobra.ExactArgs(1),
		Long: "Send a signed event with sample data, and show what the endpoint said. Exits with 1 when it was not delivered.",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			d, err := api.TestWebhookEndpoint(ctx, args[0],
				client.WebhookEndpointTest{EventType: given(webhook.EventType(kind)), SignWith: given(signWith)}, api.options...)
			if err := api.printAttempts(d, err); err != nil {
				return err
			}
			if d.State != client.DeliveryStateDelivered {
				return errSaid
			}
			return nil
		}),
	}
	c.Flags().StringVar(&kind, "type", "", "event type (default webhook.test)")
	c.Flags().StringVar(&signWith, "sign-with", "",
		"sign with this secret alone: current, next or previous (default all that live)")
	suggest(c, "type", webhook.EventTypes())
	suggest(c, "sign-with", []string{"current", "next", "previous"})
	return once(c)
}

func (sh *shell) apiEndpointStats() *cobra.Command {
	return &cobra.Command{
		Use: "stats ENDPOINT", Short: "Show how a webhook endpoint has done in the last 24 hours", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			s, err := api.GetWebhookEndpointStats(ctx, args[0], api.options...)
			return api.print(err, func() error {
				ms := func(f *float64) string {
					if f == nil {
						return ""
					}
					return fmt.Sprintf("%.1f ms", *f)
				}
				rate := ""
				if s.SuccessRate != nil {
					rate = fmt.Sprintf("%.2f %%", *s.SuccessRate*100)
				}
				return sh.facts("", "endpoint", s.EndpointID, "since", stamped(&s.Since), "attempts", fmt.Sprint(s.Attempts),
					"succeeded", fmt.Sprint(s.Succeeded),
					"success rate", rate, "auth rejected", fmt.Sprint(s.AuthRejected), "p50", ms(s.P50Ms), "p95", ms(s.P95Ms),
					"breaker", s.Breaker.State+until(s.Breaker.OpenUntil),
					"pending", fmt.Sprint(s.Pending), "held", fmt.Sprint(s.Held), "dead", fmt.Sprint(s.Dead), "oldest pending",
					stamped(s.OldestPendingAt))
			})
		}),
	}
}
