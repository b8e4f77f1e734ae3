package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) chain() *cobra.Command {
	return sh.group("chain", "See how far the chains are, and let a halted one go on", sh.chainList(), sh.chainAccept())
}

func (sh *shell) chainList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show how far each chain has been recorded", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			chains, err := a.Chains(ctx)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Chain]{chains}, func() error {
				var rows [][]string
				for _, c := range chains {
					rows = append(rows, []string{c.Chain, fmt.Sprint(c.ChainID), fmt.Sprint(c.Number), fmt.Sprint(c.HeadNumber),
						fmt.Sprint(c.FinalNumber), when(c.HaltedAt), c.HaltReason})
				}
				return sh.table("CHAIN ID BLOCK HEAD FINAL HALTED REASON", "No chain has been scanned yet.", rows)
			})
		}),
	}
}

func (sh *shell) chainAccept() *cobra.Command {
	return &cobra.Command{
		Use: "accept NAME", Short: "Let a chain go on that broke its own finality", Args: cobra.ExactArgs(1),
		Long: "Let a halted chain go on. Its scanner then walks back below what was final: payments that were confirmed " +
			"can go back, and\n" +
			"their merchants are sent payment.reorged. Look at the chain first (`ctripctl chain list` shows why it halted).",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			if err := a.AcceptReorg(ctx, args[0]); err != nil {
				return err
			}
			return sh.answer(map[string]string{"accepted": args[0]}, func() error {
				return sh.facts("", "accepted", args[0])
			})
		}),
	}
}
