package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/store"
)

func (sh *shell) restore() *cobra.Command {
	return sh.group("restore", "Make a database ready that was restored from a backup", sh.restoreCheck(),
		sh.restorePrepare())
}

func (sh *shell) restoreCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check", Short: "Tell whether the database was restored, and what it holds, changing nothing",
		Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			f, err := a.RestoreCheck(ctx)
			if err != nil {
				return err
			}
			return sh.answer(f, func() error {
				problem := ""
				if f.Unfinished {
					problem = "The database was restored: POST /payments is refused until `ctripctl restore prepare` has run."
				}
				return sh.printRestore(problem, f)
			})
		}),
	}
}

func (sh *shell) restorePrepare() *cobra.Command {
	var p store.Preparation
	var branch uint32
	c := &cobra.Command{
		Use: "prepare", Short: "Let a restored gateway take payments again", Args: cobra.NoArgs,
		Long: `Let a restored gateway take payments again. Stop its processes first. What was written after the backup was taken is gone,
and the addresses that were handed out then must not be handed out again: each account key goes on under another branch (1,000
further unless --branch says which; every deployment that shares an xpub needs one of its own), and its counter has moved on by
10,000. Sequences of payments that can still change go on 1,000 further, so that receivers heed what comes. The scanners read the
chains again from where the backup stood, and announce again, under new ids, what happened since then. Deliveries that the backup
holds as waiting are sent, though some of them were before, under the ids that receivers know.

With --complete nothing moves but the counters: for a database that was moved, where nothing was written after the dump.`,
	}
	c.RunE = sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
		if c.Flags().Changed("branch") {
			p.Branch = &branch
		}
		prepared, f, err := a.RestorePrepare(ctx, p)
		if err != nil {
			return err
		}
		return sh.answer(f, func() error {
			if !prepared {
				_, err := fmt.Fprintln(sh.out, store.ErrNotRestored.Error())
				return err
			}
			return sh.printRestore("", f)
		})
	})
	c.Flags().Uint32Var(&branch, "branch", 0, "the branch under which all account keys derive addresses from now on")
	c.Flags().BoolVar(&p.SameBranch, "keep-branch", false,
		"leave the branches as they are, for a wallet that knows no others")
	c.Flags().BoolVar(&p.Complete, "complete", false,
		"nothing was written after the dump: leave branches and sequences as they are")
	c.MarkFlagsMutuallyExclusive("branch", "keep-branch", "complete")
	return c
}

func (sh *shell) printRestore(problem string, f store.RestoreFacts) error {
	state := "not restored, or prepared"
	if f.Unfinished {
		state = "restored, not prepared"
	}
	return sh.facts(problem, "database", state, "newest event", when(f.NewestEvent),
		"open payments", fmt.Sprint(f.OpenPayments),
		"deliveries that wait and may be sent a second time", fmt.Sprint(f.Waiting), "account keys", fmt.Sprint(f.Keys),
		"lowest branch", fmt.Sprint(f.LowestBranch), "highest index", fmt.Sprint(f.HighestIndex),
		"newest line of the audit log", fmt.Sprint(f.AuditLines))
}
