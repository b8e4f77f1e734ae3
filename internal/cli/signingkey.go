package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
)

func (sh *shell) signingKey() *cobra.Command {
	return sh.group("signing-key", "List and rotate the gateway's own Ed25519 keys", sh.signingKeyList(),
		sh.signingKeyRotate())
}

func (sh *shell) signingKeyList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the public keys that receivers may use, newest first", Args: cobra.NoArgs,
		Long: "List the public keys that receivers may use, newest first: what /.well-known/webhook-keys.json says, and\n" +
			"/.well-known/test-webhook-keys.json for test endpoints. The first key is made when an endpoint asks for Ed25519.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			all, err := a.SigningKeys(ctx)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.SigningKey]{all}, func() error {
				var rows [][]string
				for _, k := range all {
					rows = append(rows, []string{k.ID, k.PublicKey, when(&k.ActiveFrom), when(k.ExpiresAt), fmt.Sprint(k.Test)})
				}
				return sh.table("ID PUBLIC_KEY ACTIVE_FROM EXPIRES TEST",
					"There are no signing keys: no endpoint has asked for Ed25519 yet.", rows)
			})
		}),
	}
}

func (sh *shell) signingKeyRotate() *cobra.Command {
	var test bool
	ahead, overlap := duration(endpoints.DefaultPublishAhead), duration(endpoints.DefaultKeyOverlap)
	c := &cobra.Command{
		Use: "rotate", Short: "Publish another Ed25519 key, and sign with it after a while", Args: cobra.NoArgs,
		Long: `Publish another Ed25519 key at /.well-known/webhook-keys.json and sign with it after a while. What signed until then signs on
beside it for an overlap, so that a receiver that reads the keys once a day misses none.

When the old key may have leaked: --publish-ahead 0s --overlap 0s. Workers change over within half a minute, and receivers
refuse v1a signatures until they have read the keys anew; v1 signatures are not concerned.

Needs MASTER_KEYS, the same as the gateway's.`,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			k, err := a.RotateSigningKey(ctx, test, time.Duration(ahead), time.Duration(overlap))
			if err != nil {
				return err
			}
			return sh.answer(k, func() error {
				return sh.facts("", "id", k.ID, "public key", k.PublicKey, "active from", when(&k.ActiveFrom))
			})
		}),
	}
	c.Flags().BoolVar(&test, "test", false, "the key of test endpoints, at /.well-known/test-webhook-keys.json")
	c.Flags().Var(&ahead, "publish-ahead", "how long the key is published before it signs, 0s to 30d")
	c.Flags().Var(&overlap, "overlap", "how long the older keys sign on after that, 0s to 30d")
	return c
}
