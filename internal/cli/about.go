package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

func (sh *shell) config() *cobra.Command {
	reference := &cobra.Command{
		Use: "reference", Short: "Print every setting and what it means", Args: cobra.NoArgs,
		RunE: sh.do(func(context.Context, []string) error {
			return sh.answer(struct {
				Markdown string `json:"markdown"`
			}{config.Reference()}, func() error {
				_, err := fmt.Fprint(sh.out, config.Reference())
				return err
			})
		}),
	}
	return sh.group("config", "Explain the settings", reference)
}

func (sh *shell) doctor() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check settings, database, Redis and chains, changing nothing", Args: cobra.NoArgs,
		Long: `Check the settings, the database and its schema and clock, Redis and its settings, and the chain id of every RPC provider. It
only reads. Exits with 1 when something is not as it should be, and says what to do about it.`,
		RunE: sh.do(func(ctx context.Context, _ []string) error {
			cfg, loaded := loadConfig()
			report := admin.Examine(ctx, cfg, loaded, time.Now)
			err := sh.answer(report, func() error { return sh.printReport(report) })
			if err == nil && !report.OK {
				err = errSaid
			}
			return err
		}),
	}
}

func (sh *shell) printReport(report admin.Report) error {
	var rows [][]string
	for _, c := range report.Checks {
		mark := "ok"
		if !c.OK {
			mark = "FAIL"
		}
		rows = append(rows, []string{mark, c.Name, c.Detail})
	}
	if err := sh.table(". CHECK DETAIL", "Nothing was checked.", rows); err != nil {
		return err
	}
	said := make(map[string]bool)
	for _, c := range report.Checks {
		if c.OK || said[c.Name+c.Hint] {
			continue
		}
		said[c.Name+c.Hint] = true
		if _, err := fmt.Fprintf(sh.out, "\n%s: %s\n", c.Name, c.Hint); err != nil {
			return err
		}
	}
	return nil
}

// build is what is known about this binary.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // built from files that were not committed
	Go       string `json:"go"`
	Schema   int    `json:"schema"` // the version of the schema that it needs
}

func (sh *shell) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print what this binary was built from", Args: cobra.NoArgs,
		RunE: sh.do(func(context.Context, []string) error {
			from := telemetry.ThisBuild()
			b := build{Version: from.Version, Revision: from.Revision, Modified: from.Modified, Go: from.Go,
				Schema: store.SchemaVersion}
			return sh.answer(b, func() error {
				return sh.facts("", "ctripctl", b.Version, "revision", b.Revision, "go", b.Go, "schema", fmt.Sprint(b.Schema))
			})
		}),
	}
}
