package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
)

func (sh *shell) endpoint() *cobra.Command {
	g := sh.group("endpoint", "Create and check webhook endpoints, rotate their secrets", sh.endpointCreate(),
		sh.endpointList(), sh.endpointMode(), sh.endpointRotate(), sh.endpointCheck())
	g.Aliases = []string{"endpoints"}
	return g
}

const secretFileUsage = "file with a secret of your own, at least 24 bytes, - for standard input (default a new one)"

// brought reads a secret of the operator's own, if a file was named.
func (sh *shell) brought(path string) (*string, error) {
	if path == "" {
		return nil, nil
	}
	s, err := sh.readLine(path)
	return &s, err
}

func (sh *shell) printEndpoint(e admin.EndpointCreated, note string) error {
	return sh.answer(e, func() error {
		return sh.facts(note, "endpoint", e.Endpoint.ID, "merchant", e.Endpoint.MerchantID, "url", e.Endpoint.URL,
			"mode", string(e.Endpoint.Mode),
			"events", strings.Join(e.Endpoint.Events, ","), "secret", e.Secret)
	})
}

func (sh *shell) endpointCreate() *cobra.Command {
	var r admin.EndpointRequest
	var file string
	c := &cobra.Command{
		Use: "create", Short: "Create a webhook endpoint for a merchant", Args: cobra.NoArgs,
		Long: `Create a webhook endpoint for a merchant, by the rules that the API applies. Its secret is printed once and kept encrypted.

Needs MASTER_KEYS, the same as the gateway's.`,
		Example: "  ctripctl endpoint create --merchant mer_… --url https://shop.example/hooks --events 'payment.*'",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) (err error) {
			if r.Secret, err = sh.brought(file); err != nil {
				return err
			}
			made, err := a.CreateEndpoint(ctx, r)
			if err != nil {
				return err
			}
			return sh.printEndpoint(made, "The secret is shown this once. Give it to the receiver now.")
		}),
	}
	c.Flags().StringVar(&r.MerchantID, "merchant", "", "id of the merchant (required)")
	c.Flags().StringVar(&r.URL, "url", "", "where events are sent (required)")
	c.Flags().StringSliceVar(&r.Events, "events", nil, "event types, payment.* or *, comma-separated (default *)")
	c.Flags().StringVar(&r.Description, "description", "", "what the endpoint is for")
	c.Flags().StringVar((*string)(&r.Mode), "mode", "", "which events it gets: live, test or both (default live)")
	c.Flags().StringVar(&file, "secret-file", "", secretFileUsage)
	suggest(c, "events", eventPatterns())
	suggest(c, "mode", models.Modes)
	return require(c, "merchant", "url")
}

func (sh *shell) endpointList() *cobra.Command {
	var merchant string
	c := &cobra.Command{
		Use: "list", Short: "List a merchant's webhook endpoints, newest first", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			all, err := a.Endpoints(ctx, merchant)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Endpoint]{all}, func() error {
				var rows [][]string
				for _, e := range all {
					rows = append(rows, []string{e.ID, e.URL, strings.Join(e.Events, ","), string(e.Status), e.DisabledReason,
						when(e.LastSuccessAt), string(e.Mode)})
				}
				return sh.table("ID URL EVENTS STATUS REASON LAST_SUCCESS MODE", "The merchant has no webhook endpoints.", rows)
			})
		}),
	}
	c.Flags().StringVar(&merchant, "merchant", "", "id of the merchant (required)")
	return require(c, "merchant")
}

func (sh *shell) endpointMode() *cobra.Command {
	return &cobra.Command{
		Use: "set-mode ENDPOINT live|test|both", Short: "Say which events a webhook endpoint gets", Args: cobra.ExactArgs(2),
		Long: `Say whether a webhook endpoint gets the events of live chains, of test chains, or both. Test keys see test endpoints alone.

An endpoint that gets both can be narrowed, a live one widened. A test endpoint stays one: test keys know its secret. What
waits for it and is of the other mode is canceled.

Needs MASTER_KEYS, the same as the gateway's.`,
		Example: "  ctripctl endpoint set-mode we_… live",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			e, err := a.SetEndpointMode(ctx, args[0], models.Mode(args[1]))
			if err != nil {
				return err
			}
			return sh.answer(struct {
				Endpoint admin.Endpoint `json:"endpoint"`
			}{e}, func() error {
				return sh.facts("", "endpoint", e.ID, "merchant", e.MerchantID, "url", e.URL, "mode", string(e.Mode))
			})
		}),
	}
}

func (sh *shell) endpointRotate() *cobra.Command {
	var overlap, activateIn duration
	var file string
	c := &cobra.Command{
		Use: "rotate-secret ENDPOINT", Short: "Give a webhook endpoint another secret", Args: cobra.ExactArgs(1),
		Long: `Give a webhook endpoint another secret, from the next attempt on. The old one signs beside it until the overlap ends, so
that the receiver can be changed meanwhile. With --activate-in the old one stays current that long and the new one signs second.

Needs MASTER_KEYS, the same as the gateway's.`,
	}
	c.RunE = sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) (err error) {
		r := admin.Rotation{ActivateIn: time.Duration(activateIn)}
		if c.Flags().Changed("overlap") {
			r.Overlap = (*time.Duration)(&overlap)
		}
		if r.Secret, err = sh.brought(file); err != nil {
			return err
		}
		made, err := a.RotateSecret(ctx, args[0], r)
		if err != nil {
			return err
		}
		return sh.printEndpoint(made, "The secret is shown this once. Give it to the receiver before the overlap ends.")
	})
	c.Flags().Var(&overlap, "overlap", "how long the old secret signs on, 0s to 7d (default WEBHOOK_SECRET_OVERLAP)")
	c.Flags().Var(&activateIn, "activate-in", "when the new secret becomes current, up to 7d (default at once)")
	c.Flags().StringVar(&file, "secret-file", "", secretFileUsage)
	return c
}

func (sh *shell) endpointCheck() *cobra.Command {
	var merchant string
	c := &cobra.Command{
		Use: "check [ENDPOINT]", Short: "Connect to endpoints as a worker would, and check TLS and port 80",
		Args: cobra.MaximumNArgs(1),
		Long: `Connect to the host of an endpoint, of all of a merchant's, or of everybody's, as a worker would: with its authorities, pins and
client certificate, and never to an address that is denied. No event is sent. Found at fault are TLS that does not work, a
certificate that ends within 14 days, and a port 80 that answers without TLS other than by pointing to https. Exits with 1
when something is.

Needs MASTER_KEYS, the same as the gateway's.`,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			of := admin.Scope{MerchantID: merchant}
			if len(args) > 0 {
				if merchant != "" {
					return misused("give an endpoint or --merchant, not both")
				}
				of.EndpointID = args[0]
			}
			found, err := a.CheckEndpoints(ctx, of)
			if err != nil {
				return err
			}
			err = sh.answer(found, func() error {
				var rows [][]string
				for _, e := range found.Data {
					verdict := "ok"
					if len(e.Problems) > 0 {
						verdict = strings.Join(e.Problems, "; ")
					}
					rows = append(rows, []string{e.ID, e.URL, e.TLS, when(e.NotAfter), string(e.Port80), verdict})
				}
				return sh.table("ID URL TLS ENDS PORT_80 VERDICT", "There are no webhook endpoints.", rows)
			})
			if err == nil && !found.OK() {
				err = errSaid
			}
			return err
		}),
	}
	c.Flags().StringVar(&merchant, "merchant", "", "all endpoints of this merchant")
	return c
}
