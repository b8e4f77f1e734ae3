package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) migrate() *cobra.Command {
	up := &cobra.Command{
		Use: "up", Short: "Bring the database schema up to this binary's version", Args: cobra.NoArgs,
		Long: "Bring the database schema up to this binary's version, under a lock: several may run at once. A schema that " +
			"is up to date stays as it is.",
		RunE: sh.do(func(ctx context.Context, _ []string) error {
			return sh.withAdmin(ctx, true, func(a *admin.Admin) error {
				m, err := a.Migrate(ctx)
				if err != nil {
					return err
				}
				return sh.answer(m, func() error {
					applied := strings.Join(m.Applied, ", ")
					if applied == "" {
						applied = "nothing: the schema was up to date"
					}
					return sh.facts("", "applied", applied, "version", fmt.Sprint(m.Schema.Version))
				})
			})
		}),
	}
	status := &cobra.Command{
		Use: "status", Short: "Show the schema's version, changing nothing", Args: cobra.NoArgs,
		RunE: sh.do(func(ctx context.Context, _ []string) error {
			return sh.withAdmin(ctx, true, func(a *admin.Admin) error {
				s, err := a.Schema(ctx)
				if err != nil {
					return err
				}
				return sh.answer(s, func() error {
					return sh.facts(s.Problem, "version", fmt.Sprint(s.Version), "this binary", fmt.Sprint(s.Binary),
						"oldest binary that it serves", fmt.Sprint(s.MinBinary), "fits",
						map[bool]string{true: "yes", false: "no"}[s.Fits])
				})
			})
		}),
	}
	return sh.group("migrate", "Look after the database schema", up, status)
}
