package web

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

// call is the transaction that a wallet in the browser (EIP-1193) is asked to send, in the words of
// eth_sendTransaction.
type call struct {
	Chain string // hexadecimal chain id
	To    string // whom coin goes to, or the token's contract
	Value string // hexadecimal base units of coin
	Data  string // transfer(address,uint256), "" for coin
}

// transferSelector is the beginning of the call data of ERC-20's transfer(address,uint256).
const transferSelector = "0xa9059cbb"

// callFor fills in what pays an amount of a payment.
func callFor(p models.Payment, amount models.Amount) call {
	c := call{Chain: "0x" + strconv.FormatUint(p.ChainID, 16)}
	if p.Asset == models.AssetNative {
		c.To, c.Value = wallet.Checksum(p.Address), "0x"+amount.Big().Text(16)
		return c
	}
	c.To, c.Value = wallet.Checksum(p.Asset), "0x0"
	c.Data = transferSelector + word(strings.TrimPrefix(strings.ToLower(p.Address), "0x")) + hexWord(amount.Big())
	return c
}

const wordDigits = 64

// word is 32 bytes of call data, in hexadecimal.
func word(digits string) string { return strings.Repeat("0", max(0, wordDigits-len(digits))) + digits }

func hexWord(n *big.Int) string { return word(n.Text(16)) }
