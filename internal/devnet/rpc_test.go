package devnet_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/trie"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

type object = map[string]any

func keysOf(o object) string { return strings.Join(slices.Sorted(maps.Keys(o)), " ") }

// The names of the fields that geth's own node answers for a block, a transaction and a receipt of today's fork.
const (
	blockFields = "baseFeePerGas blobGasUsed difficulty excessBlobGas extraData gasLimit gasUsed hash logsBloom miner " +
		"mixHash nonce number parentBeaconBlockRoot parentHash receiptsRoot requestsHash sha3Uncles size stateRoot " +
		"timestamp transactions transactionsRoot uncles withdrawals withdrawalsRoot"
	transactionFields = "accessList blockHash blockNumber blockTimestamp chainId from gas gasPrice hash input " +
		"maxFeePerGas maxPriorityFeePerGas nonce r s to transactionIndex type v value yParity"
	legacyFields = "blockHash blockNumber blockTimestamp chainId from gas gasPrice hash input nonce r s " +
		"to transactionIndex type v value"
	receiptFields = "blockHash blockNumber contractAddress cumulativeGasUsed effectiveGasPrice from gasUsed logs " +
		"logsBloom status to transactionHash transactionIndex type"
	logFields = "address blockHash blockNumber blockTimestamp data logIndex removed topics transactionHash " +
		"transactionIndex"
)

// TestRPCAnswersLikeGeth holds the answers against what geth's node answers, field by field.
func TestRPCAnswersLikeGeth(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	to := freshAddress(t)
	hash, err := chain.SendToken(t.Context(), chain.DemoPayer(), to, big.NewInt(5))
	if err != nil {
		t.Fatal(err)
	}
	pending := mustCall[object](t, chain, "eth_getTransactionByHash", hash)
	if keysOf(pending) != transactionFields || pending["blockHash"] != nil || pending["transactionIndex"] != nil {
		t.Errorf("pending transaction %v", pending)
	}
	head := mine(t, chain)

	block := mustCall[object](t, chain, "eth_getBlockByNumber", hexutil.EncodeUint64(head.Number), true)
	if keysOf(block) != blockFields || block["hash"] != head.Hash || block["difficulty"] != "0x0" ||
		block["nonce"] != "0x0000000000000000" {
		t.Errorf("block %v", block)
	}
	inBlock, ok := block["transactions"].([]any)[0].(object)
	if !ok || keysOf(inBlock) != transactionFields {
		t.Errorf("transaction in block %v", inBlock)
	}
	byHash := mustCall[object](t, chain, "eth_getTransactionByHash", hash)
	if byHash["hash"] != hash || byHash["from"] != strings.ToLower(chain.DemoPayer().Address()) ||
		byHash["to"] != strings.ToLower(chain.Token()) || byHash["blockHash"] != head.Hash || byHash["type"] != "0x2" {
		t.Errorf("transaction %v", byHash)
	}
	short := mustCall[object](t, chain, "eth_getBlockByHash", head.Hash, false)
	if got := short["transactions"].([]any); keysOf(short) != blockFields || len(got) != 1 || got[0] != hash {
		t.Errorf("block without transactions %v", short)
	}
	receipt := mustCall[object](t, chain, "eth_getTransactionReceipt", hash)
	if keysOf(receipt) != receiptFields || receipt["contractAddress"] != nil || receipt["status"] != "0x1" ||
		receipt["effectiveGasPrice"] != byHash["gasPrice"] {
		t.Errorf("receipt %v", receipt)
	}
	if log, ok := receipt["logs"].([]any)[0].(object); !ok || keysOf(log) != logFields || log["transactionHash"] != hash {
		t.Errorf("log %v", log)
	}
	for _, by := range []any{head.Hash, hexutil.EncodeUint64(head.Number), "latest", object{"blockHash": head.Hash}} {
		receipts := mustCall[[]object](t, chain, "eth_getBlockReceipts", by)
		if len(receipts) != 1 || keysOf(receipts[0]) != receiptFields || receipts[0]["transactionHash"] != hash {
			t.Errorf("receipts of %v: %v", by, receipts)
		}
	}
	creation := mustCall[[]object](t, chain, "eth_getBlockReceipts", "0x1")[0]
	if creation["contractAddress"] != strings.ToLower(chain.Token()) || creation["to"] != nil {
		t.Errorf("receipt of a creation %v", creation)
	}
	if gas := mustCall[[]object](t, chain, "eth_getBlockReceipts", "earliest"); len(gas) != 0 {
		t.Errorf("receipts of genesis %v", gas)
	}
	empty := mine(t, chain)
	receipts := mustCall[[]object](t, chain, "eth_getBlockReceipts", empty.Hash)
	if receipts == nil || len(receipts) != 0 {
		t.Errorf("receipts of an empty block %v", receipts)
	}
}

