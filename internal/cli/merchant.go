package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) merchant() *cobra.Command {
	return sh.group("merchant", "Create and change merchants", sh.merchantCreate(), sh.merchantList(),
		sh.merchantSetXPub(), sh.merchantUpdate(),
		sh.merchantChange("suspend", "pause", "Let a merchant make no more payments; those that it has go on",
			(*admin.Admin).SuspendMerchant),
		sh.merchantChange("reinstate", "resume", "Let a suspended merchant make payments again",
			(*admin.Admin).ReinstateMerchant))
}

// xpubFlags are the two ways to give an xpub.
type xpubFlags struct{ text, file string }

func (f *xpubFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.text, "xpub", "", "extended public key of the merchant's account, m/44'/60'/account'")
	c.Flags().StringVar(&f.file, "xpub-file", "", "file to read the xpub from, - for standard input")
	c.MarkFlagsMutuallyExclusive("xpub", "xpub-file")
}

func (f *xpubFlags) value(sh *shell) (string, error) {
	if f.file == "" {
		return f.text, nil
	}
	return sh.readLine(f.file)
}

func (sh *shell) merchantCreate() *cobra.Command {
	var name string
	var xpub xpubFlags
	c := &cobra.Command{
		Use: "create", Short: "Create a merchant", Args: cobra.NoArgs,
		Long: `Create a merchant. Without an xpub it can make no payments until ` + "`ctripctl merchant set-xpub`" + `.

Only public account keys are accepted. The first address that the key derives is printed: compare it with the first address
that the owner's wallet shows for the account.`,
		Example: `  ctripctl merchant create --name "Tea & Sons" --xpub xpub6C…`,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			key, err := xpub.value(sh)
			if err != nil {
				return err
			}
			m, err := a.CreateMerchant(ctx, name, key)
			if err != nil {
				return err
			}
			return sh.printMerchant(m)
		}),
	}
	c.Flags().StringVar(&name, "name", "", "what the merchant is called (required)")
	xpub.add(c)
	return require(c, "name")
}

func (sh *shell) printMerchant(m admin.MerchantCreated) error {
	return sh.answer(m, func() error {
		note := ""
		if m.FirstAddress != "" {
			note = "Compare the first address with the one that the owner's wallet shows before any payment is made."
		}
		return sh.facts(note, "merchant", m.Merchant.ID, "name", m.Merchant.Name, "xpub fingerprint",
			orEmpty(m.Merchant.XPubFingerprint),
			"first address", m.FirstAddress)
	})
}

func (sh *shell) merchantList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all merchants, newest first", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			all, err := a.Merchants(ctx)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Merchant]{all}, func() error {
				var rows [][]string
				for _, m := range all {
					rows = append(rows, []string{m.ID, m.Name, orEmpty(m.XPubFingerprint), when(m.PausedAt), when(&m.CreatedAt)})
				}
				return sh.table("ID NAME XPUB PAUSED CREATED", "There are no merchants.", rows)
			})
		}),
	}
}

func (sh *shell) merchantSetXPub() *cobra.Command {
	var xpub xpubFlags
	c := &cobra.Command{
		Use: "set-xpub MERCHANT", Short: "Give a merchant another account key", Args: cobra.ExactArgs(1),
		Long: `Give a merchant another account key. New payments draw their addresses from it; those of the old one stay watched. A key
that the merchant had before goes on where it stopped.`,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			key, err := xpub.value(sh)
			if err != nil {
				return err
			}
			m, err := a.SetXPub(ctx, args[0], key)
			if err != nil {
				return err
			}
			return sh.printMerchant(m)
		}),
	}
	xpub.add(c)
	c.MarkFlagsOneRequired("xpub", "xpub-file")
	return c
}

func (sh *shell) merchantUpdate() *cobra.Command {
	var name string
	var acceptLate bool
	var rate, endpoints, keys, open int
	c := new(cobra.Command)
	*c = cobra.Command{
		Use: "update MERCHANT", Short: "Change a merchant's name, their policy for late money, their limits",
		Args: cobra.ExactArgs(1),
		Long: `Change a merchant. What no flag names stays as it is. A limit of 0 goes back to the deployment's default.

With --accept-late a payment that expired still goes on to detected and confirmed when its money comes; otherwise it stays
expired and payment.late tells of the money. It counts for payments that are made from now on. See docs/after-payment.md.`,
		Example: "  ctripctl merchant update mer_… --accept-late\n" +
			"  ctripctl merchant update mer_… --accept-late=false --open-payments 50000",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			m, err := a.UpdateMerchant(ctx, args[0], admin.MerchantUpdate{
				Name: ifGiven(c, "name", name), AcceptLate: ifGiven(c, "accept-late", acceptLate),
				RequestsPerSecond: ifGiven(c, "requests-per-second", rate), Endpoints: ifGiven(c, "endpoints", endpoints),
				Keys: ifGiven(c, "keys", keys), OpenPayments: ifGiven(c, "open-payments", open),
			})
			if err != nil {
				return err
			}
			return sh.answer(struct {
				Merchant admin.Merchant `json:"merchant"`
			}{m}, func() error {
				return sh.facts("", "merchant", m.ID, "name", m.Name, "accepts late money", yesNo(m.AcceptLate),
					"requests per second", orDefault(m.Limits.RequestsPerSecond), "endpoints", orDefault(m.Limits.Endpoints),
					"keys", orDefault(m.Limits.Keys), "open payments", orDefault(m.Limits.OpenPayments))
			})
		}),
	}
	c.Flags().StringVar(&name, "name", "", "what the merchant is called")
	c.Flags().BoolVar(&acceptLate, "accept-late", false, "an expired payment goes on when its money comes after all")
	c.Flags().IntVar(&rate, "requests-per-second", 0, "requests a second over all keys")
	c.Flags().IntVar(&endpoints, "endpoints", 0, "webhook endpoints")
	c.Flags().IntVar(&keys, "keys", 0, "API keys")
	c.Flags().IntVar(&open, "open-payments", 0, "payments that are neither confirmed, expired nor canceled")
	c.MarkFlagsOneRequired("name", "accept-late", "requests-per-second", "endpoints", "keys", "open-payments")
	return c
}

// ifGiven is the value of a flag that was given, else nil.
func ifGiven[T any](c *cobra.Command, flag string, value T) *T {
	if !c.Flags().Changed(flag) {
		return nil
	}
	return &value
}

func orDefault(limit *int) string {
	if limit == nil {
		return "default"
	}
	return strconv.Itoa(*limit)
}

// merchantChange is a command that changes whether a merchant may make payments. It answers to its old name too.
func (sh *shell) merchantChange(
	verb, oldVerb, short string, change func(*admin.Admin, context.Context, string) (admin.Merchant, error),
) *cobra.Command {
	return &cobra.Command{
		Use: verb + " MERCHANT", Aliases: []string{oldVerb}, Short: short, Args: cobra.ExactArgs(1),
		Long: short + ".\n\nIts old name, `ctripctl merchant " + oldVerb + "`, is deprecated: `ctripctl deliveries " +
			oldVerb +
			"` is about what is sent to a merchant.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			m, err := change(a, ctx, args[0])
			if err != nil {
				return err
			}
			return sh.answer(struct {
				Merchant admin.Merchant `json:"merchant"`
			}{m}, func() error {
				return sh.facts("", "merchant", m.ID, "name", m.Name, "paused", orNo(when(m.PausedAt)))
			})
		}),
	}
}

func orNo(s string) string {
	if s == "" {
		return "no"
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
