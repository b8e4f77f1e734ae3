package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) chain() *cobra.Command {
	return sh.group("chain", "See how far the chains are, read blocks again, and let a halted chain go on", sh.chainList(),
		sh.chainStatus(), sh.chainRescan(), sh.chainAudit(), sh.chainReconcile(), sh.chainAccept(), sh.chainReset())
}

func (sh *shell) chainList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show how far each chain has been recorded", Args: cobra.NoArgs,
		Long: "Show how far each chain has been recorded. AGE is how long ago the chain last answered.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			chains, err := a.Chains(ctx)
			if err != nil {
				return err
			}
			return sh.answer(list[admin.Chain]{chains}, func() error {
				var rows [][]string
				for _, c := range chains {
					rows = append(rows, []string{c.Chain, fmt.Sprint(c.ChainID), fmt.Sprint(c.Number), fmt.Sprint(c.HeadNumber),
						fmt.Sprint(c.FinalNumber), ageOf(c), fmt.Sprint(c.Doubts), when(c.HaltedAt), c.HaltReason})
				}
				return sh.table("CHAIN ID BLOCK HEAD FINAL AGE DOUBTS HALTED REASON", "No chain has been scanned yet.", rows)
			})
		}),
	}
}

func ageOf(c admin.Chain) string {
	if c.AgeSeconds == nil {
		return ""
	}
	return (time.Duration(*c.AgeSeconds) * time.Second).String()
}

func (sh *shell) chainStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Show one chain, and what each of its providers says now", Args: cobra.ExactArgs(1),
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			s, err := a.ChainStatus(ctx, args[0])
			if err != nil {
				return err
			}
			return sh.answer(s, func() error {
				facts := []string{"chain", s.Chain.Chain, "block", fmt.Sprint(s.Number), "head", fmt.Sprint(s.HeadNumber),
					"final", fmt.Sprint(s.FinalNumber), "last answer", ageOf(s.Chain), "open doubts", fmt.Sprint(s.Doubts),
					"halted", when(s.HaltedAt), "reason", s.HaltReason}
				for _, p := range s.Providers {
					says := fmt.Sprintf("head %d", p.Head)
					if p.Error != "" {
						says = p.Error
					}
					facts = append(facts, p.Provider, says)
				}
				facts = append(facts, "proofs", s.Proofs)
				return sh.facts("", facts...)
			})
		}),
	}
}

func (sh *shell) chainRescan() *cobra.Command {
	var from, to uint64
	c := &cobra.Command{
		Use: "rescan NAME", Short: "Read recorded blocks once more, and credit what is missing", Args: cobra.ExactArgs(1),
		Long: "Read recorded blocks once more, and credit the transfers that are missing: those of a token that was listed " +
			"later, or of\nblocks that a provider told wrongly. What is recorded stays as it is, so it can be run again at any " +
			"time. With two\nproviders or more, a transfer needs the word of two; otherwise it is a doubt.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			r, err := a.Rescan(ctx, args[0], from, to)
			if err != nil {
				return err
			}
			return sh.answer(r, func() error {
				return sh.facts("", "chain", r.Chain, "blocks", fmt.Sprintf("%d to %d", r.From, r.To),
					"transfers", fmt.Sprint(r.Transfers), "credited", fmt.Sprint(r.Credited), "doubts", fmt.Sprint(r.Doubts))
			})
		}),
	}
	c.Flags().Uint64Var(&from, "from", 0, "the first block")
	c.Flags().Uint64Var(&to, "to", 0, "the last block; without it, the last recorded one")
	return require(c, "from")
}

func (sh *shell) chainAccept() *cobra.Command {
	return &cobra.Command{
		Use: "accept NAME", Short: "Let a chain go on that broke its own finality", Args: cobra.ExactArgs(1),
		Long: "Let a halted chain go on. Its scanner then walks back below what was final: payments that were confirmed " +
			"can go back, and\n" +
			"their merchants are sent payment.reorged. Look at the chain first (`ctripctl chain list` shows why it halted). " +
			"A chain that\nbegan anew shares no block with the record: use `ctripctl chain reset`.",
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

func (sh *shell) chainReset() *cobra.Command {
	var start uint64
	var reason string
	var yes bool
	c := &cobra.Command{
		Use: "reset NAME", Short: "Take back what was recorded of a chain that began anew", Args: cobra.ExactArgs(1),
		Long: "Take back what was recorded of a chain from a block on, and scan it from there anew. Transfers in those " +
			"blocks " +
			"no longer\ncount, and the merchants of their payments are sent payment.reorged. It is for a chain that began anew " +
			"itself, such as a\ndevelopment chain; on one that is not marked test it needs --yes.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, args []string) error {
			if err := a.ResetChain(ctx, args[0], start, reason, yes); err != nil {
				return err
			}
			return sh.answer(map[string]any{"reset": args[0], "start_block": start}, func() error {
				return sh.facts("", "reset", args[0], "from block", fmt.Sprint(start))
			})
		}),
	}
	c.Flags().Uint64Var(&start, "start-block", 0, "the first block to scan again")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	c.Flags().BoolVar(&yes, "yes", false, "also on a chain whose money is worth something")
	return require(c, "start-block", "reason")
}
