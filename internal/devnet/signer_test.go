package devnet_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

// TestSendTransaction: a visitor with nothing but JSON-RPC spends from the payer's account, and from no other.
func TestSendTransaction(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	ctx := within(t, 20*time.Second)
	got := mustCall[[]common.Address](t, chain, "eth_accounts")
	if len(got) != 1 || got[0].Hex() != chain.Payer().Address() {
		t.Fatalf("eth_accounts = %v", got)
	}
	to := freshAddress(t)
	var hashes []string
	for _, one := range []map[string]string{
		{"from": chain.Payer().Address(), "to": to, "value": "0x7"},
		{"from": chain.Payer().Address(), "to": to, "value": "0x1", "gas": "0x5208"},
		{"from": chain.Payer().Address(), "to": chain.Token(), "data": transferOf(to, 5)},
		{"from": chain.Payer().Address(), "to": chain.Token(), "input": transferOf(to, 6)},
	} {
		hashes = append(hashes, mustCall[string](t, chain, "eth_sendTransaction", one))
	}
	mine(t, chain)
	for _, hash := range hashes {
		if _, err := chain.WaitMined(ctx, hash); err != nil {
			t.Error(err)
		}
	}
	if wei, err := chain.NativeBalance(to); err != nil || wei.Int64() != 8 {
		t.Errorf("receiver has %v wei, %v", wei, err)
	}
	if units := tokenBalance(t, chain, to); units.Int64() != 11 {
		t.Errorf("receiver has %s units", units)
	}
	for name, one := range map[string]map[string]string{
		"another account": {"from": chain.DemoPayer().Address(), "to": to, "value": "0x1"},
		"no account":      {"to": to, "value": "0x1"},
		"2^256 wei":       {"from": chain.Payer().Address(), "to": to, "value": "0x1" + strings.Repeat("0", 64)},
		"negative":        {"from": chain.Payer().Address(), "to": to, "value": "-0x1"},
	} {
		var hash string
		if err := call(chain, &hash, "eth_sendTransaction", one); err == nil {
			t.Errorf("%s: sent as %s", name, hash)
		}
	}
}

// transferOf is the call data of transfer(to, units), written out as in docs.
func transferOf(to string, units int64) string {
	receiver := common.LeftPadBytes(common.FromHex(to), 32)
	return "0xa9059cbb" + common.Bytes2Hex(receiver) + common.Bytes2Hex(common.LeftPadBytes(big.NewInt(units).Bytes(), 32))
}
