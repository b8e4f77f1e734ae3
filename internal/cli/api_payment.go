package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/models"
)

func (sh *shell) apiPayment() *cobra.Command {
	return sh.group("payment", "Create, look at, cancel and export payments",
		sh.apiPaymentCreate(), sh.apiPaymentGet(), sh.apiPaymentList(), sh.apiPaymentSetMetadata(),
		sh.apiPaymentCancel(), sh.apiPaymentExport())
}

func (api *apiClient) printPayment(p client.Payment, err error) error {
	return api.print(err, func() error {
		var flags, metadata []string
		for name, set := range map[string]bool{"partial": p.Partial, "overpaid": p.Overpaid, "late": p.Late} {
			if set {
				flags = append(flags, name)
			}
		}
		slices.Sort(flags)
		for _, k := range slices.Sorted(maps.Keys(p.Metadata)) {
			metadata = append(metadata, k+"="+p.Metadata[k])
		}
		err := api.sh.facts("", "payment", p.ID, "order", orEmpty(p.OrderID), "status",
			strings.Join(append([]string{p.Status}, flags...), ", "),
			"amount", p.AmountDecimal+" "+p.Asset.Symbol+" ("+p.Amount+")", "received", p.AmountReceived, "confirmed",
			p.AmountConfirmed,
			"chain", fmt.Sprintf("%s (%d)", p.Chain, p.ChainID), "address", p.Address, "path", p.DerivationPath,
			"confirmations", fmt.Sprintf("%d of %d", p.Confirmations, p.RequiredConfirmations), "created", stamped(&p.CreatedAt),
			"expires", stamped(&p.ExpiresAt),
			"confirmed at", stamped(p.ConfirmedAt), "checkout", orEmpty(p.CheckoutURL), "metadata", strings.Join(metadata, " "))
		if err != nil || len(p.Transfers) == 0 {
			return err
		}
		var rows [][]string
		for _, t := range p.Transfers {
			rows = append(rows, []string{orEmpty(t.TxHash), t.Amount, fmt.Sprint(t.BlockNumber), t.Status,
				fmt.Sprint(t.Confirmations)})
		}
		if _, err := fmt.Fprintln(api.sh.out); err != nil {
			return err
		}
		return api.sh.table("TX AMOUNT BLOCK STATUS CONFIRMATIONS", "", rows)
	})
}

func (sh *shell) apiPaymentCreate() *cobra.Command {
	var in client.PaymentCreate
	var amount, decimal, order, redirect string
	var metadata map[string]string
	var expires duration
	var tolerance int
	c := &cobra.Command{
		Use: "create", Short: "Create a payment and get its address", Args: cobra.NoArgs,
		Example: "  ctripctl api payment create --chain ethereum --asset USDC --amount-decimal 12.50 --order-id A-17",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			in.Amount, in.AmountDecimal, in.OrderID, in.RedirectURL = given(amount), given(decimal), given(order),
				given(redirect)
			in.ExpiresIn, in.ToleranceBPS = expires.seconds(), given(tolerance)
			if len(metadata) > 0 {
				in.Metadata = &metadata
			}
			return api.printPayment(api.CreatePayment(ctx, in, api.options...))
		}),
	}
	c.Flags().StringVar(&in.Chain, "chain", "", "name of the chain (required)")
	c.Flags().StringVar(&in.Asset, "asset", "", "symbol, contract, or native for the chain's own coin (required)")
	c.Flags().StringVar(&amount, "amount", "", "how much, in base units")
	c.Flags().StringVar(&decimal, "amount-decimal", "", "how much, in whole units such as 12.50")
	c.Flags().StringVar(&order, "order-id", "", "your own reference")
	c.Flags().StringToStringVar(&metadata, "metadata", nil, "what you want back: name=value, comma-separated")
	c.Flags().Var(&expires, "expires-in", "how long it may be paid, 60s to 7d (default the gateway's)")
	c.Flags().StringVar(&redirect, "redirect-url", "", "where the checkout page leads the payer afterwards")
	c.Flags().IntVar(&tolerance, "tolerance-bps", 0, "how much less settles it, in hundredths of a percent")
	c.MarkFlagsOneRequired("amount", "amount-decimal")
	c.MarkFlagsMutuallyExclusive("amount", "amount-decimal")
	return once(require(c, "chain", "asset"))
}