// TestLegacyTransaction: wallets that know no fee market are served too.
func TestLegacyTransaction(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	to := common.HexToAddress(freshAddress(t))
	hash := mustCall[string](t, chain, "eth_sendRawTransaction", raw(t, chain.DemoPayer(), &types.LegacyTx{
		GasPrice: big.NewInt(2e9), Gas: 21_000, To: &to, Value: big.NewInt(3)}))
	mine(t, chain)
	tx := mustCall[object](t, chain, "eth_getTransactionByHash", hash)
	if keysOf(tx) != legacyFields || tx["gasPrice"] != "0x77359400" || tx["type"] != "0x0" || tx["chainId"] != "0x539" {
		t.Errorf("transaction %v", tx)
	}
}

// raw signs with a key that the test holds and encodes, as a wallet does.
func raw(t *testing.T, key devnet.Key, data types.TxData) hexutil.Bytes {
	t.Helper()
	return rawFor(t, types.LatestSignerForChainID(big.NewInt(devnet.ChainID)), key, data)
}

func rawFor(t *testing.T, signer types.Signer, key devnet.Key, data types.TxData) hexutil.Bytes {
	t.Helper()
	private, err := crypto.HexToECDSA(key.Hex()[2:])
	if err != nil {
		t.Fatal(err)
	}
	tx, err := types.SignNewTx(private, signer, data)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// TestStateOfABlock reads balances, nonces and code at the head, at older blocks and at blocks that are no more.
func TestStateOfABlock(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	to := freshAddress(t)
	before := mine(t, chain)
	send(t, chain, chain.DemoPayer(), to, 7)
	paid := mine(t, chain)
	mine(t, chain)
	balanceAt := func(by any) (string, error) {
		var wei string
		err := call(chain, &wei, "eth_getBalance", to, by)
		return wei, err
	}
	for _, c := range []struct {
		by   any
		want string
	}{
		{"latest", "0x7"}, {"safe", "0x7"}, {"pending", "0x7"}, {"earliest", "0x0"}, {"finalized", "0x0"},
		{hexutil.EncodeUint64(before.Number), "0x0"}, {hexutil.EncodeUint64(paid.Number), "0x7"},
		{object{"blockHash": before.Hash}, "0x0"}, {object{"blockHash": paid.Hash, "requireCanonical": true}, "0x7"},
		{object{"blockNumber": hexutil.EncodeUint64(paid.Number)}, "0x7"},
	} {
		if got, err := balanceAt(c.by); err != nil || got != c.want {
			t.Errorf("balance at %v = %s, %v, want %s", c.by, got, err, c.want)
		}
	}
	payer := chain.DemoPayer().Address()
	nonce := mustCall[string](t, chain, "eth_getTransactionCount", payer, object{"blockHash": before.Hash})
	after := mustCall[string](t, chain, "eth_getTransactionCount", payer, "latest")
	if nonce != "0x0" || after != "0x1" {
		t.Errorf("nonce %s before and %s after one payment", nonce, after)
	}
	if code := mustCall[string](t, chain, "eth_getCode", chain.Token(), "latest"); len(code) < 100 {
		t.Errorf("code of the token is %s", code)
	}
	if code := mustCall[string](t, chain, "eth_getCode", chain.Token(), "earliest"); code != "0x" {
		t.Errorf("code of the token before it was made is %s", code)
	}
	if word := mustCall[string](t, chain, "eth_getStorageAt", chain.Token(), "0x0", "latest"); len(word) != 66 {
		t.Errorf("storage slot 0 is %s", word)
	}

	if _, err := chain.Reorg(2); err != nil {
		t.Fatal(err)
	}
	if got, err := balanceAt(object{"blockHash": paid.Hash}); err != nil || got != "0x7" {
		t.Errorf("balance at a replaced block = %s, %v", got, err)
	}
	for _, by := range []any{
		object{"blockHash": paid.Hash, "requireCanonical": true}, object{"blockHash": common.Hash{1}.Hex()}, "0xffffff",
	} {
		if got, err := balanceAt(by); err == nil {
			t.Errorf("balance at %v = %s, want an error", by, got)
		}
	}
	for _, c := range []struct {
		method string
		params []any
	}{
		{"eth_getBlockByNumber", []any{"0xffffff", false}}, {"eth_getBlockByHash", []any{common.Hash{1}.Hex(), true}},
		{"eth_getBlockReceipts", []any{common.Hash{1}.Hex()}}, {"eth_getBlockReceipts", []any{"0xffffff"}},
		{"eth_getTransactionReceipt", []any{common.Hash{1}.Hex()}}, {"eth_getTransactionByHash", []any{common.Hash{1}.Hex()}},
	} {
		if got := mustCall[any](t, chain, c.method, c.params...); got != nil {
			t.Errorf("%s%v = %v, want null", c.method, c.params, got)
		}
	}
}

// TestCallsAndFees asks what a wallet asks before it signs.
func TestCallsAndFees(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	to := freshAddress(t)
	payer := chain.DemoPayer().Address()
	transfer := object{"from": payer, "to": to, "value": "0x1"}
	if gas := mustCall[string](t, chain, "eth_estimateGas", transfer); gas != "0x5208" {
		t.Errorf("a transfer costs %s gas", gas)
	}
	transfer = object{"from": payer, "to": chain.Token(), "data": transferOf(to, 5)}
	gas := mustCall[hexutil.Uint64](t, chain, "eth_estimateGas", transfer, "latest")
	if gas < 30_000 || gas > 100_000 {
		t.Errorf("a token transfer costs %d gas", gas)
	}
	tip := mustCall[*hexutil.Big](t, chain, "eth_maxPriorityFeePerGas").ToInt()
	price := mustCall[*hexutil.Big](t, chain, "eth_gasPrice").ToInt()
	if tip.Sign() <= 0 || price.Cmp(tip) <= 0 {
		t.Errorf("tip %s, price %s", tip, price)
	}
	history := mustCall[object](t, chain, "eth_feeHistory", "0x2", "latest", []int{25, 75})
	if keysOf(history) != "baseFeePerBlobGas baseFeePerGas blobGasUsedRatio gasUsedRatio oldestBlock reward" ||
		len(history["baseFeePerGas"].([]any)) != 3 || len(history["reward"].([]any)) != 2 {
		t.Errorf("fee history %v", history)
	}
	broke := object{"from": to, "to": chain.Token(), "data": transferOf(payer, 5)}
	for method, params := range map[string][]any{"eth_call": {broke, "latest"}, "eth_estimateGas": {broke}} {
		var result any
		err := call(chain, &result, method, params...)
		var answer *rpcError
		if !errors.As(err, &answer) || answer.Code != 3 || !strings.HasPrefix(answer.Message, "execution reverted") ||
			!strings.HasPrefix(answer.Data, "0x") {
			t.Errorf("%s of a transfer without tokens: %v, want code 3", method, err)
		}
	}
	if none := mustCall[string](t, chain, "eth_call", object{"to": to}, "latest"); none != "0x" {
		t.Errorf("a call of an account without code returned %s", none)
	}
	var result any
	if err := call(chain, &result, "eth_call", object{"from": to, "to": payer, "value": "0x1"}, "latest"); err == nil {
		t.Error("a call with money that its sender has not was carried out")
	}
}

// TestLogQueries asks for logs by range and by block, in every form that a filter has.
func TestLogQueries(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	one, two := freshAddress(t), freshAddress(t)
	pay := func(to string) devnet.Head {
		if _, err := chain.SendToken(t.Context(), chain.DemoPayer(), to, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
		return mine(t, chain)
	}
	first := pay(one)
	mine(t, chain)
	last := pay(two)
	topic := func(address string) string { return common.BytesToHash(common.FromHex(address)).Hex() }
	sender := topic(chain.DemoPayer().Address())
	number := func(head devnet.Head, more uint64) string { return hexutil.EncodeUint64(head.Number + more) }
	for name, c := range map[string]struct {
		filter object
		want   int
	}{
		"latest by default":      {object{}, 1},
		"whole chain":            {object{"fromBlock": "earliest", "topics": []any{transferTopic, sender}}, 2},
		"range":                  {object{"fromBlock": number(first, 0), "toBlock": number(first, 1)}, 1},
		"to latest":              {object{"fromBlock": number(first, 0), "toBlock": "latest"}, 2},
		"block":                  {object{"blockHash": last.Hash}, 1},
		"addresses":              {object{"blockHash": last.Hash, "address": []any{one, chain.Token()}}, 1},
		"another address":        {object{"blockHash": last.Hash, "address": one}, 0},
		"receiver":               {object{"fromBlock": "0x0", "topics": []any{nil, nil, topic(two)}}, 1},
		"receivers":              {object{"fromBlock": "0x0", "topics": []any{nil, nil, []any{topic(one), topic(two)}}}, 2},
		"anything or a receiver": {object{"blockHash": last.Hash, "topics": []any{nil, nil, []any{topic(one), nil}}}, 1},
		"more topics than given": {object{"blockHash": last.Hash, "topics": []any{transferTopic, nil, nil, nil}}, 0},
	} {
		if logs := mustCall[[]object](t, chain, "eth_getLogs", c.filter); logs == nil || len(logs) != c.want {
			t.Errorf("%s: %d logs, want %d: %v", name, len(logs), c.want, logs)
		}
	}
	many := make([]any, 1001)
	for i := range many {
		many[i] = transferTopic
	}
	for name, filter := range map[string]object{
		"block and range":  {"blockHash": last.Hash, "fromBlock": "0x0"},
		"unknown block":    {"blockHash": common.Hash{1}.Hex()},
		"upside down":      {"fromBlock": "0x2", "toBlock": "0x1"},
		"into the future":  {"fromBlock": "0x0", "toBlock": "0xffff"},
		"pending":          {"fromBlock": "pending", "toBlock": "pending"},
		"bad address":      {"address": "0x12"},
		"address a number": {"address": 12},
		"bad topic":        {"topics": []any{"0x12"}},
		"five topics":      {"topics": []any{nil, nil, nil, nil, nil}},
		"1001 topics":      {"topics": []any{many}},
	} {
		var logs []object
		if err := call(chain, &logs, "eth_getLogs", filter); err == nil {
			t.Errorf("%s: answered %v", name, logs)
		}
	}
}

// TestTransactionsRefused: what geth's pool refuses is refused here.
func TestTransactionsRefused(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	to := common.HexToAddress(freshAddress(t))
	chainID := big.NewInt(devnet.ChainID)
	tx := func(change func(*types.DynamicFeeTx)) hexutil.Bytes {
		inner := &types.DynamicFeeTx{
			ChainID: chainID, Nonce: 1, Gas: 21_000, To: &to, Value: big.NewInt(1),
			GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(5e9),
		}
		change(inner)
		return raw(t, chain.DemoPayer(), inner)
	}
	send(t, chain, chain.DemoPayer(), to.Hex(), 1)
	mine(t, chain)
	known := tx(func(*types.DynamicFeeTx) {})
	mustCall[string](t, chain, "eth_sendRawTransaction", known)
	poor, err := devnet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	expensive := new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil)
	otherChain := rawFor(t, types.LatestSignerForChainID(big.NewInt(1)), chain.DemoPayer(), &types.DynamicFeeTx{
		ChainID: big.NewInt(1), Nonce: 2, Gas: 21_000, To: &to, GasFeeCap: big.NewInt(5e9), GasTipCap: big.NewInt(1),
	})
	anyChain := rawFor(t, types.HomesteadSigner{}, chain.DemoPayer(), &types.LegacyTx{
		Nonce: 2, Gas: 21_000, To: &to, GasPrice: big.NewInt(5e9),
	})
	withoutFunds := raw(t, poor, &types.DynamicFeeTx{
		ChainID: chainID, Gas: 21_000, To: &to, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(5e9),
	})
	change := func(f func(*types.DynamicFeeTx)) hexutil.Bytes {
		return tx(func(x *types.DynamicFeeTx) { x.Nonce = 2; f(x) })
	}
	for name, c := range map[string]struct {
		raw  hexutil.Bytes
		says string
	}{
		"not a transaction": {hexutil.Bytes{0xff}, ""},
		"nonce used":        {tx(func(x *types.DynamicFeeTx) { x.Nonce = 0 }), "nonce too low"},
		"known":             {known, "already known"},
		"cheap replacement": {tx(func(x *types.DynamicFeeTx) { x.Value = big.NewInt(2) }), "replacement"},
		"little gas":        {change(func(x *types.DynamicFeeTx) { x.Gas = 20_000 }), "intrinsic gas too low"},
		"much gas":          {change(func(x *types.DynamicFeeTx) { x.Gas = 1e9 }), "gas"},
		"tip above fee":     {change(func(x *types.DynamicFeeTx) { x.GasTipCap = big.NewInt(9e9) }), "max priority fee"},
		"another chain":     {otherChain, "invalid sender"},
		"any chain":         {anyChain, "replay-protected"},
		"without funds":     {withoutFunds, "insufficient funds"},
		"beyond funds":      {change(func(x *types.DynamicFeeTx) { x.Value = expensive }), "insufficient funds"},
	} {
		var hash string
		if err := call(chain, &hash, "eth_sendRawTransaction", c.raw); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %s, %v, want %q", name, hash, err, c.says)
		}
	}
	// A replacement that pays more takes the place of the first, and a later nonce waits for the one before it.
	replaced := mustCall[string](t, chain, "eth_sendRawTransaction", tx(func(x *types.DynamicFeeTx) {
		x.Value, x.GasTipCap, x.GasFeeCap = big.NewInt(40), big.NewInt(2e9), big.NewInt(10e9)
	}))
	gapped := mustCall[string](t, chain, "eth_sendRawTransaction", tx(func(x *types.DynamicFeeTx) { x.Nonce = 3 }))
	next := mustCall[string](t, chain, "eth_getTransactionCount", chain.DemoPayer().Address(), "pending")
	if next != "0x2" {
		t.Errorf("pending nonce %s, want 0x2", next)
	}
	if head := mine(t, chain); head.Transactions != 1 {
		t.Errorf("%d transactions mined, want the replacement alone", head.Transactions)
	}
	filler := mustCall[string](t, chain, "eth_sendRawTransaction", tx(func(x *types.DynamicFeeTx) { x.Nonce = 2 }))
	if head := mine(t, chain); head.Transactions != 2 {
		t.Errorf("%d transactions mined, want both", head.Transactions)
	}
	for _, hash := range []string{replaced, filler, gapped} {
		if _, err := chain.WaitMined(within(t, 5*time.Second), hash); err != nil {
			t.Error(err)
		}
	}
	if got := balance(t, chain, to.Hex()); got != 1+40+1+1 {
		t.Errorf("receiver has %d wei", got)
	}
}

