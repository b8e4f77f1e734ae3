package cli

import (
	"context"
	"encoding/csv"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ctrip-gateway/ctrip/internal/admin"
)

func (sh *shell) addresses() *cobra.Command {
	var merchant string
	export := &cobra.Command{
		Use: "export", Short: "Print every deposit address of a merchant as CSV", Args: cobra.NoArgs,
		Long: `Print every deposit address of a merchant as CSV: address, path, index. With the paths a wallet finds the money again without
the gateway. Addresses that were skipped are in the list too. The export is written to the audit log.`,
		RunE: sh.onDatabase(func(ctx context.Context, a *admin.Admin, _ []string) error {
			if sh.json {
				all := list[admin.Address]{Data: []admin.Address{}}
				err := a.ExportAddresses(ctx, merchant, func(a admin.Address) error {
					all.Data = append(all.Data, a)
					return nil
				})
				if err != nil {
					return err
				}
				return sh.answer(all, nil)
			}
			w := csv.NewWriter(sh.out)
			if err := w.Write([]string{"address", "path", "index"}); err != nil { // buffered: nothing is printed yet
				return err
			}
			err := a.ExportAddresses(ctx, merchant, func(a admin.Address) error {
				return w.Write([]string{a.Address, a.Path, fmt.Sprint(a.Index)})
			})
			if err != nil {
				return err
			}
			w.Flush()
			return w.Error()
		}),
	}
	export.Flags().StringVar(&merchant, "merchant", "", "id of the merchant (required)")
	return sh.group("addresses", "Export deposit addresses", require(export, "merchant"))
}
