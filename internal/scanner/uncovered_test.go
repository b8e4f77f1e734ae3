package scanner

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// unsigned adds an entry without a signature, from and to the zero address, to the block in which somebody is paid, and
// logs as if it paid somebody else as well: no root covers such an entry. Balances it does not tell.
type unsigned struct {
	to      string
	at      uint64
	chainID uint64 // what the node says that its chain is, when not 0
	receipt json.RawMessage
}

var hashOfTx = regexp.MustCompile(`"transactionHash":"0x[0-9a-f]{64}"`)

func (u *unsigned) change(method string, params, result json.RawMessage) (json.RawMessage, int) {
	hash := "0x" + strings.Repeat("77", 32)
	topic := func(a string) string { return "0x" + strings.Repeat("0", 24) + a[2:] }
	switch {
	case method == "eth_chainId" && u.chainID != 0:
		return json.RawMessage(fmt.Sprintf(`"0x%x"`, u.chainID)), 0
	case u.to == "":
		return result, 0
	case method == "eth_call": // what the token's balances would tell
		return json.RawMessage(`{"code":-32000,"message":"missing trie node"}`), 0
	case method == "eth_getTransactionReceipt" && strings.Contains(string(params), hash):
		return u.receipt, 0
	}
	var list []json.RawMessage
	if json.Unmarshal(result, &list) == nil {
		for _, item := range list {
			if !strings.Contains(string(item), topic(elsewhere)) {
				continue
			}
			text := strings.ReplaceAll(string(item), topic(elsewhere), topic(u.to))
			added := json.RawMessage(hashOfTx.ReplaceAllString(text, `"transactionHash":"`+hash+`"`))
			if list = append(list, added); strings.Contains(text, `"logs":`) {
				u.receipt = added
			}
		}
		out, _ := json.Marshal(list)
		return out, 0
	}
	zero := "0x" + strings.Repeat("0", 40)
	return evmtest.Each(result, func(o evmtest.Object) {
		txs, ok := o["transactions"].([]any)
		if !ok || o["number"] != fmt.Sprintf("0x%x", u.at) || len(txs) == 0 {
			return
		}
		if _, whole := txs[0].(evmtest.Object); whole {
			o["transactions"] = append(txs, evmtest.Object{
				"hash": hash, "type": "0x0", "from": zero, "to": zero, "value": "0x0", "blockHash": o["hash"],
				"blockNumber": o["number"], "transactionIndex": fmt.Sprintf("0x%x", len(txs)),
			})
			return
		}
		o["transactions"] = append(txs, hash)
	}), 0
}

// TestAnEntryThatNoRootCovers: an entry that no root covers, as Polygon had them, is invented where the chain has none.
// Where it has, one provider alone is not believed, and two are.
func TestAnEntryThatNoRootCovers(t *testing.T) {
	const polygon = 137
	for name, proofs := range map[string]func(*evm.Options){"hits": hits, "all": all} {
		for _, row := range []struct {
			chainID   uint64
			providers int
		}{{devnet.ChainID, 1}, {polygon, 1}, {polygon, 2}} {
			t.Run(fmt.Sprintf("%s/%d/%d", name, row.chainID, row.providers), func(t *testing.T) {
				c := startDevnet(t)
				mine(t, c, 3)
				adds := &unsigned{chainID: row.chainID}
				var nodes []evmtest.Change
				for range row.providers {
					nodes = append(nodes, adds.change)
				}
				h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { proofs(o); o.ChainID = row.chainID }, nodes...)
				p, other := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "5")
				adds.to, adds.at = p.Address, c.Head().Number+1
				h.payUntilFinal(t, c, elsewhere, 900)
				h.payUntilFinal(t, c, other.Address, 5)
				h.wantEvents(t, other, "created", "detected", "confirmed")
				switch {
				case row.chainID != polygon:
					if got := strings.Join(h.events(t, p.ID), " "); got != "created detected reorged" && got != "created" {
						t.Errorf("events %s", got)
					}
					h.noDoubts(t)
				case row.providers == 1:
					h.wantEvents(t, p, "created", "detected")
					if open := h.openDoubts(t); len(open) != 1 || open[0].Kind != models.DoubtProof {
						t.Errorf("doubts %+v", open)
					}
				default:
					h.wantEvents(t, p, "created", "detected", "confirmed")
					h.noDoubts(t)
				}
			})
		}
	}
}
