package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) doubt() *cobra.Command {
	return sh.group("doubt", "Settle what the providers of a chain contradict each other about", sh.doubtList(),
		sh.doubtShow(), sh.doubtSettle(true), sh.doubtSettle(false))
}

func (sh *shell) doubtList() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "list", Short: "Show the transfers that wait for a person, newest first", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			ds, err := a.Doubts(ctx, all)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Doubt]{ds}, func() error {
				var rows [][]string
				for _, d := range ds {
					rows = append(rows, []string{d.ID, d.Status, d.Kind, d.Chain, d.PaymentID, d.Amount, d.Asset,
						fmt.Sprint(d.BlockNumber), when(&d.CreatedAt)})
				}
				return sh.table("DOUBT STATUS KIND CHAIN PAYMENT AMOUNT ASSET BLOCK SINCE", "No transfer is in doubt.", rows)
			})
		}),
	}
	c.Flags().BoolVar(&all, "all", false, "also those that are settled")
	return c
}

func (sh *shell) doubtShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a doubt, and what each provider answered", Args: cobra.ExactArgs(1),
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			d, err := a.Doubt(ctx, args[0])
			if err != nil {
				return err
			}
			return sh.answer(d, func() error { return sh.printDoubt(d) })
		}),
	}
}

func (sh *shell) printDoubt(d admin.Doubt) error {
	facts := []string{"doubt", d.ID, "status", d.Status, "kind", d.Kind, "chain", d.Chain, "payment", d.PaymentID,
		"merchant", d.MerchantID, "amount", d.Amount + " base units of " + d.Asset, "to", d.Recipient,
		"transaction", d.TxHash, "block", fmt.Sprintf("%d %s", d.BlockNumber, d.BlockHash), "since", when(&d.CreatedAt)}
	for _, answer := range d.Answers {
		facts = append(facts, answer.Provider, answer.Text)
	}
	facts = append(facts, "settled", when(d.SettledAt), "by", d.SettledBy, "reason", d.Reason)
	return sh.facts("", facts...)
}

func (sh *shell) doubtSettle(accept bool) *cobra.Command {
	var reason string
	use, short, long := "reject ID", "Say that the transfer did not happen",
		"Say that the transfer did not happen. When it was recorded, it is taken off its payment, and the merchant is sent "+
			"payment.reorged."
	if accept {
		use, short, long = "accept ID", "Say that the transfer happened",
			"Say that the transfer happened. It counts, and is confirmed when its block is final."
	}
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(1),
		Long: long + " Look at the transaction on a third node or an explorer first.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			d, err := a.SettleDoubt(ctx, args[0], accept, reason)
			if err != nil {
				return err
			}
			return sh.answer(d, func() error { return sh.printDoubt(d) })
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return require(c, "reason")
}