func (sh *shell) apiPaymentGet() *cobra.Command {
	return &cobra.Command{
		Use: "get PAYMENT", Short: "Show a payment and its transfers", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printPayment(api.GetPayment(ctx, args[0], api.options...))
		}),
	}
}

func (sh *shell) apiPaymentSetMetadata() *cobra.Command {
	return &cobra.Command{
		Use: "set-metadata PAYMENT [NAME=VALUE]...", Short: "Replace the metadata of a payment", Args: cobra.MinimumNArgs(1),
		Long:    "Replace the metadata of a payment; without any, it has none. No event tells of it, later ones show it.",
		Example: "  ctripctl api payment set-metadata pay_… cart=9 invoice=2026-117",
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			in := client.PaymentUpdate{Metadata: map[string]string{}}
			for _, pair := range args[1:] {
				name, value, ok := strings.Cut(pair, "=")
				if !ok {
					return misused("%q is not NAME=VALUE", pair)
				}
				in.Metadata[name] = value
			}
			return api.printPayment(api.UpdatePayment(ctx, args[0], in, api.options...))
		}),
	}
}

func (sh *shell) apiPaymentCancel() *cobra.Command {
	return once(&cobra.Command{
		Use: "cancel PAYMENT", Short: "Cancel a payment while nothing was received", Args: cobra.ExactArgs(1),
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, args []string) error {
			return api.printPayment(api.CancelPayment(ctx, args[0], api.options...))
		}),
	})
}

// paymentFilter are the flags that choose payments.
type paymentFilter struct {
	status, chain, order string
	span
}

func (f *paymentFilter) add(c *cobra.Command) {
	c.Flags().StringVar(&f.status, "status", "", "only payments with this status")
	c.Flags().StringVar(&f.chain, "chain", "", "only payments on this chain")
	c.Flags().StringVar(&f.order, "order-id", "", "only payments of this order")
	f.span.add(c)
	suggest(c, "status", models.PaymentStatuses)
}

func (f *paymentFilter) params() client.ListPaymentsParams {
	return client.ListPaymentsParams{
		Status: given(client.PaymentStatus(f.status)), Chain: given(f.chain), OrderID: given(f.order),
		CreatedAfter: f.after.orNil(), CreatedBefore: f.before.orNil(),
	}
}

func (sh *shell) apiPaymentList() *cobra.Command {
	var f paymentFilter
	var p paging
	c := &cobra.Command{
		Use: "list", Short: "List payments, newest first", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			params := f.params()
			params.Limit, params.Cursor = &p.limit, given(p.cursor)
			list, err := api.ListPayments(ctx, params, api.options...)
			return api.page(err, "ID ORDER STATUS AMOUNT ASSET CHAIN CREATED", "There are no such payments.", list.NextCursor,
				func() (rows [][]string) {
					for _, p := range list.Data {
						rows = append(rows, []string{p.ID, orEmpty(p.OrderID), p.Status, p.AmountDecimal, p.Asset.Symbol, p.Chain,
							stamped(&p.CreatedAt)})
					}
					return rows
				})
		}),
	}
	f.add(c)
	p.add(c)
	return c
}

func (sh *shell) apiPaymentExport() *cobra.Command {
	var f paymentFilter
	var file string
	c := &cobra.Command{
		Use: "export", Short: "Print all payments that match as CSV", Args: cobra.NoArgs,
		RunE: sh.atAPI(func(ctx context.Context, api *apiClient, _ []string) error {
			return api.export(file,
				func() (io.ReadCloser, error) { return api.ExportPayments(ctx, f.params(), api.options...) },
				func(yield func(any) error) error { return each(api.Payments(ctx, f.params()), yield) })
		}),
	}
	f.add(c)
	c.Flags().StringVar(&file, "out", "", outUsage)
	return c
}
