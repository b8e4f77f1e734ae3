package evm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/evm"
)

// Facts of the small chain that cannedNode tells of: block 5 holds one payment in coin and one in a token.
const (
	shopAddress  = "0x00000000000000000000000000000000000000aa"
	buyerAddress = "0x00000000000000000000000000000000000000bb"
	tokenAddress = "0x00000000000000000000000000000000000000ee"
)

func hashText(n int) string { return fmt.Sprintf("0x%064x", n) }

func exampleHash(n int) chain.Hash {
	h, err := chain.ParseHash(hashText(n))
	if err != nil {
		panic(err)
	}
	return h
}

// cannedNode answers JSON-RPC out of a table of results by method, whatever the parameters are. A nil change leaves the
// table as it is.
func cannedNode(change map[string]string) *httptest.Server {
	topics := `["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0x000000000000000000000000` +
		buyerAddress[2:] + `","0x000000000000000000000000` + shopAddress[2:] + `"]`
	log := `{"address":"` + tokenAddress + `","topics":` + topics + `,"data":"` + hashText(9) + `","blockHash":"` +
		hashText(5) + `","transactionHash":"` + hashText(0x72) + `","logIndex":"0x0","removed":false}`
	coin := `{"hash":"` + hashText(0x71) + `","blockHash":"` + hashText(5) + `","from":"` + buyerAddress + `","to":"` +
		shopAddress + `","value":"0x7"}`
	call := `{"hash":"` + hashText(0x72) + `","from":"` + buyerAddress + `","to":"` + tokenAddress + `","value":"0x0"}`
	table := map[string]string{
		"eth_chainId": `"0x1"`,
		"eth_getBlockByNumber": `{"number":"0x5","hash":"` + hashText(5) + `","parentHash":"` + hashText(4) +
			`","timestamp":"0x65f00000","logsBloom":"0x` + strings.Repeat("ff", 256) + `","transactions":[` + coin + `,` + call +
			`]}`,
		"eth_getLogs": `[` + log + `]`,
		"eth_getTransactionReceipt": `{"transactionHash":"` + hashText(0x71) + `","blockHash":"` + hashText(5) +
			`","blockNumber":"0x5","status":"0x1","logs":[]}`,
		"eth_getTransactionByHash": coin,
		"eth_getTransactionCount":  `"0x0"`,
		"eth_getBalance":           `"0x7"`,
		"eth_call":                 `"` + hashText(6) + `"`,
	}
	for method, result := range change {
		table[method] = result
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answer := func(ask message) message {
			if result := table[ask.Method]; strings.HasPrefix(result, `{"code"`) {
				return message{Version: "2.0", ID: ask.ID, Error: json.RawMessage(result)}
			}
			return message{Version: "2.0", ID: ask.ID, Result: json.RawMessage(table[ask.Method])}
		}
		w.Header().Set("Content-Type", "application/json")
		var batch []message
		if json.Unmarshal(body, &batch) == nil {
			for i := range batch {
				batch[i] = answer(batch[i])
			}
			json.NewEncoder(w).Encode(batch)
			return
		}
		var single message
		if json.Unmarshal(body, &single) == nil {
			json.NewEncoder(w).Encode(answer(single))
		}
	}))
}

