package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"rsc.io/qr"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// quiet is the white border that scanners need, in modules.
const quiet = 4

// mainnet is the chain id that wallets take where they read none.
const mainnet = 1

// code is a QR code as the path of an SVG image of Size × Size modules, border included.
type code struct {
	Path string
	Size int
}

// encode draws text, one rectangle for every horizontal run of black modules.
func encode(text string) (code, error) {
	c, err := qr.Encode(text, qr.M)
	if err != nil {
		return code{}, fmt.Errorf("web: QR code: %w", err)
	}
	var path strings.Builder
	for y := range c.Size {
		for x := 0; x < c.Size; x++ {
			if !c.Black(x, y) {
				continue
			}
			start := x
			for c.Black(x, y) {
				x++
			}
			n := strconv.Itoa(x - start)
			path.WriteString("M" + strconv.Itoa(start+quiet) + " " + strconv.Itoa(y+quiet) + "h" + n + "v1h-" + n + "z")
		}
	}
	return code{path.String(), c.Size + 2*quiet}, nil
}

// way is one way to tell a wallet what to pay: what its QR code says, and the link that opens a wallet on this device.
type way struct {
	ID, Label, Hint string
	Text            string
	Link            template.URL
	Code            code
	Default         bool
}

// ways are the plain address, and the EIP-681 request for the amount. The address comes first but for coin of chain 1:
// a wallet that reads only the target of an EIP-681 request would send a token to its contract, where nobody can get it
// back, and one that skips the chain id would send coin on another chain.
func ways(p models.Payment, amount models.Amount, speaks tongue) ([]way, error) {
	token := p.Asset != models.AssetNative
	addressFirst := token || p.ChainID != mainnet
	request := PaymentURI(p.ChainID, p.Asset, p.Address, amount)
	all := []way{
		{ID: "address", Label: speaks.Text("Address"), Text: wallet.Checksum(p.Address), Default: addressFirst,
			Hint: speaks.Text("Scan it with your wallet, then enter the amount yourself.")},
		{ID: "wallet", Label: speaks.Text("Wallet link"), Text: request, Link: template.URL(request), Default: !addressFirst,
			Hint: speaks.Text("Carries address and amount. Check both in your wallet before you send.")},
	}
	if token {
		all[1].Hint = speaks.Text("Only for wallets that understand payment links for tokens: yours must show the amount in "+
			"%s and the address above.", p.AssetSymbol)
	} else if addressFirst {
		all[1].Hint = speaks.Text("Only for wallets that understand the chain in a payment link: yours must show %s "+
			"(chain %d).", title(p.Chain), p.ChainID)
	}
	if !addressFirst {
		all[0], all[1] = all[1], all[0]
	}
	for i := range all {
		var err error
		if all[i].Code, err = encode(all[i].Text); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// PaymentURI is [payments.URI].
func PaymentURI(chainID uint64, asset, address string, amount models.Amount) string {
	return payments.URI(chainID, asset, address, amount)
}
