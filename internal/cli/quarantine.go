package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) quarantine() *cobra.Command {
	return sh.group("quarantine", "See and retry payments that could not be processed",
		sh.quarantineCommand("list", "Show the payments that are set aside", (*admin.Admin).Quarantine),
		sh.quarantineCommand("retry", "Process them again now, and show those that still fail",
			(*admin.Admin).RetryQuarantine))
}

func (sh *shell) quarantineCommand(
	use, short string, read func(*admin.Admin, context.Context) ([]admin.Quarantined, error),
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			ps, err := read(a, ctx)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Quarantined]{ps}, func() error {
				var rows [][]string
				for _, p := range ps {
					rows = append(rows, []string{p.PaymentID, p.MerchantID, p.Chain, p.Status, when(p.Since), p.Reason})
				}
				return sh.table("PAYMENT MERCHANT CHAIN STATUS SINCE REASON", "No payment is set aside.", rows)
			})
		}),
	}
}
