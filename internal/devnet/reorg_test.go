package devnet_test

import (
	"context"
	"math/big"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

func send(t *testing.T, chain *devnet.Chain, from devnet.Key, to string, wei int64) string {
	t.Helper()
	hash, err := chain.SendNative(t.Context(), from, to, big.NewInt(wei))
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func balance(t *testing.T, chain *devnet.Chain, address string) int64 {
	t.Helper()
	wei, err := chain.NativeBalance(address)
	if err != nil {
		t.Fatal(err)
	}
	return wei.Int64()
}

func TestReorgMinesTransactionsAgain(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	for range 3 {
		mine(t, chain)
	}
	to := freshAddress(t)
	hash := send(t, chain, chain.DemoPayer(), to, 5)
	paid := mine(t, chain)
	before := mine(t, chain)

	done, err := chain.Reorg(2)
	if err != nil {
		t.Fatal(err)
	}
	if done.Depth != 2 || done.OldHead != before || done.Ancestor.Number != paid.Number-1 ||
		done.NewHead.Number != before.Number+1 {
		t.Errorf("reorganised %+v", done)
	}
	if !slices.Equal(done.Remined, []string{hash}) || done.Dropped != nil || done.Returned != nil {
		t.Errorf("reorganised %+v, want %s mined again", done, hash)
	}
	if head := chain.Head(); head != done.NewHead {
		t.Errorf("head %+v, want %+v", head, done.NewHead)
	}
	latest := mustCall[map[string]any](t, chain, "eth_getBlockByNumber", "latest", false)
	if latest["hash"] != done.NewHead.Hash {
		t.Errorf("latest is %v, want %s", latest["hash"], done.NewHead.Hash)
	}
	mined, err := chain.WaitMined(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	if mined.Block.Hash == paid.Hash || mined.Block.Number != paid.Number+1 {
		t.Errorf("mined again in %+v, before in %+v", mined.Block, paid)
	}
	if got := balance(t, chain, to); got != 5 {
		t.Errorf("receiver has %d wei", got)
	}
	// The new branch hangs together and ends within a second of the old one.
	for n := done.Ancestor.Number + 1; n <= done.NewHead.Number; n++ {
		block := mustCall[map[string]any](t, chain, "eth_getBlockByNumber", hexutil.EncodeUint64(n), false)
		parent, _ := chain.Block(n - 1)
		if block["parentHash"] != parent.Hash {
			t.Errorf("block %d has parent %v, want %s", n, block["parentHash"], parent.Hash)
		}
	}
	if lead := done.NewHead.Time.Sub(before.Time); lead > 2*time.Second {
		t.Errorf("the new branch ends %s after the old one", lead)
	}
	if next := mine(t, chain); next.Number != done.NewHead.Number+1 || next.Transactions != 0 {
		t.Errorf("next block %+v", next)
	}
}

func TestReorgDropsTransactions(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	remined, gone, late, token := freshAddress(t), freshAddress(t), freshAddress(t), freshAddress(t)
	mine(t, chain)
	reminedHash := send(t, chain, chain.Payer(), remined, 1)
	goneHash := send(t, chain, chain.DemoPayer(), gone, 2)
	tokenHash, err := chain.SendToken(t.Context(), chain.Deployer(), token, big.NewInt(4))
	if err != nil {
		t.Fatal(err)
	}
	mine(t, chain)
	lateHash := send(t, chain, chain.DemoPayer(), late, 3) // the next nonce of the dropped one's sender
	mine(t, chain)
	poolHash := send(t, chain, chain.Payer(), remined, 10) // still in the pool when the branch is replaced

	done, err := chain.ReorgOut(goneHash)
	if err != nil {
		t.Fatal(err)
	}
	if done.Depth != 2 || !slices.Equal(done.Dropped, []string{goneHash}) ||
		!slices.Equal(done.Returned, []string{lateHash}) {
		t.Errorf("reorganised %+v", done)
	}
	slices.Sort(done.Remined)
	want := []string{reminedHash, tokenHash}
	slices.Sort(want)
	if !slices.Equal(done.Remined, want) {
		t.Errorf("mined again %v, want %v", done.Remined, want)
	}
	if head := mine(t, chain); head.Transactions != 1 {
		t.Errorf("the next block holds %d transactions, want the one that was in the pool", head.Transactions)
	}
	if _, err := chain.WaitMined(within(t, 5*time.Second), poolHash); err != nil {
		t.Error(err)
	}
	if got := balance(t, chain, remined); got != 11 {
		t.Errorf("kept receiver has %d wei", got)
	}
	if got := tokenBalance(t, chain, token).Int64(); got != 4 {
		t.Errorf("token receiver has %d units", got)
	}
	if a, b := balance(t, chain, gone), balance(t, chain, late); a != 0 || b != 0 {
		t.Errorf("receivers of dropped and stranded transactions have %d and %d wei", a, b)
	}
	for _, hash := range []string{goneHash} {
		if tx := mustCall[any](t, chain, "eth_getTransactionByHash", hash); tx != nil {
			t.Errorf("the node still knows the dropped transaction: %v", tx)
		}
	}
	// The sender goes on with the nonce that became free, and the stranded transaction follows.
	again := send(t, chain, chain.DemoPayer(), gone, 20)
	mine(t, chain)
	for _, hash := range []string{again, lateHash} {
		if _, err := chain.WaitMined(within(t, 5*time.Second), hash); err != nil {
			t.Error(err)
		}
	}
	if a, b := balance(t, chain, gone), balance(t, chain, late); a != 20 || b != 3 {
		t.Errorf("receivers have %d and %d wei, want 20 and 3", a, b)
	}
}

// A transaction that spends what a dropped one had brought cannot be mined on the new branch.
func TestReorgReturnsWhatLostItsMoney(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	poor, err := devnet.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	to, other := freshAddress(t), freshAddress(t)
	gift := send(t, chain, chain.DemoPayer(), poor.Address(), 1e18)
	mine(t, chain)
	spent := send(t, chain, poor, to, 1)
	fine := send(t, chain, chain.Payer(), other, 1)
	mine(t, chain)
	done, err := chain.Reorg(2, gift)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done.Returned, []string{spent}) || !slices.Equal(done.Remined, []string{fine}) {
		t.Errorf("reorganised %+v", done)
	}
	if got := balance(t, chain, to) + 10*balance(t, chain, other); got != 10 {
		t.Errorf("balances %d", got)
	}
}

func TestReorgRefuses(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	hash := send(t, chain, chain.DemoPayer(), freshAddress(t), 1)
	mine(t, chain)
	before := mine(t, chain)
	for name, reorg := range map[string]func() (devnet.Reorganised, error){
		"nothing":             func() (devnet.Reorganised, error) { return chain.Reorg(0) },
		"negative":            func() (devnet.Reorganised, error) { return chain.Reorg(-1) },
		"genesis":             func() (devnet.Reorganised, error) { return chain.Reorg(int(before.Number) + 1) },
		"deeper than allowed": func() (devnet.Reorganised, error) { return chain.Reorg(devnet.MaxReorg + 1) },
		"transaction deeper":  func() (devnet.Reorganised, error) { return chain.Reorg(1, hash) },
		"transaction unknown": func() (devnet.Reorganised, error) { return chain.ReorgOut("0x01") },
		"no transaction":      func() (devnet.Reorganised, error) { return chain.ReorgOut() },
	} {
		if done, err := reorg(); err == nil {
			t.Errorf("%s: reorganised %+v", name, done)
		}
	}
	if head := chain.Head(); head != before {
		t.Errorf("a refused reorganisation moved the head from %+v to %+v", before, head)
	}
}

// Payments, the miner and reorganisations at once: the head never steps back, no payment is lost.
func TestReorgBesideMinerAndPayments(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{BlockTime: 20 * time.Millisecond})
	for range 4 {
		mine(t, chain)
	}
	run(t, chain)
	ctx := within(t, 60*time.Second)
	to := freshAddress(t)
	const payments = 60
	var group sync.WaitGroup
	hashes := make(chan string, payments)
	for range payments {
		group.Go(func() {
			hash, err := chain.SendNative(ctx, chain.DemoPayer(), to, big.NewInt(1))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := chain.WaitMined(ctx, hash); err != nil {
				t.Error(err)
			}
			hashes <- hash
		})
	}
	watching, stop := context.WithCancel(ctx)
	watcher := make(chan struct{})
	go func() {
		defer close(watcher)
		var highest hexutil.Uint64
		for watching.Err() == nil {
			var number hexutil.Uint64
			if err := call(chain, &number, "eth_blockNumber"); err != nil {
				t.Error(err)
				return
			}
			if number < highest {
				t.Errorf("the head went back from %d to %d", highest, number)
			}
			highest = max(highest, number)
		}
	}()
	for depth := range 8 {
		if _, err := chain.Reorg(depth%3 + 1); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	if _, err := chain.Reorg(3); err != nil {
		t.Error(err)
	}
	stop()
	<-watcher
	close(hashes)
	for hash := range hashes {
		if _, err := chain.WaitMined(ctx, hash); err != nil {
			t.Error(err)
		}
	}
	if got := balance(t, chain, to); got != payments {
		t.Errorf("receiver has %d wei, want %d", got, payments)
	}
}

// The finalized tag moves every 32 blocks, and a reorganisation across it leaves no tag outside the branch.
func TestTagsStayOnTheBranch(t *testing.T) {
	chain := startChain(t, devnet.ChainOptions{})
	for chain.Head().Number < 34 {
		mine(t, chain)
	}
	done, err := chain.Reorg(5)
	if err != nil {
		t.Fatal(err)
	}
	for tag, number := range map[string]uint64{"finalized": 32, "safe": done.NewHead.Number} {
		block := mustCall[map[string]any](t, chain, "eth_getBlockByNumber", tag, false)
		if want, _ := chain.Block(number); block["hash"] != want.Hash {
			t.Errorf("%s is %v %v, want %d %s", tag, block["number"], block["hash"], number, want.Hash)
		}
	}
}
