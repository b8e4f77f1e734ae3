package admin

import (
	"context"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// exportPage is how many addresses are read at a time.
const exportPage = 1000

// Address is one row of a merchant's book of addresses.
type Address struct {
	Address string `json:"address"` // EIP-55
	Path    string `json:"path"`
	Index   uint32 `json:"index"`
	// PaymentID is null for an address that was skipped, for the reason given.
	PaymentID     *string `json:"payment_id"`
	SkippedReason string  `json:"skipped_reason"`
}

// ExportAddresses hands every address of a merchant to row, in the order of account key and index. That it happens
// stands in the audit log before the first one is read.
func (a *Admin) ExportAddresses(ctx context.Context, merchantID string, row func(Address) error) error {
	if err := a.requireMerchant(ctx, merchantID); err != nil {
		return err
	}
	err := a.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, models.AuditEntry{At: a.utc(), Actor: a.actor.Name, Action: "addresses.exported",
			Subject: merchantID, Merchant: merchantID})
	})
	if err != nil {
		return err
	}
	for offset := 0; ; offset += exportPage {
		rows, err := a.store.Addresses(ctx, merchantID, exportPage, offset)
		if err != nil {
			return err
		}
		for _, r := range rows {
			address := Address{wallet.Checksum(r.Address), r.DerivationPath, r.AddressIndex, r.PaymentID, r.SkippedReason}
			if err := row(address); err != nil {
				return fmt.Errorf("write address %d: %w", r.AddressIndex, err)
			}
		}
		if len(rows) < exportPage {
			return nil
		}
	}
}
