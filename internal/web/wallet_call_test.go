package web_test

import (
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestWalletCall: a wallet in the browser is told the chain, and the transfer that pays what is missing: coin to the
// address, a token by its contract.
func TestWalletCall(t *testing.T) {
	h := newHarness(t, storetest.SQLite(t))
	b := &browser{h: h}
	token := h.payment(nil)
	page := b.open("/pay/" + token.Token)
	page.want(t, `data-chain="0x1"`, `data-value="0x0"`, `data-to="0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"`,
		`data-data="0xa9059cbb000000000000000000000000`+strings.TrimPrefix(token.Address, "0x")+strings.Repeat("0", 58)+
			`bebc20"`)
	h.move(token, 12_000_000, models.TransferSeen, func(p *models.Payment) { p.Partial = true })
	b.open("/pay/"+token.Token).want(t, strings.Repeat("0", 59)+`7a120"`)

	coin := h.payment(func(r *payments.Request) {
		r.Chain, r.Asset, r.AmountDecimal, r.OrderID = "sepolia", "native", "1", nil
	})
	b.open("/pay/"+coin.Token).want(t, `data-chain="0xaa36a7"`, `data-value="0xde0b6b3a7640000"`, `data-data=""`)
}
