package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/models"
)

func (sh *shell) key() *cobra.Command {
	g := sh.group("key", "Create, list and revoke API keys; re-encrypt what the master keys sealed", sh.keyCreate(),
		sh.keyList(), sh.keyRevoke(), sh.keyReencrypt())
	g.Aliases = []string{"keys"}
	return g
}

func scopeNames(scopes []models.Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}

func (sh *shell) keyCreate() *cobra.Command {
	var r admin.KeyRequest
	var scopes []string
	var expires duration
	c := &cobra.Command{
		Use: "create", Short: "Create an API key for a merchant", Args: cobra.NoArgs,
		Long: "Create an API key for a merchant. The key is printed once and kept only as a hash.\n\nScopes: " +
			strings.ReplaceAll(scopeNames(models.Scopes), ",", ", ") + ".",
		Example: "  ctripctl key create --merchant mer_… --name checkout --scopes payments:read,payments:write " +
			"--expires-in 365d",
	}
	c.RunE = sh.do(func(ctx context.Context, _ []string) error {
		if expires == 0 && c.Flags().Changed("expires-in") {
			return misused("--expires-in must be more than 0; without it the key does not expire")
		}
		r.ExpiresIn = time.Duration(expires)
		for _, s := range scopes {
			r.Scopes = append(r.Scopes, models.Scope(strings.TrimSpace(s)))
		}
		return sh.withAdmin(ctx, false, func(a *admin.Admin) error {
			made, err := a.CreateKey(ctx, r)
			if err != nil {
				return err
			}
			return sh.answer(made, func() error {
				return sh.facts("The key is shown this once. Store it now.", "id", made.Key.ID, "merchant", made.Key.MerchantID,
					"name", made.Key.Name,
					"scopes", scopeNames(made.Key.Scopes), "expires", when(made.Key.ExpiresAt), "key", made.Secret)
			})
		})
	})
	c.Flags().StringVar(&r.MerchantID, "merchant", "", "id of the merchant (required)")
	c.Flags().StringVar(&r.Name, "name", "", "what the key is for (required)")
	c.Flags().BoolVar(&r.Test, "test", false, "make a ck_test_ key, which sees and changes only what is of test mode")
	c.Flags().StringSliceVar(&scopes, "scopes", nil, "what the key may do, comma-separated (default all)")
	c.Flags().Var(&expires, "expires-in", "how long the key works, such as 90d or 12h (default for good)")
	suggest(c, "scopes", models.Scopes)
	return require(c, "merchant", "name")
}

func (sh *shell) keyList() *cobra.Command {
	var merchant string
	c := &cobra.Command{
		Use: "list", Short: "List a merchant's API keys, newest first", Args: cobra.NoArgs,
		Long: "List a merchant's API keys, newest first, revoked and expired ones included. The keys themselves are not " +
			"shown again.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			all, err := a.Keys(ctx, merchant)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Key]{all}, func() error {
				var rows [][]string
				for _, k := range all {
					rows = append(rows, []string{k.ID, k.Name, k.Prefix, scopeNames(k.Scopes), when(k.ExpiresAt), when(k.RevokedAt),
						when(k.LastUsedAt), maker(k)})
				}
				return sh.table("ID NAME PREFIX SCOPES EXPIRES REVOKED LAST_USED CREATED_BY", "The merchant has no API keys.", rows)
			})
		}),
	}
	c.Flags().StringVar(&merchant, "merchant", "", "id of the merchant (required)")
	return require(c, "merchant")
}

// maker is the key that made a key, "" for the operator.
func maker(k admin.Key) string {
	if k.CreatedBy == nil {
		return ""
	}
	return *k.CreatedBy
}

func (sh *shell) keyRevoke() *cobra.Command {
	var withChildren bool
	c := &cobra.Command{
		Use: "revoke KEY", Short: "End an API key", Args: cobra.ExactArgs(1),
		Long: "End an API key by its id. It stops working everywhere within seconds. Revoking it again changes nothing. With " +
			"--with-children\nthe keys end as well that it made, and those that they made.",
		Example: "  ctripctl key revoke key_… --with-children",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			k, err := a.RevokeKey(ctx, args[0], withChildren)
			if err != nil {
				return err
			}
			return sh.answer(struct {
				Key admin.Key `json:"key"`
			}{k}, func() error {
				return sh.facts("", "id", k.ID, "merchant", k.MerchantID, "name", k.Name, "revoked", when(k.RevokedAt))
			})
		}),
	}
	c.Flags().BoolVar(&withChildren, "with-children", false, "end the keys as well that it made")
	return c
}

func (sh *shell) keyReencrypt() *cobra.Command {
	return &cobra.Command{
		Use: "reencrypt", Short: "Seal every stored secret under the first of MASTER_KEYS", Args: cobra.NoArgs,
		Long: `Seal every stored secret that lies under an older master key again under the first of MASTER_KEYS: signing secrets, custom
headers, client keys and kept answers. Beside live processes, and as often as you like: it goes on where it was.

To rotate: put the new key in front of the old ones and restart every process; run this; when it says that nothing is left,
remove the old keys and restart again. Exits with 1 while a value is left that no key opens.`,
		Example: "  ctripctl keys reencrypt",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			p := sh.progress("re-encrypted")
			r, err := a.Reencrypt(ctx, func(r admin.Reencryption) { p.at(r.Checked, r.Total) })
			p.end(r.Checked, r.Total)
			if err != nil {
				return err
			}
			err = sh.answer(r, func() error {
				note := "Nothing lies under another key."
				if len(r.Unreadable) > 0 {
					note = "Some values were not readable; they are as they were."
				}
				return sh.facts(note, "key", r.Key, "values", fmt.Sprint(r.Checked), "re-encrypted", fmt.Sprint(r.Reencrypted),
					"unreadable", fmt.Sprint(len(r.Unreadable)))
			})
			return errors.Join(err, r.Err())
		}),
	}
}
