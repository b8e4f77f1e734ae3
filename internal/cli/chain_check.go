package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) chainAudit() *cobra.Command {
	var provider string
	var from, to uint64
	c := &cobra.Command{
		Use: "audit NAME", Short: "Hold the record against what one provider says", Args: cobra.ExactArgs(1),
		Long: "Have one provider read recorded blocks by itself, and hold its transfers against the record. It changes " +
			"nothing. It tells\nevery difference, and the exit code is 1 when there is one: another block at a height, a " +
			"transfer that is recorded and\nthat the provider's block does not hold, and one that is not recorded. " +
			"`ctripctl chain rescan` credits what is missing.",
		Example: "  ctripctl chain audit ethereum --provider node.example",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			r, err := a.AuditChain(ctx, args[0], provider, from, to)
			if err != nil {
				return err
			}
			return sh.badNews(len(r.Differences) > 0, sh.answer(r, func() error {
				var rows [][]string
				for _, d := range r.Differences {
					rows = append(rows, []string{d.Kind, fmt.Sprint(d.Block), d.PaymentID, d.TxHash, d.Amount, d.Asset, d.Text})
				}
				if rows != nil {
					if err := sh.table("DIFFERENCE BLOCK PAYMENT TRANSACTION AMOUNT ASSET TEXT", "", rows); err != nil {
						return err
					}
				}
				return sh.facts("", "chain", r.Chain, "provider", r.Provider, "blocks", fmt.Sprintf("%d to %d", r.From, r.To),
					"read", fmt.Sprint(r.Blocks), "transfers", fmt.Sprint(r.Transfers), "cannot tell", fmt.Sprint(r.Unknown),
					"differences", fmt.Sprint(len(r.Differences)), "go on from", optional(r.NextFrom))
			}))
		}),
	}
	c.Flags().StringVar(&provider, "provider", "", "who is asked: a name of `ctripctl chain status`, or a URL")
	c.Flags().Uint64Var(&from, "from", 0, "the first block; without it, the last day is read")
	c.Flags().Uint64Var(&to, "to", 0, "the last block; without it, the last recorded one")
	return require(c, "provider")
}

func (sh *shell) chainReconcile() *cobra.Command {
	return &cobra.Command{
		Use: "reconcile NAME", Short: "Read the balances of open payments now", Args: cobra.ExactArgs(1),
		Long: "Read what the addresses of open payments hold after the last recorded block. Coin that nothing explains is " +
			"credited, or\ndoubted where providers differ. Where more of a token is held than recorded, its logs are searched " +
			"for. What differs then is\ntold, and the exit code is 1: among it are accounts that hold less than is recorded and " +
			"never sent anything.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			r, err := a.Reconcile(ctx, args[0])
			if err != nil {
				return err
			}
			return sh.badNews(len(r.Differences) > 0, sh.answer(r, func() error {
				var rows [][]string
				for _, d := range r.Differences {
					rows = append(rows, []string{d.PaymentID, d.Address, d.Asset, d.Held, d.Recorded, d.Text})
				}
				if rows != nil {
					if err := sh.table("PAYMENT ADDRESS ASSET HELD RECORDED TEXT", "", rows); err != nil {
						return err
					}
				}
				return sh.facts("", "chain", r.Chain, "block", fmt.Sprint(r.Block), "payments", fmt.Sprint(r.Payments),
					"credited", fmt.Sprint(r.Credited), "doubts", fmt.Sprint(r.Doubts), "differences",
					fmt.Sprint(len(r.Differences)))
			}))
		}),
	}
}

// badNews ends a command whose result is printed with exit code 1 when the result is bad.
func (sh *shell) badNews(bad bool, err error) error {
	if err == nil && bad {
		return errSaid
	}
	return err
}

func optional(n *uint64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}
