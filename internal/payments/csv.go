package payments

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// Columns are those of payments in a CSV export, whoever makes it.
var Columns = []string{
	"id", "order_id", "status", "partial", "overpaid", "late", "chain", "chain_id", "asset_symbol", "asset_contract",
	"asset_decimals", "address",
	"amount", "amount_decimal", "amount_received", "amount_confirmed", "created_at", "expires_at", "confirmed_at",
	"metadata",
}

// Row is a payment under [Columns].
func Row(p webhook.Payment) ([]string, error) {
	metadata, err := json.Marshal(p.Metadata)
	if err != nil {
		return nil, err
	}
	return []string{
		p.ID, Cell(p.OrderID), p.Status, strconv.FormatBool(p.Partial), strconv.FormatBool(p.Overpaid),
		strconv.FormatBool(p.Late),
		p.Chain, strconv.FormatUint(p.ChainID, 10), Cell(&p.Asset.Symbol), Cell(p.Asset.Contract),
		strconv.Itoa(int(p.Asset.Decimals)), p.Address,
		p.Amount, p.AmountDecimal, p.AmountReceived, p.AmountConfirmed, Stamp(&p.CreatedAt), Stamp(&p.ExpiresAt),
		Stamp(p.ConfirmedAt), string(metadata),
	}, nil
}

// ExportRows is how many rows an export reads at a time, and ExportsOfMerchant how many exports of a merchant may be
// written at once in one process.
const (
	ExportRows        = 500
	ExportsOfMerchant = 2
	// ExportPatience is how long a reader of an export may take for ExportRows where no setting says.
	ExportPatience = 30 * time.Second
)

// formulas are the characters that make a spreadsheet take a cell for a formula: also in full width, which some fold,
// and after white space, which some trim.
const formulas = "=+-@\t\r\n＝＋－＠"

// Cell is a text of somebody else's in a cell: with an apostrophe before what a spreadsheet would take for a formula.
func Cell(s *string) string {
	if s == nil {
		return ""
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeftFunc(*s, unicode.IsSpace))
	if *s != "" && (strings.ContainsRune(formulas, first) || strings.ContainsAny((*s)[:1], formulas)) {
		return "'" + *s
	}
	return *s
}

// Stamp is a time in a cell, "" where there is none.
func Stamp(t *webhook.Time) string {
	if t == nil {
		return ""
	}
	text, err := t.MarshalJSON()
	if err != nil {
		return ""
	}
	return strings.Trim(string(text), `"`)
}
