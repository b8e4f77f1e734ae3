package devnet_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"go.uber.org/goleak"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

// transferTopic is the hash of Transfer(address,address,uint256), as every ERC-20 indexer knows it.
const transferTopic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"

// outlivingClose lists what is known to go on after Close: one pool of workers a process, and one that ends within a
// second.
func outlivingClose() []goleak.Option {
	return []goleak.Option{
		// geth's global signature workers
		goleak.IgnoreAnyFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"),
		// an answer given before the request was read
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"),
	}
}

func startChain(t *testing.T, o devnet.ChainOptions) *devnet.Chain {
	t.Helper()
	known := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, append(outlivingClose(), known)...) })
	chain, err := devnet.StartChain(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chain.Close(); err != nil {
			t.Error(err)
		}
	})
	return chain
}

// run mines in the background until the test ends.
func run(t *testing.T, chain *devnet.Chain) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- chain.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// call speaks JSON-RPC with nothing but net/http, as curl would.
func call(chain *devnet.Chain, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Post(chain.URL(), "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var envelope struct {
		Result json.RawMessage
		Error  *rpcError
	}
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil {
		return err
	}
	if envelope.Error != nil {
		return envelope.Error
	}
	return json.Unmarshal(envelope.Result, result)
}

func mustCall[T any](t *testing.T, chain *devnet.Chain, method string, params ...any) T {
	t.Helper()
	var result T
	if err := call(chain, &result, method, params...); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return result
}

func mine(t *testing.T, chain *devnet.Chain) devnet.Head {
	t.Helper()
	head, err := chain.Mine()
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func freshAddress(t testing.TB) string {
	t.Helper()
	key, err := devnet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.Address()
}

// tokenBalance asks the contract by eth_call, with call data packed by hand.
func tokenBalance(t *testing.T, chain *devnet.Chain, address string) *big.Int {
	t.Helper()
	data := "0x70a08231" + strings.Repeat("0", 24) + strings.ToLower(address[2:])
	word := mustCall[hexutil.Bytes](t, chain, "eth_call", map[string]string{"to": chain.Token(), "data": data}, "latest")
	return new(big.Int).SetBytes(word)
}

func TestChainAnswersJSONRPC(t *testing.T) {
	began := time.Now()
	chain := startChain(t, devnet.ChainOptions{Addr: "127.0.0.1:0"})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("start took %s", took)
	}
	if got := mustCall[string](t, chain, "eth_chainId"); got != "0x539" {
		t.Errorf("eth_chainId = %s, want 1337", got)
	}
	if got := mustCall[string](t, chain, "net_version"); got != "1337" {
		t.Errorf("net_version = %s", got)
	}
	if got := mustCall[string](t, chain, "web3_clientVersion"); !strings.Contains(got, "devnet") {
		t.Errorf("web3_clientVersion = %s", got)
	}
	if got := mustCall[common.Hash](t, chain, "web3_sha3", "0x"); got != types.EmptyCodeHash {
		t.Errorf("web3_sha3 = %s", got)
	}
	if got := mustCall[any](t, chain, "eth_syncing"); got != false {
		t.Errorf("eth_syncing = %v", got)
	}

	thousandEther := new(big.Int).Exp(big.NewInt(10), big.NewInt(21), nil)
	septillion := new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil)
	for name, key := range map[string]devnet.Key{
		"payer": chain.Payer(), "demo payer": chain.DemoPayer(), "deployer": chain.Deployer(),
	} {
		wei := mustCall[*hexutil.Big](t, chain, "eth_getBalance", key.Address(), "latest").ToInt()
		if wei.Cmp(thousandEther) < 0 {
			t.Errorf("%s has %s wei", name, wei)
		}
		if own, err := chain.NativeBalance(key.Address()); err != nil || own.Cmp(wei) != 0 {
			t.Errorf("NativeBalance(%s) = %s, %v, want %s", name, own, err, wei)
		}
		if units := tokenBalance(t, chain, key.Address()); units.Cmp(septillion) < 0 {
			t.Errorf("%s has %s base units", name, units)
		}
	}
	eth := func(selector string) hexutil.Bytes {
		call := map[string]string{"to": chain.Token(), "data": selector}
		return mustCall[hexutil.Bytes](t, chain, "eth_call", call, "latest")
	}
	if decimals := new(big.Int).SetBytes(eth("0x313ce567")); decimals.Int64() != devnet.TokenDecimals {
		t.Errorf("decimals = %s", decimals)
	}
	if symbol := eth("0x95d89b41"); !bytes.Contains(symbol, []byte(devnet.TokenSymbol)) {
		t.Errorf("symbol = %x", symbol)
	}
}

