package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
)

const linkNote = "The link is shown this once, and opens the portal once. Give it to one person only."

func (sh *shell) portalLink() *cobra.Command {
	var r admin.PortalLinkRequest
	var scopes []string
	var expires duration
	c := &cobra.Command{
		Use: "portal-link", Short: "Make a link that opens a merchant's portal once", Args: cobra.NoArgs,
		Long: "Make a link that opens a merchant's portal once, without an API key. The session may do what the scopes of " +
			"the " +
			"link say, and ends after eight hours.\n\nScopes: " +
			strings.ReplaceAll(scopeNames(models.Scopes), ",", ", ") + "; a link makes no keys, so keys:write is refused.",
		Example: "  ctripctl portal-link --merchant mer_… --scopes payments:read --expires-in 10m",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			r.ExpiresIn = time.Duration(expires)
			for _, s := range scopes {
				r.Scopes = append(r.Scopes, models.Scope(strings.TrimSpace(s)))
			}
			l, err := a.CreatePortalLink(ctx, r)
			if err != nil {
				return err
			}
			return sh.answer(l, func() error {
				return sh.facts(linkNote, "id", l.ID, "merchant", l.MerchantID, "scopes", scopeNames(l.Scopes), "expires",
					when(&l.ExpiresAt), "link", l.URL)
			})
		}),
	}
	c.Flags().StringVar(&r.MerchantID, "merchant", "", "id of the merchant (required)")
	c.Flags().StringSliceVar(&scopes, "scopes", nil,
		"what the session may do, comma-separated (default payments:read,webhooks:read)")
	c.Flags().BoolVar(&r.Test, "test", false, "show what is of test mode alone")
	c.Flags().Var(&expires, "expires-in", "how long the link waits to be opened, 10s to 1h (default 5m)")
	suggest(c, "scopes", models.Scopes)
	return require(c, "merchant")
}

func (sh *shell) apiPortalLink() *cobra.Command {
	var in client.PortalLinkCreate
	var scopes []string
	var expires duration
	var test bool
	c := &cobra.Command{
		Use: "portal-link", Short: "Make a link that opens the portal once", Args: cobra.NoArgs,
		Example: "  ctripctl api portal-link --scopes payments:read --expires-in 10m",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			for _, s := range scopes {
				in.Scopes = append(in.Scopes, client.Scope(strings.TrimSpace(s)))
			}
			in.ExpiresIn, in.Test = expires.seconds(), given(test)
			l, err := api.CreatePortalLink(ctx, in, api.options...)
			return api.print(err, func() error {
				return sh.facts(linkNote, "id", l.ID, "expires", stamped(&l.ExpiresAt), "link", orEmpty(l.URL))
			})
		}),
	}
	c.Flags().StringSliceVar(&scopes, "scopes", nil, "what the session may do, comma-separated (required)")
	c.Flags().BoolVar(&test, "test", false, "show what is of test mode alone")
	c.Flags().Var(&expires, "expires-in", "how long the link waits to be opened, 10s to 1h (default 5m)")
	suggest(c, "scopes", models.Scopes)
	return once(require(c, "scopes"))
}
