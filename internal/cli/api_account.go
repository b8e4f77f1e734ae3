package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/models"
)

func (sh *shell) apiMerchant() *cobra.Command {
	return sh.group("merchant", "Look after the merchant that the key belongs to", &cobra.Command{
		Use: "get", Short: "Show the merchant, its account key and its limits", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			return api.printMerchant(api.GetMerchant(ctx, api.options...))
		}),
	}, sh.apiMerchantUpdate())
}

func (api *apiClient) printMerchant(m client.Merchant, err error) error {
	return api.print(err, func() error {
		pairs := []string{"merchant", m.ID, "name", m.Name, "support", orEmpty(m.SupportURL), "e-mail",
			orEmpty(m.SupportEmail), "logo", orEmpty(m.LogoURL), "paused", fmt.Sprint(m.Paused), "accepts late",
			fmt.Sprint(m.AcceptLate)}
		if k := m.AccountKey; k != nil {
			pairs = append(pairs, "account key", k.Fingerprint, "branch", fmt.Sprint(k.Branch), "first address",
				k.FirstAddress, "next index", fmt.Sprint(k.NextIndex))
		}
		pairs = append(pairs, "requests", fmt.Sprint(m.Limits.RequestsPerSecond, "/s"), "open payments",
			fmt.Sprint(m.Limits.OpenPayments, " at most"),
			"endpoints", fmt.Sprint(m.Limits.WebhookEndpoints, " at most"), "API keys",
			fmt.Sprint(m.Limits.APIKeys, " at most"))
		return api.sh.facts("", pairs...)
	})
}

func (sh *shell) apiMerchantUpdate() *cobra.Command {
	var name, supportURL, supportEmail, logo string
	var languages []string
	c := &cobra.Command{
		Use: "update", Short: "Change what payers see of the merchant; what no flag names stays as it is", Args: cobra.NoArgs,
		Example: "  ctripctl api merchant update --support-url https://shop.example/help --logo-file logo.png",
	}
	c.RunE = sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
		in := client.MerchantUpdate{Name: given(name)}
		for _, f := range []struct {
			flag, value string
			to          *client.Optional[string]
		}{{"support-url", supportURL, &in.SupportURL}, {"support-email", supportEmail, &in.SupportEmail}} {
			if c.Flags().Changed(f.flag) {
				if *f.to = client.Default[string](); f.value != "" {
					*f.to = client.Set(f.value)
				}
			}
		}
		if c.Flags().Changed("languages") {
			if in.Languages = client.Default[[]client.Language](); len(languages) > 0 {
				all := make([]client.Language, len(languages))
				for i, l := range languages {
					all[i] = client.Language(l)
				}
				in.Languages = client.Set(all)
			}
		}
		if c.Flags().Changed("logo-file") {
			if in.Logo = client.Default[string](); logo != "" {
				image, err := sh.read(logo)
				if err != nil {
					return err
				}
				in.Logo = client.Set(base64.StdEncoding.EncodeToString(image))
			}
		}
		return api.printMerchant(api.UpdateMerchant(ctx, in, api.options...))
	})
	c.Flags().StringVar(&name, "name", "", "what the merchant is called")
	c.Flags().StringVar(&supportURL, "support-url", "", `where payers get help; "" removes it`)
	c.Flags().StringVar(&supportEmail, "support-email", "", `whom payers write to; "" removes it`)
	c.Flags().StringSliceVar(&languages, "languages", nil, `of the checkout page, the first to begin with; "" is all`)
	c.Flags().StringVar(&logo, "logo-file", "", `PNG, JPEG or WebP of at most 64 KiB; "" removes the logo`)
	suggest(c, "languages", models.Languages)
	return c
}

