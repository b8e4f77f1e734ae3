package scanner

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// liar is a provider that rewrites the recipients of token transfers in logs and receipts, or leaves the logs out.
type liar struct {
	from, to string // a recipient, and the one that it names instead
	hides    string // a recipient of which it tells no log
}

func (l *liar) change(method string, _, result json.RawMessage) (json.RawMessage, int) {
	topic := func(a string) string { return "0x" + strings.Repeat("0", 24) + a[2:] }
	if l.from != "" {
		result = json.RawMessage(strings.ReplaceAll(string(result), topic(l.from), topic(l.to)))
	}
	if l.hides == "" {
		return result, 0
	}
	hidden := func(log any) bool {
		o, _ := log.(evmtest.Object)
		topics, _ := o["topics"].([]any)
		return len(topics) == 3 && topics[2] == topic(l.hides)
	}
	drop := func(logs []any) []any {
		rest := []any{}
		for _, log := range logs {
			if !hidden(log) {
				rest = append(rest, log)
			}
		}
		return rest
	}
	if method == "eth_getLogs" {
		var logs []any
		if json.Unmarshal(result, &logs) == nil {
			out, _ := json.Marshal(drop(logs))
			return out, 0
		}
	}
	return evmtest.Each(result, func(o evmtest.Object) {
		if logs, ok := o["logs"].([]any); ok {
			o["logs"] = drop(logs)
		}
	}), 0
}

const elsewhere = "0x00000000000000000000000000000000000000aa"

// payElsewhere mines a transfer of the token to somebody else, and then enough blocks to make it final.
func payElsewhere(t *testing.T, c *devnet.Chain, h *harness, to string, units int64) {
	t.Helper()
	if _, err := c.SendToken(t.Context(), c.DemoPayer(), to, big.NewInt(units)); err != nil {
		t.Fatal(err)
	}
	mine(t, c, 1)
	h.catchUp(t)
	mine(t, c, 4)
	h.catchUp(t)
}

func (h *harness) openDoubts(t *testing.T) []models.Doubt {
	t.Helper()
	open, err := h.store.Doubts(t.Context(), h.chain.ChainID, models.DoubtOpen, 10)
	if err != nil {
		t.Fatal(err)
	}
	return open
}

// TestOneProviderInventsMoney: a transfer that the first of two providers has invented in a true block is never
// confirmed by itself. It waits for a person, whose word counts, and holds up nothing else.
func TestOneProviderInventsMoney(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := startDevnet(t)
		lies := &liar{}
		h := through(t, s, c, nil, lies.change, honest)
		p, other := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "5")
		lies.from, lies.to = elsewhere, p.Address
		payElsewhere(t, c, h, elsewhere, 900)
		payElsewhere(t, c, h, other.Address, 5)
		h.wantEvents(t, p, "created", "detected")
		h.wantEvents(t, other, "created", "detected", "confirmed")
		open := h.openDoubts(t)
		if len(open) != 1 || open[0].Kind != models.DoubtInvented || open[0].PaymentID != p.ID ||
			len(open[0].Answers) != 2 || !open[0].Answers[0].Holds || open[0].Answers[1].Holds {
			t.Fatalf("doubts %+v", open)
		}
		settle(t, h, open[0].ID, true)
		h.wantEvents(t, p, "created", "detected", "confirmed")
	})
}

// TestRejectedMoneyIsTakenBack: what an operator rejects is retracted by name.
func TestRejectedMoneyIsTakenBack(t *testing.T) {
	c := startDevnet(t)
	lies := &liar{}
	h := through(t, storetest.SQLite(t), c, nil, lies.change, honest)
	p := h.ask(t, devnet.TokenSymbol, "900")
	lies.from, lies.to = elsewhere, p.Address
	payElsewhere(t, c, h, elsewhere, 900)
	settle(t, h, h.openDoubts(t)[0].ID, false)
	h.wantEvents(t, p, "created", "detected", "reorged")
	mine(t, c, 3)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "reorged")
}

// TestOneProviderHidesMoney: a transfer that the first of two providers hides, in its logs and receipts alike, is not
// lost: it is a doubt, the payment does not expire, and it is credited once a person says so.
func TestOneProviderHidesMoney(t *testing.T) {
	c := startDevnet(t)
	hides := &liar{}
	h := through(t, storetest.SQLite(t), c, nil, hides.change, honest)
	p := h.ask(t, devnet.TokenSymbol, "900")
	hides.hides = p.Address
	payElsewhere(t, c, h, p.Address, 900)
	open := h.openDoubts(t)
	if len(open) != 1 || open[0].Kind != models.DoubtHidden || open[0].PaymentID != p.ID {
		t.Fatalf("doubts %+v; events %v", open, h.events(t, p.ID))
	}
	settle(t, h, open[0].ID, true)
	mine(t, c, 3)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
}

// TestALogIndexThatLags: a first provider whose list of logs lacks one that its receipts hold, and whose filter
// excludes it, loses nothing.
func TestALogIndexThatLags(t *testing.T) {
	c := startDevnet(t)
	h := through(t, storetest.SQLite(t), c, nil, func(method string, _, result json.RawMessage) (json.RawMessage, int) {
		if method == "eth_getLogs" {
			return json.RawMessage(`[]`), 0
		}
		return result, 0
	}, honest)
	p := h.ask(t, devnet.TokenSymbol, "900")
	payElsewhere(t, c, h, p.Address, 900)
	h.wantEvents(t, p, "created", "detected", "confirmed")
}

