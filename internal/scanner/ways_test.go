package scanner

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/evm/evmtest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// through is a harness on the devnet whose providers are proxies before the same node.
func through(t *testing.T, s *store.Store, c *devnet.Chain, change func(*evm.Options),
	nodes ...evmtest.Change) *harness {
	t.Helper()
	o := evm.Options{
		Name: "devnet", ChainID: devnet.ChainID, Depth: 3, Tokens: []string{strings.ToLower(c.Token())}, Now: time.Now,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, n := range nodes {
		o.URLs = append(o.URLs, evmtest.NewProxy(t, c.URL(), n).URL)
	}
	if change != nil {
		change(&o)
	}
	pool, err := evm.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	cfg := devnetConfig(c)
	cfg.Proofs = o.Proofs
	h := newHarness(t, s, cfg, pool, time.Now)
	h.catchUp(t)
	return h
}

func honest(_ string, _, result json.RawMessage) (json.RawMessage, int) { return result, 0 }

// send has the devnet's unlocked account send a transaction, and returns its hash.
func send(t *testing.T, c *devnet.Chain, to, data string, wei int64) string {
	t.Helper()
	request := map[string]string{"from": c.Payer().Address(), "data": data, "value": fmt.Sprintf("0x%x", wei)}
	if to != "" {
		request["to"] = to
	}
	params, err := json.Marshal([]any{request})
	if err != nil {
		t.Fatal(err)
	}
	var hash string
	if err := json.Unmarshal(evmtest.Result(t, c.URL(), "eth_sendTransaction", string(params)), &hash); err != nil {
		t.Fatal(err)
	}
	return hash
}

// forwarder deploys a contract that passes on what it is sent.
func forwarder(t *testing.T, c *devnet.Chain, to string) string {
	t.Helper()
	code := "60006000600060003473" + to[2:] + "5af100"
	hash := send(t, c, "", fmt.Sprintf("0x60%02x80600b6000396000f3%s", len(code)/2, code), 0)
	mine(t, c, 1)
	var receipt struct{ ContractAddress string }
	if err := json.Unmarshal(evmtest.Result(t, c.URL(), "eth_getTransactionReceipt", `["`+hash+`"]`),
		&receipt); err != nil {
		t.Fatal(err)
	}
	return receipt.ContractAddress
}

func (h *harness) transfers(t *testing.T, id string) []models.Transfer {
	t.Helper()
	all, err := h.store.TransfersOf(t.Context(), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	return all[id]
}

func (h *harness) wantEvents(t *testing.T, p models.Payment, want ...string) {
	t.Helper()
	if got := h.events(t, p.ID); !slices.Equal(got, want) {
		t.Errorf("%s %s: events %v, want %v; transfers %+v", p.AssetSymbol, p.Amount, got, want, h.transfers(t, p.ID))
	}
}

// TestCoinOfContractsIsFoundByBalance: coin that a contract passes on, that a contract leaves behind when it destroys
// itself, and coin beside an ordinary transfer, are each credited once.
func TestCoinOfContractsIsFoundByBalance(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := startDevnet(t)
		h := devnetHarness(t, s, c)
		passed, left, both := h.ask(t, "native", "700"), h.ask(t, "native", "40"), h.ask(t, "native", "9")
		via, beside := forwarder(t, c, passed.Address), forwarder(t, c, both.Address)
		h.catchUp(t)
		send(t, c, via, "0x", 700)
		send(t, c, "", "0x73"+left.Address[2:]+"ff", 40) // SELFDESTRUCT in a constructor
		send(t, c, beside, "0x", 4)
		if _, err := c.SendNative(t.Context(), c.DemoPayer(), both.Address, big.NewInt(5)); err != nil {
			t.Fatal(err)
		}
		mine(t, c, 1)
		h.catchUp(t)
		for _, p := range []models.Payment{passed, left, both} {
			h.wantEvents(t, p, "created", "detected")
		}
		mine(t, c, 4)
		h.catchUp(t)
		for _, p := range []models.Payment{passed, left, both} {
			h.wantEvents(t, p, "created", "detected", "confirmed")
			if got, err := h.store.Payment(t.Context(), h.merchant, p.ID); err != nil || got.AmountConfirmed.Cmp(p.Amount) != 0 {
				t.Errorf("%s of %s confirmed, %v", got.AmountConfirmed, p.Amount, err)
			}
		}
	})
}

