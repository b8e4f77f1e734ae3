package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

// The commands of the incident switch stood at the top before they were part of delivery, and are found there still.
func (sh *shell) oldPauses() []*cobra.Command {
	old := func(c *cobra.Command) *cobra.Command {
		now := "`ctripctl deliveries " + c.Name() + "`"
		if c.Long == "" {
			c.Long = c.Short + "."
		}
		c.Short, c.Long = "Deprecated: use "+now, "Deprecated: use "+now+".\n\n"+c.Long
		return c
	}
	return []*cobra.Command{old(sh.deliveryPause()), old(sh.deliveryResume()), old(sh.deliveryPauses())}
}

func (sh *shell) deliveryPause() *cobra.Command {
	var of admin.Scope
	var reason string
	c := &cobra.Command{
		Use: "pause", Short: "Send no webhooks: to nobody, a merchant or an endpoint", Args: cobra.NoArgs,
		Long: `The incident switch. Workers stop sending within a second; requests that are under way end. What waits is kept, spends no
attempt, and leaves oldest first after ` + "`ctripctl deliveries resume`" + `. Without a flag it holds for everybody.`,
		Example: "  ctripctl deliveries pause --merchant mer_… --reason 'signing secret leaked'",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			p, err := a.PauseDeliveries(ctx, of, reason)
			if err != nil {
				return err
			}
			return sh.printPauses(p)
		}),
	}
	scopeFlags(c, &of)
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log (required)")
	return require(c, "reason")
}

func (sh *shell) deliveryResume() *cobra.Command {
	var of admin.Scope
	c := &cobra.Command{
		Use: "resume", Short: "Send webhooks again that were paused", Args: cobra.NoArgs,
		Long: "Turn the incident switch back, for whom it was turned. What waited leaves oldest first, at a rate that rises.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			p, err := a.ResumeDeliveries(ctx, of)
			if err != nil {
				return err
			}
			return sh.printPauses(p)
		}),
	}
	scopeFlags(c, &of)
	return c
}

func (sh *shell) deliveryPauses() *cobra.Command {
	return &cobra.Command{
		Use: "pauses", Short: "Show to whom no webhooks are sent", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			p, err := a.Pauses(ctx)
			if err != nil {
				return err
			}
			return sh.printPauses(p)
		}),
	}
}

func scopeFlags(c *cobra.Command, of *admin.Scope) {
	c.Flags().StringVar(&of.MerchantID, "merchant", "", "only the endpoints of this merchant")
	c.Flags().StringVar(&of.EndpointID, "endpoint", "", "only this webhook endpoint")
	c.MarkFlagsMutuallyExclusive("merchant", "endpoint")
}

func (sh *shell) printPauses(p admin.Pauses) error {
	return sh.answer(p, func() error {
		var rows [][]string
		if p.All != nil {
			rows = append(rows, []string{"everybody", "", when(&p.All.Since), p.All.Reason})
		}
		for _, m := range p.Merchants {
			rows = append(rows, []string{"merchant", m.ID, when(&m.Since), ""})
		}
		for _, e := range p.Endpoints {
			rows = append(rows, []string{"endpoint", e.ID, "", e.Reason})
		}
		return sh.table("PAUSED ID SINCE REASON", "Nothing is paused.", rows)
	})
}