func (sh *shell) apiAsset() *cobra.Command {
	return sh.group("asset", "Show what can be asked for", &cobra.Command{
		Use: "list", Short: "List the assets of every chain that the key may use", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			list, err := api.ListAssets(ctx, api.options...)
			return api.page(err, "CHAIN CHAIN_ID SYMBOL CONTRACT DECIMALS TEST", "There are no assets.", nil,
				func() (rows [][]string) {
					for _, a := range list.Data {
						rows = append(rows, []string{a.Chain, fmt.Sprint(a.ChainID), a.Symbol, orEmpty(a.Contract),
							fmt.Sprint(a.Decimals),
							fmt.Sprint(a.Test)})
					}
					return rows
				})
		}),
	})
}

func (sh *shell) apiKey() *cobra.Command {
	return sh.group("key", "Create, list and revoke API keys", sh.apiKeyCreate(), sh.apiKeyList(), sh.apiKeyRevoke())
}

func (sh *shell) apiKeyCreate() *cobra.Command {
	var in client.APIKeyCreate
	var scopes []string
	var test bool
	var expires duration
	c := &cobra.Command{
		Use: "create", Short: "Create an API key, which is shown once", Args: cobra.NoArgs,
		Long:    "Create an API key, which is shown once. A key grants only scopes that it has itself, for no longer than it lives itself, and a test key makes only test keys.\n\nScopes: " + strings.ReplaceAll(scopeNames(models.Scopes), ",", ", ") + ".",
		Example: "  ctripctl api key create --name reports --scopes payments:read --expires-in 365d",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			for _, s := range scopes {
				in.Scopes = append(in.Scopes, client.Scope(strings.TrimSpace(s)))
			}
			in.Test = given(test)
			if expires > 0 {
				in.ExpiresAt = new(time.Now().Add(time.Duration(expires)).UTC().Truncate(time.Second))
			}
			k, err := api.CreateAPIKey(ctx, in, api.options...)
			return api.print(err, func() error {
				return sh.facts("The key is shown this once. Store it now.", "id", k.ID, "name", k.Name, "scopes", scopesOf(k),
					"expires", stamped(k.ExpiresAt), "key", orEmpty(k.Key))
			})
		}),
	}
	c.Flags().StringVar(&in.Name, "name", "", "what the key is for (required)")
	c.Flags().StringSliceVar(&scopes, "scopes", nil, "what the key may do, comma-separated (required)")
	c.Flags().BoolVar(&test, "test", false, "make a ck_test_ key, which sees and changes only what is of test mode")
	c.Flags().Var(&expires, "expires-in", "how long the key works, such as 90d or 12h (default as long as the key that "+
		"asks)")
	suggest(c, "scopes", models.Scopes)
	return once(require(c, "name", "scopes"))
}

func scopesOf(k client.APIKey) string {
	names := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

func (sh *shell) apiKeyList() *cobra.Command {
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List API keys, newest first, revoked ones included", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			list, err := api.ListAPIKeys(ctx, client.ListAPIKeysParams{Limit: &p.limit, Cursor: given(p.cursor)}, api.options...)
			return api.page(err, "ID NAME PREFIX SCOPES EXPIRES REVOKED LAST_USED CREATED_BY", "There are no API keys.",
				list.NextCursor,
				func() (rows [][]string) {
					for _, k := range list.Data {
						rows = append(rows, []string{k.ID, k.Name, k.Prefix, scopesOf(k), stamped(k.ExpiresAt), stamped(k.RevokedAt),
							stamped(k.LastUsedAt), orEmpty(k.CreatedBy)})
					}
					return rows
				})
		}),
	}
	p.add(c)
	return c
}

func (sh *shell) apiKeyRevoke() *cobra.Command {
	var withChildren bool
	c := &cobra.Command{
		Use: "revoke KEY", Short: "End an API key by its id", Args: cobra.ExactArgs(1),
		Long: "End an API key by its id. A key ends only keys that have no scope beyond its own, and a test key only test " +
			"keys.",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			if withChildren {
				api.options = append(api.options, client.WithChildren())
			}
			return api.print(api.RevokeAPIKey(ctx, args[0], api.options...), func() error {
				return sh.facts("", "revoked", args[0])
			})
		}),
	}
	c.Flags().BoolVar(&withChildren, "with-children", false, "end the keys as well that it made")
	return c
}