// TestABalanceGoesWithItsBlock: a reorg takes coin away that a balance had told of.
func TestABalanceGoesWithItsBlock(t *testing.T) {
	c := startDevnet(t)
	h := devnetHarness(t, storetest.SQLite(t), c)
	p := h.ask(t, "native", "700")
	via := forwarder(t, c, p.Address)
	h.catchUp(t)
	tx := send(t, c, via, "0x", 700)
	mine(t, c, 1)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected")
	if _, err := c.ReorgOut(tx); err != nil {
		t.Fatal(err)
	}
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "reorged")
	send(t, c, via, "0x", 700)
	mine(t, c, 1)
	h.catchUp(t)
	mine(t, c, 4)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "reorged", "detected", "confirmed")
}

// traced answers debug_traceBlockByHash for the devnet's blocks: the calls that forwarders make.
func traced(t *testing.T, c *devnet.Chain, forwards map[string]string) evmtest.Change {
	return func(method string, params, result json.RawMessage) (json.RawMessage, int) {
		if method != "debug_traceBlockByHash" {
			return result, 0
		}
		var hash string
		if err := json.Unmarshal(params, &[]any{&hash}); err != nil {
			t.Error(err)
		}
		var block struct {
			Transactions []struct{ Hash, From, To, Value string }
		}
		if err := json.Unmarshal(evmtest.Result(t, c.URL(), "eth_getBlockByHash", `["`+hash+`",true]`), &block); err != nil {
			t.Error(err)
		}
		traces := []any{}
		for _, tx := range block.Transactions {
			call := map[string]any{"type": "CALL", "from": tx.From, "to": tx.To, "value": tx.Value}
			if to := forwards[strings.ToLower(tx.To)]; to != "" {
				inner := func(kind, failed string) map[string]any {
					return map[string]any{"type": kind, "from": tx.To, "to": to, "value": tx.Value, "error": failed}
				}
				call["calls"] = []any{
					inner("DELEGATECALL", ""), inner("CALLCODE", ""), inner("STATICCALL", ""), inner("CALL", "execution reverted"),
					map[string]any{"type": "CALL", "from": tx.From, "to": tx.To, "error": "out of gas",
						"calls": []any{inner("CALL", "")}},
					inner("CALL", ""),
				}
			}
			traces = append(traces, map[string]any{"txHash": tx.Hash, "result": call})
		}
		out, err := json.Marshal(traces)
		if err != nil {
			t.Error(err)
		}
		return out, 0
	}
}

// TestCoinOfContractsIsFoundByTraces: only the calls that happened and moved coin count, and no balance is added.
func TestCoinOfContractsIsFoundByTraces(t *testing.T) {
	c := startDevnet(t)
	forwards := make(map[string]string)
	h := through(t, storetest.SQLite(t), c, nil, traced(t, c, forwards))
	p := h.ask(t, "native", "700")
	via := forwarder(t, c, p.Address)
	forwards[strings.ToLower(via)] = p.Address
	h.catchUp(t)
	send(t, c, via, "0x", 700)
	mine(t, c, 5)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	ts := h.transfers(t, p.ID)
	if len(ts) != 1 || ts[0].Source != models.SourceTrace || ts[0].Sender != strings.ToLower(via) {
		t.Errorf("%+v", ts)
	}
}