func TestChainHidesWhatIsNotForVisitors(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	for _, method := range []string{
		"admin_nodeInfo", "debug_setHead", "miner_setGasPrice", "txpool_content", "engine_newPayloadV4",
	} {
		var result any
		err := call(chain, &result, method)
		var answer *rpcError
		if !errors.As(err, &answer) || answer.Code != -32601 {
			t.Errorf("%s: %v, want method not found", method, err)
		}
	}
	// A page of another origin may send a form-like POST without asking; it must get nothing.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for contentType, status := range map[string]int{
		"text/plain": http.StatusUnsupportedMediaType, "application/json": http.StatusOK,
	} {
		body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}`)
		request, err := http.NewRequest(http.MethodPost, chain.URL(), body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", contentType)
		request.Header.Set("Origin", "https://evil.example")
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != status || answer.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: status %d, CORS %q", contentType, answer.StatusCode, answer.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	waiting := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 20 * time.Second}}
	request, err := http.NewRequest(http.MethodPost, chain.URL(), strings.NewReader(strings.Repeat(" ", 6<<20)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Expect", "100-continue")
	large, err := waiting.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	large.Body.Close()
	if large.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("6 MiB body: status %d", large.StatusCode)
	}
}

func TestLogQueryLimitIsGeths(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	addresses := make([]common.Address, 1001)
	var logs []any
	filter := map[string]any{"fromBlock": "0x0", "toBlock": "latest", "address": addresses}
	if err := call(chain, &logs, "eth_getLogs", filter); err == nil {
		t.Error("1001 addresses in a log query were accepted, geth refuses them")
	}
}

func TestBlockTimeFollowsTheWallClock(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	run(t, chain)
	heads := make(map[uint64]time.Duration)
	deadline := time.Now().Add(20 * time.Second)
	for len(heads) < 4 && time.Now().Before(deadline) {
		head := chain.Head()
		if _, seen := heads[head.Number]; head.Number > 1 && !seen {
			heads[head.Number] = time.Since(head.Time)
		}
		time.Sleep(5 * time.Millisecond) // polling, to learn when a block appears
	}
	if len(heads) < 4 {
		t.Fatalf("%d blocks in 20 s", len(heads))
	}
	for number, age := range heads {
		if age < -time.Second || age > 2*time.Second {
			t.Errorf("block %d appeared %s after its timestamp", number, age)
		}
	}
	previous, _ := chain.Block(0)
	for number := uint64(1); number <= chain.Head().Number; number++ {
		block, ok := chain.Block(number)
		if !ok || !block.Time.After(previous.Time) {
			t.Errorf("block %d: %v, %s after %s", number, ok, block.Time, previous.Time)
		}
		previous = block
	}
	if _, ok := chain.Block(1 << 40); ok {
		t.Error("a block of the far future exists")
	}
}

func TestStartChainRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, o := range map[string]devnet.ChainOptions{
		"address in use":    {Addr: taken.Addr().String()},
		"bad address":       {Addr: "nowhere"},
		"block time long":   {BlockTime: 2 * time.Second},
		"block time short":  {BlockTime: time.Millisecond},
		"block time absurd": {BlockTime: -time.Second},
	} {
		if chain, err := devnet.StartChain(o); err == nil {
			t.Errorf("%s: started on %s", name, chain.URL())
			chain.Close()
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{}) // its cleanup looks for goroutines left behind
	second := startChain(t, devnet.ChainOptions{})
	if chain.URL() == second.URL() || chain.Payer() == second.Payer() {
		t.Error("two chains share what should be their own")
	}
	url := chain.URL()
	for range 2 {
		if err := chain.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		connection.Close()
		t.Error("the port still answers after Close")
	}
}
