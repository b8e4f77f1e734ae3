package evm

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// fixture is a real block in testdata/blocks: what a hash or a root covers, and nothing that follows from something
// else (filters of receipts, the block that a receipt is in). A log is its address, topics and data.
type fixture struct {
	Name         string
	Chain        string
	Number       string
	Hash         *common.Hash
	Header       map[string]any
	Transactions []json.RawMessage
	Receipts     []map[string]any
}

func readFixture(t testing.TB, name string) (f fixture) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "blocks", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// block and receipts are what a node answers.
func (f fixture) block(t testing.TB) json.RawMessage {
	t.Helper()
	doc := map[string]any{"transactions": f.Transactions}
	for k, v := range f.Header {
		doc[k] = v
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (f fixture) receipts(t testing.TB) (out []fullReceipt) {
	t.Helper()
	all := []map[string]any{}
	for _, r := range f.Receipts {
		doc, logs := map[string]any{"blockHash": f.Hash}, []map[string]any{}
		for k, v := range r {
			doc[k] = v
		}
		for _, l := range r["logs"].([]any) {
			parts := l.([]any)
			logs = append(logs, map[string]any{"address": parts[0], "topics": parts[1], "data": parts[2]})
		}
		doc["logs"] = logs
		all = append(all, doc)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	yes  = "proven"
	no   = "unknown encoding" // the encoding is not known, which is no contradiction
	bad  = "contradicts"
	none = "" // there is nothing to hold against anything
)

func outcome(err error) string {
	switch {
	case err == nil:
		return yes
	case errors.Is(err, ErrInconsistent):
		return bad
	}
	return no
}

// blockTable says what verifies on which chain, measured on real blocks.
var blockTable = []struct{ name, header, txs, receipts string }{
	{"arbitrum-150000000", yes, yes, yes},
	{"arbitrum-classic-18413839", yes, no, bad},
	{"arbitrum-classic-19000174", yes, yes, bad},
	{"arbitrum-sepolia-185232421", yes, yes, yes},
	{"base-goerli-1041847", yes, yes, yes},
	{"bsc-23188712-header", yes, none, none},
	{"bsc-testnet-11832497", no, no, none}, // its source has cut the filter
	{"celo-19042560-header", yes, none, none},
	{"ethereum-1000000", yes, yes, yes},
	{"ethereum-13998626", yes, yes, yes},
	{"ethereum-18500000", yes, yes, yes},
	{"ethereum-21925176-hashes", yes, none, yes},
	{"ethereum-dencun-devnet-122987", yes, yes, yes},
	{"gnosis-10000000", yes, yes, none},
	{"gnosis-20000000", yes, yes, none},
	{"gnosis-29000000", yes, yes, none},
	{"gnosis-30000000", yes, yes, none},
	{"gnosis-35000000", yes, yes, none},
	{"gnosis-40000000", yes, yes, none},
	{"hyperliquid-50000", yes, yes, yes},
	{"op-goerli-5003318", yes, yes, yes},
	{"op-mainnet-154497277", yes, yes, yes},
	{"op-mainnet-prebedrock-14930491", yes, yes, yes},
	{"op-sepolia-4089330", yes, yes, yes},
	{"polygon-23887160", yes, yes, yes},
	{"polygon-38102393", yes, yes, yes},
	{"polygon-9013760", yes, yes, yes},
	{"polygon-mumbai-135808-statesync", yes, yes, yes}, // without the entry for state sync
	{"polygon-mumbai-147648-statesync", yes, yes, yes},
	{"polygon-mumbai-20062432", yes, yes, yes},
}

// TestRealBlocks: headers, transactions and receipts of real blocks hash to what their chains say, by the encoding of
// each family of chains; and nothing is proven once anything in the block is changed.
func TestRealBlocks(t *testing.T) {
	for _, row := range blockTable {
		t.Run(row.name, func(t *testing.T) {
			f := readFixture(t, row.name)
			c := f.content(t)
			if got := outcome(c.headerErr); got != row.header || c.ref.Hash != [32]byte(*f.Hash) {
				t.Errorf("header %s, want %s: %v", got, row.header, c.headerErr)
			}
			if c.checkTxs(); row.txs != none && outcome(c.txsErr) != row.txs {
				t.Errorf("transactions %s, want %s: %v", outcome(c.txsErr), row.txs, c.txsErr)
			}
			if c.checkReceipts(f.receipts(t)); row.receipts != none && outcome(c.receiptsErr) != row.receipts {
				t.Errorf("receipts %s, want %s: %v", outcome(c.receiptsErr), row.receipts, c.receiptsErr)
			}
			otherRoot := row.name == "op-mainnet-154497277" // the OP stack keeps another root in this place
			if row.header == yes && outcome(c.withdrawalsErr) != yes && !otherRoot {
				t.Errorf("withdrawals: %v", c.withdrawalsErr)
			}
			if row.txs == yes && row.receipts == yes {
				spoilBlock(t, f)
			}
		})
	}
}

// TestEveryFixtureIsTried: no file lies about that no test holds to something.
func TestEveryFixtureIsTried(t *testing.T) {
	tried := map[string]bool{
		"celo-36520387-tx": true, "op-mainnet-127446283-tx": true, "zksync-62060016-receipt": true,
	}
	for _, row := range blockTable {
		tried[row.name] = true
	}
	files, err := filepath.Glob(filepath.Join("testdata", "blocks", "*.json.gz"))
	if err != nil || len(files) != len(tried) {
		t.Errorf("%d files for %d rows, %v", len(files), len(tried), err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".json.gz"); !tried[name] {
			t.Errorf("%s is in no table", name)
		}
	}
}

// content reads the block; transactions of which only the hashes are known stand as they are.
func (f fixture) content(t testing.TB) *content {
	t.Helper()
	for i, tx := range f.Transactions {
		if bytes.HasPrefix(tx, []byte(`"`)) {
			f.Transactions[i] = json.RawMessage(`{"hash":` + string(tx) + `,"type":"0x50"}`)
		}
	}
	c, err := contentOf(f.block(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// spoilBlock changes one thing at a time: what a header, a transaction or a receipt says, how many there are, and
// their order.
func spoilBlock(t *testing.T, f fixture) {
	t.Helper()
	proven := func(f fixture, receipts []fullReceipt) error {
		c, err := contentOf(f.block(t))
		if err != nil {
			return err
		}
		c.checkTxs()
		c.checkReceipts(receipts)
		return c.proven()
	}
	spoil := func(what string, change func(f *fixture, receipts *[]fullReceipt)) {
		t.Helper()
		changed, receipts := readFixture(t, f.Name), f.receipts(t)
		change(&changed, &receipts)
		if proven(changed, receipts) == nil {
			t.Errorf("%s: it is proven all the same", what)
		}
	}
	if err := proven(f, f.receipts(t)); err != nil {
		t.Fatal(err)
	}
	for field, v := range f.Header {
		text, ok := v.(string)
		if !ok || field == "auraStep" || field == "auraSeal" || len(text) < 3 {
			continue
		}
		spoil("header "+field, func(f *fixture, _ *[]fullReceipt) { f.Header[field] = nextDigit(text) })
	}
	if f.Header["gasUsed"] == "0x0" || len(f.Receipts) == 0 || strings.Contains(f.Name, "statesync") {
		return
	}
	last := len(f.Transactions) - 1
	spoil("without a transaction", func(f *fixture, _ *[]fullReceipt) { f.Transactions = f.Transactions[:last] })
	spoil("without a receipt", func(_ *fixture, rs *[]fullReceipt) { *rs = (*rs)[:last] })
	for _, field := range []string{"to", "value", "input", "nonce", "gas"} {
		var tx map[string]any
		if err := json.Unmarshal(f.Transactions[last], &tx); err != nil {
			t.Fatal(err)
		}
		text, ok := tx[field].(string)
		if !ok || len(text) < 3 || tx["type"] == "0x6a" || field == "nonce" && tx["type"] == "0x7e" {
			continue
		}
		tx[field] = nextDigit(text)
		spoil("a transaction's "+field, func(f *fixture, _ *[]fullReceipt) { f.Transactions[last], _ = json.Marshal(tx) })
	}
	spoil("a receipt's outcome", func(_ *fixture, rs *[]fullReceipt) {
		r := &(*rs)[last]
		if flip := quantity(1); r.Status == nil {
			(*r.Root)[0] ^= 1
		} else {
			flip -= *r.Status
			r.Status = &flip
		}
	})
	spoil("a log more", func(_ *fixture, rs *[]fullReceipt) {
		var l wireLog
		l.Address.v, l.Topics.v, l.Data.v = &common.Address{}, &[]common.Hash{}, &hexutil.Bytes{}
		(*rs)[last].Logs = append((*rs)[last].Logs, l)
	})
	for i, r := range f.receipts(t) {
		if len(r.Logs) == 0 {
			continue
		}
		spoil("without a log", func(_ *fixture, rs *[]fullReceipt) { (*rs)[i].Logs = (*rs)[i].Logs[1:] })
		if len(*r.Logs[0].Data.v) > 0 {
			spoil("a log's data", func(_ *fixture, rs *[]fullReceipt) { (*(*rs)[i].Logs[0].Data.v)[0] ^= 1 })
		}
		return
	}
}

// nextDigit changes the last hexadecimal digit.
func nextDigit(text string) string {
	digit := byte('1')
	if text[len(text)-1] == '1' {
		digit = '2'
	}
	return text[:len(text)-1] + string(digit)
}

// TestRealTransactions: transactions of types whose blocks we do not have hash to their hashes.
func TestRealTransactions(t *testing.T) {
	for _, name := range []string{"celo-36520387-tx", "op-mainnet-127446283-tx"} {
		var tx fullTx
		if err := json.Unmarshal(readFixture(t, name).Transactions[0], &tx); err != nil {
			t.Fatal(err)
		}
		if raw, err := tx.encode(); err != nil || raw[0] != byte(tx.Type) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReceiptThatNobodyEncodes: a receipt of zkSync is read and not encoded, which is no contradiction.
func TestReceiptThatNobodyEncodes(t *testing.T) {
	f := readFixture(t, "zksync-62060016-receipt")
	r := f.receipts(t)[0]
	if _, err := r.encode(); !errors.Is(err, errNoEncoding) || len(r.Logs) != 83 {
		t.Errorf("%d logs, %v", len(r.Logs), err)
	}
}

// TestBytesOfAnUnknownType: a transaction of a type that nobody knows counts by the bytes that the node gives of it,
// and by no others; what the block says of a known one must stand in them.
func TestBytesOfAnUnknownType(t *testing.T) {
	f := readFixture(t, "arbitrum-150000000")
	c := f.content(t)
	raw := c.txs[0].raw
	text := strings.Replace(string(f.Transactions[0]), `"type":"0x6a"`, `"type":"0x55"`, 1)
	f.Transactions[0] = json.RawMessage(text)
	for name, given := range map[string][]byte{"none": nil, "others": {0x55, 0xc0}, "its own": raw} {
		c := f.content(t)
		if n := len(c.unknown()); n != 1 {
			t.Fatalf("%d are unknown", n)
		}
		c.know([][]byte{given})
		c.checkTxs()
		if (c.txsErr == nil) != (name == "its own") {
			t.Errorf("with the bytes: %s: %v", name, c.txsErr)
		}
	}
	var tx map[string]any
	last := len(f.Transactions) - 1
	if err := json.Unmarshal(f.Transactions[last], &tx); err != nil {
		t.Fatal(err)
	}
	honest := f.content(t).txs[last].raw
	tx["to"] = "0x00000000000000000000000000000000000000aa"
	f.Transactions[last], _ = json.Marshal(tx)
	c = f.content(t)
	c.know([][]byte{raw, honest})
	if c.checkTxs(); outcome(c.txsErr) != bad {
		t.Errorf("a recipient that is not in the bytes: %v", c.txsErr)
	}
}

// TestCoinThatNoHashCovers: the first transaction of an Arbitrum block, and one whose bytes nobody here reads, may be
// given another recipient and value under the same hash: what they pay is not proven. That of others is.
func TestCoinThatNoHashCovers(t *testing.T) {
	victim, value := common.HexToAddress("0xbb"), big.NewInt(5e9)
	for _, kind := range []string{"0x6a", "0x55"} {
		f := readFixture(t, "arbitrum-150000000")
		raw := f.content(t).txs[0].raw
		var first map[string]any
		if err := json.Unmarshal(f.Transactions[0], &first); err != nil {
			t.Fatal(err)
		}
		first["to"], first["value"], first["type"] = victim.Hex(), hexutil.EncodeBig(value), kind
		f.Transactions[0], _ = json.Marshal(first)
		p := &Pool{opts: Options{Name: "chain", ChainID: 42161}, emitter: emitterOf(42161)}
		c := f.content(t)
		c.know([][]byte{raw})
		c.checkTxs()
		c.checkReceipts(f.receipts(t))
		if err := c.proven(); err != nil {
			t.Fatal(err)
		}
		claims := []chain.Claim{{Transfer: chain.Transfer{TxHash: chain.Hash(*c.txs[0].Hash), Asset: chain.Native,
			To: chain.Address(victim), Value: value, Source: chain.FromTransaction, LogIndex: -1}}}
		for _, claim := range claimsIn(p, c) {
			if claim.Asset == chain.Native && claim.TxHash != claims[0].TxHash {
				claims = append(claims, claim)
			}
		}
		findings, err := p.findings(c, claims)
		if err != nil || findings[0] != chain.CannotTell || len(findings) < 2 {
			t.Fatalf("type %s: %v, %v", kind, findings, err)
		}
		for i, finding := range findings[1:] {
			if finding != chain.Holds {
				t.Errorf("%+v: %v", claims[i+1], finding)
			}
		}
	}
}

// TestPaths: the nodes on the way to each value prove it, by the root.
func TestPaths(t *testing.T) {
	f := readFixture(t, "ethereum-18500000")
	c := f.content(t)
	c.checkTxs()
	for i := range c.rawTxs {
		p, err := pathTo(c.rawTxs, i)
		if err != nil || len(p) == 0 || crypto.Keccak256Hash(p[0]) != *c.full.Transactions {
			t.Fatalf("%d: %d nodes, %v", i, len(p), err)
		}
		if !bytes.Contains(p[len(p)-1], c.rawTxs[i]) {
			t.Fatalf("%d: the last node does not hold the value", i)
		}
	}
	if rootOf(nil) != types.EmptyRootHash {
		t.Error("the root of nothing")
	}
}
