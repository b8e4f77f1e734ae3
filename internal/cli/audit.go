package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) audit() *cobra.Command {
	return sh.group("audit", "Read and verify the audit log", sh.auditList(), sh.auditVerify())
}

func (sh *shell) auditList() *cobra.Command {
	var from int64
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "Show lines of the audit log, oldest first", Args: cobra.NoArgs,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			page, err := a.AuditLog(ctx, from, limit)
			if err != nil {
				return err
			}
			return sh.answer(page, func() error {
				var rows [][]string
				for _, l := range page.Data {
					var detail []string
					for _, k := range slices.Sorted(maps.Keys(l.Detail)) {
						detail = append(detail, k+"="+l.Detail[k])
					}
					rows = append(rows, []string{fmt.Sprint(l.Seq), when(&l.At), l.Actor, l.Action, l.Subject,
						strings.Join(detail, " ")})
				}
				if err := sh.table("LINE AT ACTOR ACTION SUBJECT DETAIL", "The audit log has no such lines.", rows); err != nil ||
					page.NextFrom == nil {
					return err
				}
				_, err := fmt.Fprintf(sh.out, "\nThere is more: --from %d\n", *page.NextFrom)
				return err
			})
		}),
	}
	c.Flags().Int64Var(&from, "from", 1, "number of the first line")
	c.Flags().IntVar(&limit, "limit", 100, fmt.Sprintf("how many lines, up to %d", admin.MaxAuditLines))
	return c
}

func (sh *shell) auditVerify() *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify", Short: "Check that no line of the audit log was changed or removed", Args: cobra.NoArgs,
		Long: "Check the chain of hashes from the first line of the audit log to the last. Exits with 1 when it is " +
			"broken.\n\n" +
			"Lines cut off its end, and a log that was written anew as a whole, can be told only by somebody who knows a line " +
			"of\n" +
			"before: keep the head that this prints where the database's owner cannot reach it, and give it with --head next " +
			"time.\n" +
			"Workers log it too (audit.followed), and exported evidence holds it.",
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			v, err := a.VerifyAudit(ctx, head)
			if err != nil {
				return err
			}
			err = sh.answer(v, func() error {
				if v.OK {
					return sh.facts("", "audit log", "whole", "lines", fmt.Sprint(v.Lines), "head", v.Head)
				}
				return sh.facts("", "audit log", "BROKEN", "good lines", fmt.Sprint(v.Lines), "problem", v.Problem)
			})
			if err == nil && !v.OK {
				err = errSaid
			}
			return err
		}),
	}
	c.Flags().StringVar(&head, "head", "", "a line that must still be there, as LINE:HASH of an earlier check")
	return c
}
