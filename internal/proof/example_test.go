package proof_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// exampleDocument is evidence of one message, sealed by a key.
func exampleDocument(key webhook.SigningKey) []byte {
	body := []byte(`{"id":"evt_1","type":"payment.confirmed"}`)
	sum := sha256.Sum256(body)
	sealed, err := proof.Export(proof.Evidence{
		ExportedAt: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), ExportedBy: "operator:ann", MerchantID: "mer_1",
		Message: proof.Message{ID: "evt_1", Type: "payment.confirmed", SHA256: hex.EncodeToString(sum[:]), Body: body},
	}, "sgk_1", key)
	if err != nil {
		panic(err)
	}
	document, err := json.Marshal(sealed)
	if err != nil {
		panic(err)
	}
	return document
}

func exampleKey(seed byte) webhook.SigningKey {
	key, err := webhook.NewSigningKey(bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		panic(err)
	}
	return key
}

func ExampleExport() {
	var sealed proof.Sealed
	if err := json.Unmarshal(exampleDocument(exampleKey(1)), &sealed); err != nil {
		panic(err)
	}
	fmt.Println(sealed.Seal.ID, sealed.Seal.KeyID)
	// Output: evidence_sgk_1_evt_1 sgk_1
}

// Evidence opens with a key that is trusted, and only as it was exported.
func ExampleOpen() {
	gateway, somebody := exampleKey(1), exampleKey(2)
	document := exampleDocument(gateway)

	e, seal, err := proof.Open(document, gateway.Public())
	fmt.Println(e.Message.ID, seal.KeyID, err)

	_, _, err = proof.Open(document, somebody.Public())
	fmt.Println(err)

	changed := bytes.Replace(document, []byte(`"mer_1"`), []byte(`"mer_2"`), 1)
	_, _, err = proof.Open(changed, gateway.Public())
	fmt.Println(err)
	// Output:
	// evt_1 sgk_1 <nil>
	// the document was sealed with a key that is not among those given
	// the seal does not fit: the document was changed, or another key sealed it
}

// exampleNode knows one transaction, which moved 7 of the chain's own coin from 0x…bb to 0x…aa in block 5.
type exampleNode struct{}

func (exampleNode) Receipt(_ context.Context, tx chain.Hash) (evm.Receipt, error) {
	if tx != (chain.Hash{1}) {
		return evm.Receipt{}, evm.ErrMissing
	}
	return evm.Receipt{
		Block: chain.Ref{Number: 5, Hash: chain.Hash{5}}, OK: true,
		From: chain.Address{19: 0xbb}, To: &chain.Address{19: 0xaa}, Value: big.NewInt(7),
	}, nil
}

func (exampleNode) Header(_ context.Context, number uint64) (chain.Header, error) {
	return chain.Header{Number: number, Hash: chain.Hash{byte(number)}, Time: time.Unix(1_800_000_000, 0).UTC()}, nil
}

// Whoever gets an event can hold its transfers against a node of their own.
func ExampleTransfers() {
	tx, from := chain.Hash{1}.Hex(), chain.Address{19: 0xbb}.Hex()
	event := webhook.Event{ID: "evt_1", Type: webhook.PaymentConfirmed, Data: webhook.Data{Payment: &webhook.Payment{
		ID: "pay_1", ChainID: 1, Address: chain.Address{19: 0xaa}.Hex(), Asset: webhook.Asset{Symbol: "ETH", Decimals: 18},
		AmountReceived: "7", AmountConfirmed: "7", TransfersTotal: 1,
		Transfers: []webhook.Transfer{{
			TxHash: &tx, From: &from, Amount: "7", Status: "confirmed", BlockNumber: 5, BlockHash: chain.Hash{5}.Hex(),
			BlockTimestamp: webhook.At(time.Unix(1_800_000_000, 0)),
		}},
	}}}
	verdicts, err := proof.Transfers(context.Background(), exampleNode{}, event)
	fmt.Println(verdicts[0].Finding, err)

	event.Data.Payment.Transfers[0].Amount = "70"
	verdicts, err = proof.Transfers(context.Background(), exampleNode{}, event)
	fmt.Println(verdicts[0].Finding, verdicts[0].Reason, err)
	fmt.Println(verdicts[1].Reason)
	// Output:
	// proven <nil>
	// refuted the transaction moved 7 <nil>
	// amount_confirmed is 7, and the confirmed transfers sum up to 70
}
