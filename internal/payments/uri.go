package payments

import (
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// URI is the EIP-681 request to pay amount base units of an asset (models.AssetNative or a contract address) to an
// address. Addresses are spelled by EIP-55.
func URI(chainID uint64, asset, address string, amount models.Amount) string {
	to := wallet.Checksum(address)
	if asset == models.AssetNative {
		return fmt.Sprintf("ethereum:%s@%d?value=%s", to, chainID, amount)
	}
	return fmt.Sprintf("ethereum:%s@%d/transfer?address=%s&uint256=%s", wallet.Checksum(asset), chainID, to, amount)
}

// uriOf is the request to pay what a payment still lacks, nil when it asks for nothing more.
func uriOf(p models.Payment) *string {
	missing := excess(p.Amount, p.AmountReceived)
	if p.Status != models.PaymentPending || p.ReplacedBy != nil || missing.Sign() == 0 {
		return nil
	}
	uri := URI(p.ChainID, p.Asset, p.Address, missing)
	return &uri
}