// TestTwoOfThreeDecide: with three providers a liar is outvoted, without a person.
func TestTwoOfThreeDecide(t *testing.T) {
	c := startDevnet(t)
	lies := &liar{}
	h := through(t, storetest.SQLite(t), c, nil, lies.change, honest, honest)
	invented, hidden := h.ask(t, devnet.TokenSymbol, "900"), h.ask(t, devnet.TokenSymbol, "700")
	lies.from, lies.to, lies.hides = elsewhere, invented.Address, hidden.Address
	payElsewhere(t, c, h, elsewhere, 900)
	payElsewhere(t, c, h, hidden.Address, 700)
	h.wantEvents(t, invented, "created", "detected", "reorged")
	h.wantEvents(t, hidden, "created", "detected", "confirmed")
	if open := h.openDoubts(t); len(open) != 0 {
		t.Errorf("doubts %+v", open)
	}
}

// TestADoubtSettlesItself: when the provider that contradicted takes it back, nobody has to decide.
func TestADoubtSettlesItself(t *testing.T) {
	c := startDevnet(t)
	hides := &liar{}
	h := through(t, storetest.SQLite(t), c, nil, honest, hides.change)
	p := h.ask(t, devnet.TokenSymbol, "900")
	hides.hides = p.Address
	payElsewhere(t, c, h, p.Address, 900)
	if open := h.openDoubts(t); len(open) != 1 {
		t.Fatalf("doubts %+v", open)
	}
	hides.hides = ""
	h.round.doubts, h.round.counted = h.round.doubts.Add(-doubtEvery), h.round.counted.Add(-doubtEvery)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
}

// TestBalancesThatDiffer: coin of a contract that only one of two providers tells of is not credited.
func TestBalancesThatDiffer(t *testing.T) {
	c := startDevnet(t)
	var poor string
	h := through(t, storetest.SQLite(t), c, nil, honest,
		func(method string, params, result json.RawMessage) (json.RawMessage, int) {
			if method == "eth_getBalance" && poor != "" && strings.Contains(strings.ToLower(string(params)), poor) {
				return json.RawMessage(`"0x0"`), 0
			}
			return result, 0
		})
	p := h.ask(t, "native", "700")
	via := forwarder(t, c, p.Address)
	h.catchUp(t)
	poor = p.Address
	send(t, c, via, "0x", 700)
	mine(t, c, 5)
	h.catchUp(t)
	h.wantEvents(t, p, "created")
	open := h.openDoubts(t)
	if len(open) != 1 || open[0].Kind != models.DoubtBalance {
		t.Fatalf("doubts %+v", open)
	}
}

// TestFinalNeedsTwo: with two providers a block is final when both call it so, not when the first does.
func TestFinalNeedsTwo(t *testing.T) {
	c := startDevnet(t)
	tag := func(number func() uint64) evmtest.Change {
		return func(method string, params, result json.RawMessage) (json.RawMessage, int) {
			if method == "eth_getBlockByNumber" && strings.Contains(string(params), "finalized") {
				return evmtest.Result(t, c.URL(), method, fmt.Sprintf(`["0x%x",false]`, number())), 0
			}
			return result, 0
		}
	}
	slow := uint64(1)
	h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { o.Tag = "finalized" },
		tag(func() uint64 { return c.Head().Number }), tag(func() uint64 { return slow }))
	p := h.ask(t, devnet.TokenSymbol, "900")
	payElsewhere(t, c, h, p.Address, 900)
	h.wantEvents(t, p, "created", "detected")
	slow = c.Head().Number
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
}

// TestATraceHasAWitnessWhileItIsYoung: a second provider that does not trace, and that gives only the newest state,
// tells of a contract's payment by its balance right away, and is not needed again when the block is final.
func TestATraceHasAWitnessWhileItIsYoung(t *testing.T) {
	c := startDevnet(t)
	forwards := make(map[string]string)
	pruned := uint64(0)
	h := through(t, storetest.SQLite(t), c, nil, traced(t, c, forwards),
		func(method string, _, result json.RawMessage) (json.RawMessage, int) {
			if method == "eth_getBalance" && pruned != 0 && c.Head().Number > pruned {
				return json.RawMessage(`{"code":-32000,"message":"historical state is not available"}`), 0
			}
			return result, 0
		})
	p := h.ask(t, "native", "700")
	via := forwarder(t, c, p.Address)
	forwards[strings.ToLower(via)] = p.Address
	h.catchUp(t)
	send(t, c, via, "0x", 700)
	mine(t, c, 1)
	h.catchUp(t)
	pruned = c.Head().Number
	mine(t, c, 4)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	if ts := h.transfers(t, p.ID); len(ts) != 1 || ts[0].Source != models.SourceTrace || ts[0].Witness == "" {
		t.Errorf("%+v", ts)
	}
}

// TestAProviderThatIsAwayHoldsUpFinalityOnly: the chain begins and payments are detected while the second provider is
// away, and they are confirmed when it is back.
func TestAProviderThatIsAwayHoldsUpFinalityOnly(t *testing.T) {
	for _, tag := range []string{"", "finalized"} {
		c := startDevnet(t)
		mine(t, c, 70)
		away := true
		h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { o.Tag = tag }, honest,
			func(_ string, _, result json.RawMessage) (json.RawMessage, int) {
				if away {
					return nil, http.StatusBadGateway
				}
				return result, 0
			})
		p := h.ask(t, devnet.TokenSymbol, "900")
		payElsewhere(t, c, h, p.Address, 900)
		h.wantEvents(t, p, "created", "detected")
		away = false
		mine(t, c, 33)
		h.catchUp(t)
		h.wantEvents(t, p, "created", "detected", "confirmed")
	}
}