// TestContractsPay: money that a contract sends on, and the balance of one that destroys itself, arrive like any other.
func TestContractsPay(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	deploy := func(runtime string) string {
		code := common.FromHex(runtime)
		// CODECOPY of what follows these eleven bytes, and RETURN of it.
		creation := append([]byte{0x60, byte(len(code)), 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3}, code...)
		hash := mustCall[string](t, chain, "eth_sendTransaction", object{
			"from": chain.Payer().Address(), "data": hexutil.Bytes(creation),
		})
		mine(t, chain)
		receipt := mustCall[object](t, chain, "eth_getTransactionReceipt", hash)
		address, ok := receipt["contractAddress"].(string)
		if !ok || receipt["status"] != "0x1" {
			t.Fatalf("deployed %v", receipt)
		}
		if got := mustCall[string](t, chain, "eth_getCode", address, "latest"); got != "0x"+runtime {
			t.Fatalf("code %s, want %s", got, runtime)
		}
		return address
	}
	receiver, heir := freshAddress(t), freshAddress(t)
	plain := func(address string) string { return strings.ToLower(address[2:]) }
	forwarder := deploy("6000600060006000" + "34" + "73" + plain(receiver) + "5af100") // CALL(gas, receiver, callvalue)
	mortal := deploy("73" + plain(heir) + "ff")                                        // SELFDESTRUCT(heir)
	var hashes []string
	for _, contract := range []string{forwarder, mortal} {
		hashes = append(hashes, mustCall[string](t, chain, "eth_sendTransaction", object{
			"from": chain.Payer().Address(), "to": contract, "value": "0x9",
		}))
	}
	mine(t, chain)
	for _, hash := range hashes {
		if _, err := chain.WaitMined(within(t, 5*time.Second), hash); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := balance(t, chain, receiver), balance(t, chain, heir); a != 9 || b != 9 {
		t.Errorf("contracts paid %d and %d wei, want 9 each", a, b)
	}
}

// TestHeadersCommitToTheirBlock: the roots of a header are those of its transactions and receipts, so that a proof can
// be made and checked, and its hash is that of its fields.
func TestHeadersCommitToTheirBlock(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	send(t, chain, chain.Payer(), freshAddress(t), 1)
	if _, err := chain.SendToken(t.Context(), chain.DemoPayer(), freshAddress(t), big.NewInt(1)); err != nil {
		t.Fatal(err)
	}
	head := mine(t, chain)
	header := mustCall[*types.Header](t, chain, "eth_getBlockByHash", head.Hash, true)
	if header.Hash().Hex() != head.Hash {
		t.Errorf("the fields hash to %s, want %s", header.Hash(), head.Hash)
	}
	body := mustCall[struct{ Transactions types.Transactions }](t, chain, "eth_getBlockByHash", head.Hash, true)
	receipts := mustCall[types.Receipts](t, chain, "eth_getBlockReceipts", head.Hash)
	if len(receipts) != 2 || len(body.Transactions) != 2 {
		t.Fatalf("%d transactions, %d receipts", len(body.Transactions), len(receipts))
	}
	if got := types.DeriveSha(body.Transactions, trie.NewListHasher()); got != header.TxHash {
		t.Errorf("transactions root %s, header says %s", got, header.TxHash)
	}
	if got := types.DeriveSha(receipts, trie.NewListHasher()); got != header.ReceiptHash {
		t.Errorf("receipts root %s, header says %s", got, header.ReceiptHash)
	}
}

// TestBatch sends several requests in one body, as the gateway does.
func TestBatch(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	body := `[{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]},` +
		`{"jsonrpc":"2.0","id":2,"method":"eth_none","params":[]}]`
	answer, err := client.Post(chain.URL(), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var answers []struct {
		ID     int
		Result string
		Error  *rpcError
	}
	if err := json.NewDecoder(answer.Body).Decode(&answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 2 || answers[0].Result != "0x539" || answers[1].Error == nil || answers[1].Error.Code != -32601 {
		t.Errorf("answers %+v", answers)
	}
}
