package scanner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestATokenThatLogsGross: a token that takes a fee and logs what was sent is not credited by itself; an operator
// decides. One whose balances no node tells is credited by its log.
func TestATokenThatLogsGross(t *testing.T) {
	c := startDevnet(t)
	short, silent := false, false
	h := through(t, storetest.SQLite(t), c, nil,
		func(method string, params, result json.RawMessage) (json.RawMessage, int) {
			switch {
			case method != "eth_call" || !strings.Contains(string(params), "70a08231"):
			case silent:
				return json.RawMessage(`{"code":-32000,"message":"historical state is not available"}`), 0
			case short && strings.HasSuffix(string(result), `384"`): // of 900, 890 arrive
				return json.RawMessage(strings.Replace(string(result), `384"`, `37a"`, 1)), 0
			}
			return result, 0
		})
	whole, fee, unknown := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "900"),
		h.ask(t, devnet.TokenSymbol, "900")
	payElsewhere(t, c, h, whole.Address, 900)
	h.wantEvents(t, whole, "created", "detected", "confirmed")
	silent = true
	payElsewhere(t, c, h, unknown.Address, 900)
	h.wantEvents(t, unknown, "created", "detected", "confirmed")
	short, silent = true, false
	payElsewhere(t, c, h, fee.Address, 900)
	h.wantEvents(t, fee, "created", "detected")
	open := h.openDoubts(t)
	if len(open) != 1 || open[0].Kind != models.DoubtGross || open[0].PaymentID != fee.ID ||
		!strings.Contains(open[0].Answers[0].Text, "grew by 890") {
		t.Fatalf("doubts %+v", open)
	}
	h.round.doubts, h.round.counted = h.round.doubts.Add(-doubtEvery), h.round.counted.Add(-doubtEvery)
	h.catchUp(t)
	if open = h.openDoubts(t); len(open) != 1 {
		t.Fatalf("it settles itself: %+v", open)
	}
	settle(t, h, open[0].ID, true)
	h.wantEvents(t, fee, "created", "detected", "confirmed")
}

// TestATokenThatMovesNothing: a token that logs a transfer and leaves the balance as it was is not credited by itself,
// with one provider or two: a person decides.
func TestATokenThatMovesNothing(t *testing.T) {
	for providers := 1; providers <= 2; providers++ {
		c := startDevnet(t)
		nothing := false
		change := func(method string, params, result json.RawMessage) (json.RawMessage, int) {
			if nothing && method == "eth_call" && strings.Contains(string(params), "70a08231") {
				return json.RawMessage(`"0x` + strings.Repeat("0", 64) + `"`), 0
			}
			return result, 0
		}
		h := through(t, storetest.SQLite(t), c, nil, []evmtest.Change{change, change}[:providers]...)
		p, other := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "5")
		nothing = true
		payElsewhere(t, c, h, p.Address, 900)
		nothing = false
		payElsewhere(t, c, h, other.Address, 5)
		h.wantEvents(t, p, "created", "detected")
		h.wantEvents(t, other, "created", "detected", "confirmed")
		open := h.openDoubts(t)
		if len(open) != 1 || open[0].Kind != models.DoubtGross || open[0].PaymentID != p.ID ||
			!strings.Contains(open[0].Answers[0].Text, "grew by 0") || len(open[0].Answers) != 1+providers {
			t.Fatalf("doubts %+v", open)
		}
		h.round.doubts = h.round.doubts.Add(-doubtEvery)
		h.catchUp(t)
		if open = h.openDoubts(t); len(open) != 1 {
			t.Fatalf("it settles itself: %+v", open)
		}
		settle(t, h, open[0].ID, false)
		h.wantEvents(t, p, "created", "detected", "reorged")
	}
}