// TestWithdrawals: what the consensus layer pays out counts once, in gwei, and is no balance.
func TestWithdrawals(t *testing.T) {
	c := startDevnet(t)
	var to string
	paidIn := uint64(0)
	h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { o.Internal, o.Proofs = "off", "off" },
		func(method string, _, result json.RawMessage) (json.RawMessage, int) {
			if method != "eth_getBlockByNumber" || to == "" {
				return result, 0
			}
			return evmtest.Each(result, func(o evmtest.Object) {
				if o["number"] == fmt.Sprintf("0x%x", paidIn) {
					o["withdrawals"] = []any{evmtest.Object{"index": "0x7", "validatorIndex": "0x1", "address": to, "amount": "0x2"}}
				}
			}), 0
		})
	h.chain.Internal = "off"
	p := h.ask(t, "native", "2000000000")
	paidIn, to = c.Head().Number+1, p.Address
	mine(t, c, 5)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
	ts := h.transfers(t, p.ID)
	if len(ts) != 1 || ts[0].Source != models.SourceWithdrawal || ts[0].Ordinal != 7 || ts[0].TxHash != "" {
		t.Errorf("%+v", ts)
	}
}

// TestWithdrawalsThatCannotBe: numbers that the consensus layer cannot have told stop no chain, and an invented
// withdrawal is not confirmed for numbers that are written otherwise than usual.
func TestWithdrawalsThatCannotBe(t *testing.T) {
	for name, invented := range map[string]evmtest.Object{
		"an amount of 250 bits": {"index": "0x7", "validatorIndex": "0x1", "amount": "0x4" + strings.Repeat("0", 62)},
		"an index of 40 bits":   {"index": "0x10000000000", "validatorIndex": "0x1", "amount": "0x2"},
		"a leading zero":        {"index": "0x07", "validatorIndex": "0x1", "amount": "0x2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := startDevnet(t)
			to, paidIn := "", uint64(0)
			h := through(t, storetest.SQLite(t), c, func(o *evm.Options) { o.Internal, o.Proofs = "off", evm.ProofsAll },
				func(method string, _, result json.RawMessage) (json.RawMessage, int) {
					if to == "" {
						return result, 0
					}
					return evmtest.Each(result, func(o evmtest.Object) {
						if _, block := o["parentHash"]; block && o["number"] == fmt.Sprintf("0x%x", paidIn) {
							invented["address"] = to
							o["withdrawals"] = []any{invented}
						}
					}), 0
				})
			h.chain.Internal = "off"
			p := h.ask(t, "native", "2000000000")
			paidIn, to = c.Head().Number+1, p.Address
			mine(t, c, 5)
			h.tryCatchUp(t)
			if types := h.events(t, p.ID); slices.Contains(types, "confirmed") {
				t.Errorf("events %v", types)
			}
			cursor, err := h.store.Cursor(t.Context(), h.chain.ChainID)
			if err != nil || cursor.Number != c.Head().Number {
				t.Errorf("the chain stands at %d of %d, %v", cursor.Number, c.Head().Number, err)
			}
		})
	}
}

// coinLogs adds to the node's answers the logs of EIP-7708, from a block on.
func coinLogs(t *testing.T, c *devnet.Chain, since *uint64, moves map[string][3]string) evmtest.Change {
	emitter, topic := "0xfffffffffffffffffffffffffffffffffffffffe",
		"0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
	logsOf := func(block string) (logs []any) {
		var b struct {
			Number       string
			Hash         string
			Transactions []struct{ Hash string }
		}
		if err := json.Unmarshal(evmtest.Result(t, c.URL(), "eth_getBlockByHash", `["`+block+`",true]`), &b); err != nil {
			t.Error(err)
		}
		var number uint64
		fmt.Sscanf(b.Number, "0x%x", &number)
		if *since == 0 || number < *since {
			return nil
		}
		for i, tx := range b.Transactions {
			m, ok := moves[tx.Hash]
			if !ok {
				continue
			}
			word := func(a string) string { return "0x" + strings.Repeat("0", 66-len(a)) + a[2:] }
			logs = append(logs, evmtest.Object{
				"address": emitter, "topics": []string{topic, word(m[0]), word(m[1])}, "data": word(m[2]),
				"blockHash": b.Hash, "blockNumber": b.Number, "transactionHash": tx.Hash, "logIndex": fmt.Sprintf("0x%x", 100+i),
			})
		}
		return logs
	}
	return func(method string, params, result json.RawMessage) (json.RawMessage, int) {
		if method != "eth_getLogs" {
			return result, 0
		}
		var query struct{ BlockHash, FromBlock, ToBlock string }
		if err := json.Unmarshal(params, &[]any{&query}); err != nil {
			t.Error(err)
		}
		var logs []any
		if err := json.Unmarshal(result, &logs); err != nil {
			return result, 0
		}
		if query.BlockHash != "" {
			logs = append(logs, logsOf(query.BlockHash)...)
		} else {
			var from, to uint64
			fmt.Sscanf(query.FromBlock, "0x%x", &from)
			fmt.Sscanf(query.ToBlock, "0x%x", &to)
			for n := from; n <= to; n++ {
				if head, ok := c.Block(n); ok {
					logs = append(logs, logsOf(head.Hash)...)
				}
			}
		}
		out, err := json.Marshal(logs)
		if err != nil {
			t.Error(err)
		}
		return out, 0
	}
}

