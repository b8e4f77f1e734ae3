package chain_test

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

func ExampleMatch() {
	shop, stranger := chain.Address{1}, chain.Address{2}
	token := chain.Address{0xee}
	block := chain.Block{
		Txs: []chain.Tx{
			{Hash: chain.Hash{1}, To: &shop, Value: big.NewInt(5)},
			{Hash: chain.Hash{2}, To: &stranger, Value: big.NewInt(5)},
			{Hash: chain.Hash{3}, To: nil, Value: big.NewInt(5)}, // creates a contract
			{Hash: chain.Hash{4}, To: &shop, Value: new(big.Int)},
		},
		Logs: []chain.Log{
			{TxHash: chain.Hash{5}, LogIndex: 7, Contract: token, To: shop, Value: big.NewInt(1)},
			{TxHash: chain.Hash{5}, LogIndex: 9, Contract: token, To: shop, Value: big.NewInt(1)},
		},
	}
	for _, t := range chain.Match(block, func(a chain.Address) bool { return a == shop }) {
		fmt.Println(t.TxHash[0], t.Asset[:6], t.Value, t.Ordinal, t.LogIndex, t.NeedsReceipt)
	}
	// Output:
	// 1 native 5 0 -1 true
	// 5 0xee00 1 0 7 false
	// 5 0xee00 1 1 9 false
}

func ExampleFinalByDepth() {
	fmt.Println(chain.FinalByDepth(100, 1), chain.FinalByDepth(100, 12), chain.FinalByDepth(5, 12))
	// Output: 100 89 0
}

func ExampleParseAddress() {
	a, err := chain.ParseAddress("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
	fmt.Println(a, err)
	_, err = chain.ParseAddress("a0b8")
	fmt.Println(err)
	// Output:
	// 0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48 <nil>
	// chain: want 0x and 40 hexadecimal digits
}

// TestMatchLaws: what is found is exactly what a naive reading finds, and no two transfers of a block share an
// identity.
func TestMatchLaws(t *testing.T) {
	address := rapid.Custom(func(t *rapid.T) chain.Address { return chain.Address{rapid.Byte().Draw(t, "a") % 4} })
	rapid.Check(t, func(t *rapid.T) {
		var b chain.Block
		want := 0
		watched := func(a chain.Address) bool { return a[0] < 2 }
		for i := range rapid.IntRange(0, 8).Draw(t, "txs") {
			to := address.Draw(t, "to")
			value := rapid.Int64Range(0, 2).Draw(t, "value")
			b.Txs = append(b.Txs, chain.Tx{Hash: chain.Hash{1, byte(i)}, From: chain.Address{9}, To: &to,
				Value: big.NewInt(value)})
			if value > 0 && watched(to) {
				want++
			}
		}
		for i := range rapid.IntRange(0, 12).Draw(t, "logs") {
			to := address.Draw(t, "to")
			value := rapid.Int64Range(0, 2).Draw(t, "value")
			b.Logs = append(b.Logs, chain.Log{
				TxHash: chain.Hash{2, byte(i / 4)}, LogIndex: i, Contract: address.Draw(t, "token"), To: to,
				Value: big.NewInt(value),
			})
			if value > 0 && watched(to) {
				want++
			}
		}
		got := chain.Match(b, watched)
		if len(got) != want {
			t.Fatalf("found %d transfers, want %d", len(got), want)
		}
		ids := make(map[string]bool)
		for _, tr := range got {
			id := fmt.Sprint(tr.TxHash, tr.Asset, tr.To, tr.Ordinal)
			if ids[id] {
				t.Fatalf("two transfers are %s", id)
			}
			ids[id] = true
		}
	})
}

func TestSystemAddressIsNoToken(t *testing.T) {
	system, err := chain.ParseAddress("0xfffffffffffffffffffffffffffffffffffffffe")
	if err != nil {
		t.Fatal(err)
	}
	b := chain.Block{Logs: []chain.Log{{Contract: system, To: chain.Address{1}, Value: big.NewInt(1)}}}
	if got := chain.Match(b, func(chain.Address) bool { return true }); len(got) != 0 {
		t.Fatalf("EIP-7708 logs were taken for a token: %+v", got)
	}
}
