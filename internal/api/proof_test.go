package api

import (
	"context"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// TestPaymentProof: each transfer of a payment has its proof or the reason why it has none, in the order of the chain;
// a node that is away is told as such, and nobody sees the proof of somebody else's payment.
func TestPaymentProof(t *testing.T) {
	var asked []string
	var away error
	c := newCounter(t, storetest.SQLite(t), func(o *Options) {
		o.Prove = func(_ context.Context, id uint64, at chain.Ref, claims []chain.Claim) ([]chain.Evidence, error) {
			out := make([]chain.Evidence, len(claims))
			for i, claim := range claims {
				asked = append(asked, claim.Value.String())
				out[i] = chain.Evidence{Header: []byte{1}, Index: i, Transaction: [][]byte{{2}}, Receipt: [][]byte{{3, 4}}, Log: 5}
				if claim.Source == chain.FromTrace {
					out[i] = chain.Evidence{Reason: "a contract sent it"}
				}
			}
			return out, away
		}
	})
	_, key := c.merchant(t, "a", false)
	_, stranger := c.merchant(t, "b", false)
	created := decoded[webhook.Payment](t, c.ask(key, http.MethodPost, "/api/v1/payments",
		`{"chain":"ethereum","asset":"native","amount":"7"}`), http.StatusCreated)
	path := "/api/v1/payments/" + created.ID + "/proof"
	empty := decoded[webhook.PaymentProof](t, c.ask(key, http.MethodGet, path, ""), http.StatusOK)
	if empty.PaymentID != created.ID || len(empty.Transfers) != 0 || empty.Transfers == nil || len(asked) != 0 {
		t.Errorf("%+v", empty)
	}
	observe(t, c, created.Address, chain.FromTransaction, chain.FromTrace)
	got := decoded[webhook.PaymentProof](t, c.ask(key, http.MethodGet, path, ""), http.StatusOK)
	if len(got.Transfers) != 2 || got.TransfersTotal != 2 || strings.Join(asked, " ") != "1 2" ||
		got.Address != created.Address || got.ChainID != 1 || got.Asset.Contract != nil {
		t.Fatalf("%+v", got)
	}
	first, second := got.Transfers[0], got.Transfers[1]
	if first.Reason != nil || first.Proof == nil || first.Proof.Header != "0x01" || first.Proof.Receipt[0] != "0x0304" ||
		*first.Proof.Log != 5 || second.Proof != nil || second.Reason == nil || *second.Reason != "a contract sent it" {
		t.Errorf("%+v, %+v", first.Proof, second)
	}
	if w := c.ask(stranger, http.MethodGet, path, ""); w.Code != http.StatusNotFound {
		t.Errorf("a stranger: %d", w.Code)
	}
	away = errors.New("nobody is there")
	w := c.ask(key, http.MethodGet, path, "")
	if p := decoded[Problem](t, w, http.StatusServiceUnavailable); p.Code != CodeChainUnavailable ||
		w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "nobody") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// observe records a block with a transfer of each source to an address, of 1, 2 and so on.
func observe(t *testing.T, c *counter, address string, sources ...chain.Source) {
	t.Helper()
	to, err := chain.ParseAddress(strings.ToLower(address))
	if err != nil {
		t.Fatal(err)
	}
	b := payments.Block{Header: chain.Header{Number: 2, Hash: chain.Hash{2}, Parent: chain.Hash{1}, Time: testNow()}}
	for i, source := range sources {
		b.Transfers = append(b.Transfers, chain.Transfer{TxHash: chain.Hash{9, byte(i)}, Asset: chain.Native, To: to,
			Value: big.NewInt(int64(i + 1)), Source: source, LogIndex: -1})
	}
	err = c.store.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertBlocks(t.Context(), []models.Block{{ChainID: 1, Number: 2, Hash: b.Hash.Hex(),
			ParentHash: b.Parent.Hex(), Time: testNow()}}); err != nil {
			return err
		}
		_, err := c.payments.Observe(t.Context(), tx, payments.Step{ChainID: 1, Head: 2, Blocks: []payments.Block{b}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