// examplePool is a pool of the given nodes, in this order of preference.
func examplePool(tag string, nodes ...*httptest.Server) *evm.Pool {
	o := evm.Options{
		Name: "example", ChainID: 1, Tag: tag, Depth: 3, Tokens: []string{tokenAddress},
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for _, n := range nodes {
		o.URLs = append(o.URLs, n.URL)
	}
	pool, err := evm.New(o)
	if err != nil {
		panic(err)
	}
	return pool
}

// A block comes from the first provider whose answer fits together. Here the first one is of another chain.
func ExamplePool_Block() {
	wrong, right := cannedNode(map[string]string{"eth_chainId": `"0x2"`}), cannedNode(nil)
	defer wrong.Close()
	defer right.Close()
	pool := examplePool("", wrong, right)
	defer pool.Close()

	block, err := pool.Block(context.Background(), 5)
	for _, t := range chain.Match(block, func(a chain.Address) bool { return a.Hex() == shopAddress }) {
		fmt.Println(t.Value, t.Asset, t.NeedsReceipt, err)
	}
	// Output:
	// 7 native true <nil>
	// 9 0x00000000000000000000000000000000000000ee false <nil>
}

func ExamplePool_Head() {
	node := cannedNode(nil)
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()

	head, err := pool.Head(context.Background())
	fmt.Println(head.Number, head.Time.Format(time.RFC3339), err)
	// Output: 5 2024-03-12T07:10:56Z <nil>
}

// The tag of the node decides, and the depth only where every provider rejects the tag as unsupported.
func ExamplePool_Final() {
	node := cannedNode(nil)
	defer node.Close()
	old := cannedNode(map[string]string{"eth_getBlockByNumber": `{"code":-32602,"message":"unsupported tag"}`})
	defer old.Close()

	for _, node := range []*httptest.Server{node, old} {
		pool := examplePool("finalized", node)
		fmt.Println(pool.Final(context.Background(), 100))
		pool.Close()
	}
	// Output:
	// 5 <nil>
	// 98 <nil>
}

// With two providers a block counts only when both have it.
func ExamplePool_Agree() {
	one, two := cannedNode(nil), cannedNode(nil)
	defer one.Close()
	defer two.Close()
	pool := examplePool("", one, two)
	defer pool.Close()

	fmt.Println(pool.Agree(context.Background(), chain.Ref{Number: 5, Hash: exampleHash(5)}))
	err := pool.Agree(context.Background(), chain.Ref{Number: 5, Hash: exampleHash(6)})
	fmt.Println(strings.Count(err.Error(), "it has "+hashText(5)))
	// Output:
	// <nil>
	// 2
}

// A transaction that failed is in its block all the same; its receipt tells.
func ExamplePool_Succeeded() {
	failed := cannedNode(map[string]string{
		"eth_getTransactionReceipt": `{"transactionHash":"` + hashText(0x71) + `","blockHash":"` + hashText(5) + `","status":"0x0"}`,
	})
	defer failed.Close()
	pool := examplePool("", failed)
	defer pool.Close()

	fmt.Println(pool.Succeeded(context.Background(), exampleHash(5), exampleHash(0x71)))
	// Output: false <nil>
}

func ExamplePool_Receipt() {
	node := cannedNode(nil)
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()

	r, err := pool.Receipt(context.Background(), exampleHash(0x71))
	fmt.Println(r.Block.Number, r.OK, r.From, r.To, r.Value, err)
	// Output: 5 true 0x00000000000000000000000000000000000000bb 0x00000000000000000000000000000000000000aa 7 <nil>
}

func ExamplePool_Used() {
	node := cannedNode(nil)
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()

	fmt.Println(pool.Used(context.Background(), []string{shopAddress}))
	// Output: map[0x00000000000000000000000000000000000000aa:true] <nil>
}

func ExamplePool_Decimals() {
	node := cannedNode(nil)
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()

	fmt.Println(pool.Decimals(context.Background(), tokenAddress))
	// Output: 6 <nil>
}

// Balances are those after the block that is named: a provider that has another block there is not believed.
func ExamplePool_Balances() {
	node := cannedNode(nil)
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()
	shop, err := chain.ParseAddress(shopAddress)
	if err != nil {
		panic(err)
	}

	at := chain.Ref{Number: 5, Hash: exampleHash(5)}
	fmt.Println(pool.Balances(context.Background(), at, chain.Native, []chain.Address{shop}))
	at.Hash = exampleHash(6)
	_, err = pool.Balances(context.Background(), at, chain.Native, []chain.Address{shop})
	fmt.Println(strings.Contains(err.Error(), "the answer contradicts itself"))
	// Output:
	// [7] <nil>
	// true
}

func ExamplePool_ChainIDs() {
	node := cannedNode(map[string]string{"eth_chainId": `"0x2"`})
	defer node.Close()
	pool := examplePool("", node)
	defer pool.Close()

	for _, err := range pool.ChainIDs(context.Background()) {
		fmt.Println(err)
	}
	// Output: the provider serves another chain: chain id 2, want 1
}