// TestCoinLogsBeforeAndAfterTheirActivation: before it transactions and balances tell of coin, from it on the logs do,
// and nothing is counted twice.
func TestCoinLogsBeforeAndAfterTheirActivation(t *testing.T) {
	c := startDevnet(t)
	since, moves := uint64(0), make(map[string][3]string)
	h := through(t, storetest.SQLite(t), c, nil, coinLogs(t, c, &since, moves))
	before, at, after := h.ask(t, "native", "5"), h.ask(t, "native", "6"), h.ask(t, "native", "7")
	viaBefore, viaAt := forwarder(t, c, before.Address), forwarder(t, c, at.Address)
	h.catchUp(t)
	send(t, c, viaBefore, "0x", 5)
	mine(t, c, 1)
	h.catchUp(t)
	since = c.Head().Number + 1
	inner := send(t, c, viaAt, "0x", 6)
	moves[inner] = [3]string{strings.ToLower(viaAt), at.Address, "0x6"}
	mine(t, c, 1)
	plain, err := c.SendNative(t.Context(), c.DemoPayer(), after.Address, big.NewInt(7))
	if err != nil {
		t.Fatal(err)
	}
	moves[plain] = [3]string{strings.ToLower(c.DemoPayer().Address()), after.Address, "0x7"}
	mine(t, c, 4)
	h.catchUp(t)
	for _, want := range []struct {
		p      models.Payment
		source string
	}{{before, models.SourceBalance}, {at, models.SourceLog}, {after, models.SourceLog}} {
		h.wantEvents(t, want.p, "created", "detected", "confirmed")
		if ts := h.transfers(t, want.p.ID); len(ts) != 1 || ts[0].Source != want.source {
			t.Errorf("%s: %+v", want.source, ts)
		}
	}
}

// TestCoinInUseIsDoubted: an address that sent something itself gets nothing credited from its balance.
func TestCoinInUseIsDoubted(t *testing.T) {
	c := startDevnet(t)
	h := through(t, storetest.SQLite(t), c, nil, func(method string, _, result json.RawMessage) (json.RawMessage, int) {
		if method == "eth_getTransactionCount" {
			return json.RawMessage(`"0x1"`), 0
		}
		return result, 0
	})
	p := h.ask(t, "native", "700")
	via := forwarder(t, c, p.Address)
	h.catchUp(t)
	send(t, c, via, "0x", 700)
	mine(t, c, 5)
	h.catchUp(t)
	h.wantEvents(t, p, "created")
	open, err := h.store.Doubts(t.Context(), devnet.ChainID, models.DoubtOpen, 10)
	if err != nil || len(open) != 1 || open[0].Kind != models.DoubtBalance || open[0].PaymentID != p.ID {
		t.Fatalf("%+v, %v", open, err)
	}
	settle(t, h, open[0].ID, true)
	mine(t, c, 3)
	h.catchUp(t)
	h.wantEvents(t, p, "created", "detected", "confirmed")
}

func settle(t *testing.T, h *harness, id string, accept bool) {
	t.Helper()
	err := h.store.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := h.payments.SettleDoubt(t.Context(), tx, models.Actor{Name: "operator"}, id, accept, "looked at it")
		return err
	})
	if err != nil {
		t.Fatal(errors.Join(err))
	}
}
