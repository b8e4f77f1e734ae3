package devnet_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

func TestPayments(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	ctx := within(t, 20*time.Second)

	t.Run("native", func(t *testing.T) {
		to, amount := freshAddress(t), big.NewInt(123_456_789)
		hash, err := chain.SendNative(ctx, chain.DemoPayer(), to, amount)
		if err != nil {
			t.Fatal(err)
		}
		head := mine(t, chain)
		mined, err := chain.WaitMined(ctx, hash)
		if err != nil {
			t.Fatal(err)
		}
		if mined.TxHash != hash || mined.Block != head {
			t.Errorf("mined %+v, want %s in %+v", mined, hash, head)
		}
		if got := mustCall[*hexutil.Big](t, chain, "eth_getBalance", to, "latest").ToInt(); got.Cmp(amount) != 0 {
			t.Errorf("receiver has %s wei, want %s", got, amount)
		}
		receipt := mustCall[map[string]any](t, chain, "eth_getTransactionReceipt", hash)
		if receipt["status"] != "0x1" || receipt["blockHash"] != head.Hash {
			t.Errorf("receipt %v", receipt)
		}
	})
	t.Run("token", func(t *testing.T) {
		to, amount := freshAddress(t), new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil)
		hash, err := chain.SendToken(ctx, chain.DemoPayer(), to, amount)
		if err != nil {
			t.Fatal(err)
		}
		head := mine(t, chain)
		if _, err := chain.WaitMined(ctx, hash); err != nil {
			t.Fatal(err)
		}
		if got := tokenBalance(t, chain, to); got.Cmp(amount) != 0 {
			t.Errorf("receiver has %s units, want %s", got, amount)
		}
		logs := mustCall[[]types.Log](t, chain, "eth_getLogs", map[string]any{
			"blockHash": head.Hash, "address": chain.Token(),
			"topics": []any{transferTopic, nil, common.BytesToHash(common.FromHex(to))},
		})
		if len(logs) != 1 || logs[0].TxHash.Hex() != hash || new(big.Int).SetBytes(logs[0].Data).Cmp(amount) != 0 {
			t.Errorf("logs %+v", logs)
		}
	})
	t.Run("token without funds reverts", func(t *testing.T) {
		poor, err := devnet.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := chain.SendNative(ctx, chain.DemoPayer(), poor.Address(), big.NewInt(1e18)); err != nil {
			t.Fatal(err)
		}
		mine(t, chain)
		hash, err := chain.SendToken(ctx, poor, freshAddress(t), big.NewInt(1))
		if err != nil {
			t.Fatal(err)
		}
		mine(t, chain)
		if mined, err := chain.WaitMined(ctx, hash); !errors.Is(err, devnet.ErrReverted) || !mined.Reverted {
			t.Errorf("WaitMined = %+v, %v, want ErrReverted", mined, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		poor, err := devnet.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		huge := new(big.Int).Lsh(big.NewInt(1), 256)
		for name, send := range map[string]func() (string, error){
			"bad address": func() (string, error) { return chain.SendNative(ctx, chain.DemoPayer(), "0x12", big.NewInt(1)) },
			"no key":      func() (string, error) { return chain.SendNative(ctx, devnet.Key{}, poor.Address(), big.NewInt(1)) },
			"negative": func() (string, error) {
				return chain.SendNative(ctx, chain.DemoPayer(), poor.Address(), big.NewInt(-1))
			},
			"2^256 wei":     func() (string, error) { return chain.SendNative(ctx, chain.DemoPayer(), poor.Address(), huge) },
			"2^256 units":   func() (string, error) { return chain.SendToken(ctx, chain.DemoPayer(), poor.Address(), huge) },
			"without funds": func() (string, error) { return chain.SendNative(ctx, poor, poor.Address(), big.NewInt(1)) },
		} {
			if hash, err := send(); err == nil {
				t.Errorf("%s: sent as %s", name, hash)
			}
		}
	})
	t.Run("waiting ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := chain.WaitMined(ctx, common.Hash{1}.Hex()); !errors.Is(err, context.Canceled) {
			t.Errorf("WaitMined = %v", err)
		}
	})
}

// A visitor's script: it signs by itself and knows nothing but the URL and the payer's key.
func TestRawTransactionIsMinedWithinBlockTime(t *testing.T) {
	for _, blockTime := range []time.Duration{0, 100 * time.Millisecond} {
		t.Run(fmt.Sprint("block time ", blockTime), func(t *testing.T) {
			chain := startChain(t, devnet.ChainOptions{BlockTime: blockTime})
			run(t, chain)
			private, err := crypto.HexToECDSA(chain.Payer().Hex()[2:])
			if err != nil {
				t.Fatal(err)
			}
			if crypto.PubkeyToAddress(private.PublicKey).Hex() != chain.Payer().Address() {
				t.Fatal("the key does not belong to the address")
			}
			nonce := mustCall[hexutil.Uint64](t, chain, "eth_getTransactionCount", chain.Payer().Address(), "pending")
			to := common.HexToAddress(freshAddress(t))
			tx, err := types.SignNewTx(private, types.NewEIP155Signer(big.NewInt(devnet.ChainID)), &types.LegacyTx{
				Nonce: uint64(nonce), GasPrice: mustCall[*hexutil.Big](t, chain, "eth_gasPrice").ToInt(),
				Gas: 21_000, To: &to, Value: big.NewInt(7),
			})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := tx.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			sent := time.Now()
			hash := mustCall[string](t, chain, "eth_sendRawTransaction", hexutil.Bytes(raw))
			if _, err := chain.WaitMined(within(t, 20*time.Second), hash); err != nil {
				t.Fatal(err)
			}
			// A block time, and generous room for a busy machine.
			if took := time.Since(sent); took > devnet.DefaultBlockTime+2*time.Second {
				t.Errorf("mined after %s", took)
			}
		})
	}
}

func TestConcurrentSendsAreAllMined(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{BlockTime: 50 * time.Millisecond})
	run(t, chain)
	ctx := within(t, 60*time.Second)
	keys := []devnet.Key{chain.Payer(), chain.DemoPayer(), chain.Deployer()}
	to := freshAddress(t)
	const each = 100
	var group sync.WaitGroup
	for i := range each {
		for _, send := range []func(context.Context, devnet.Key, string, *big.Int) (string, error){
			chain.SendNative, chain.SendToken,
		} {
			group.Go(func() {
				hash, err := send(ctx, keys[i%len(keys)], to, big.NewInt(1))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := chain.WaitMined(ctx, hash); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if wei, err := chain.NativeBalance(to); err != nil || wei.Int64() != each {
		t.Errorf("receiver has %s wei, %v, want %d", wei, err, each)
	}
	if units := tokenBalance(t, chain, to); units.Int64() != each {
		t.Errorf("receiver has %s units, want %d", units, each)
	}
}
