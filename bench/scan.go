package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/evm"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

const (
	// readers and readAtOnce are how the scanner reads a backlog: so many ranges of so many blocks at the same time.
	readers    = 4
	readAtOnce = 50
	// fastBlock is the time between blocks of a fast chain, and fastPoll how often its head is asked for.
	fastBlock = 250 * time.Millisecond
	fastPoll  = 250 * time.Millisecond
	// scanPatience is how long a run may take.
	scanPatience = 30 * time.Minute
	// smallPatch is how many blocks the older build catches up with.
	smallPatch = 200
	// publicRate is the default of rpc_rate for public providers.
	publicRate = 25
)

// scanRun is `bench scan`.
type scanRun struct {
	t        testkit.TB
	r        *report
	chain    *devnet.Chain
	slow     []string // two providers, as far away as the delay says
	receiver *receiver

	blocks, limited, few, many int
	delay, lasting             time.Duration
	warmUp                     *time.Duration
	other                      string // another tree, and then its binaries
}

func scan(r *report, args []string) func(testkit.TB) {
	h := &scanRun{r: r}
	f, pairs := r.flags(3)
	h.flags(f)
	size := f.Int("raw", 10000, "deliveries of the run that says what raw Asynq and the bare client do a second")
	_ = f.Parse(args) // exits on error
	return func(t testkit.TB) {
		h.t, h.receiver = t, startReceiver(t)
		h.other = buildOther(t, h.other)
		h.begin()
		for pair := range *pairs {
			t.Logf("run %d of %d", pair+1, *pairs)
			h.catchUps()
		}
		if h.limited > 0 {
			r.add("catch_up_at_default_rate_per_s", h.catchUp(gateway.Chain{Rate: publicRate}, h.limited, ""))
		}
		lag := h.follow()
		ratio, memory := h.watched()
		newRaw(t, h.receiver).rates(r, *size, 64, bodySize(t))
		r.baseline("read_per_s")
		r.atLeast("catch-up ÷ a loop that only reads, two providers", r.ratio("catch_up_two_per_s", "read_per_s"), 0.7)
		r.atLeast("catch-up ÷ a loop that only reads, one provider", r.ratio("catch_up_per_s", "read_per_s"), 0.5)
		if h.other != "" {
			r.atLeast("catch-up ÷ the other build, one provider", r.ratio("catch_up_per_s", "other_per_s"), 30)
			r.atLeast("catch-up ÷ the other build, two providers", r.ratio("catch_up_two_per_s", "other_two_per_s"), 30)
		}
		r.atMost("most blocks behind fast blocks", lag, 3)
		most := float64((fastPoll + 100*time.Millisecond + 3*h.delay).Milliseconds())
		r.atMost("block to webhook, p99 in ms", r.median("block_to_webhook_p99_ms"), most)
		r.atMost("a block with many watched addresses ÷ with few", ratio, 1.2)
		r.atMost("memory of the many, in MiB", memory, 150)
	}
}

func (h *scanRun) flags(f *flag.FlagSet) {
	f.IntVar(&h.blocks, "blocks", 2000, "blocks of a backlog")
	f.IntVar(&h.limited, "limited", 200, "blocks of the backlog that is read at the default rpc_rate")
	f.DurationVar(&h.delay, "delay", 80*time.Millisecond, "how long each request to a provider takes")
	f.DurationVar(&h.lasting, "lasting", 10*time.Minute, "how long fast blocks are followed")
	f.IntVar(&h.few, "few", 1000, "watched addresses, few")
	f.IntVar(&h.many, "many", 1_000_000, "watched addresses, many")
	f.StringVar(&h.other, "against", "", "a worktree of another commit, whose binaries are built and measured in turn")
	h.warmUp = warmUpFlag(f)
}

// buildOther builds the programs of another tree and returns where they are; "" for none.
func buildOther(t testkit.TB, tree string) string {
	t.Helper()
	if tree == "" {
		return ""
	}
	dir := t.TempDir()
	build := testkit.Go(t.Context(), "build", "-ldflags=-s -w", "-o", dir+string(filepath.Separator),
		"./cmd/api", "./cmd/worker", "./cmd/scanner", "./cmd/ctripctl")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build of %s: %v\n%s", tree, err, out)
	}
	return dir
}

// begin makes a chain with a transfer of a token in every block, and two providers before it.
func (h *scanRun) begin() {
	t := h.t
	c, err := devnet.StartChain(devnet.ChainOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	h.chain = c
	for range h.blocks + 10 {
		h.mine("0x00000000000000000000000000000000000000aa", 1)
	}
	for range 2 {
		h.slow = append(h.slow, distant(t, c.URL(), h.delay))
	}
}

// mine mines a block with a transfer of the token.
func (h *scanRun) mine(to string, units int64) {
	_, err := h.chain.SendToken(h.t.Context(), h.chain.DemoPayer(), to, big.NewInt(units))
	must(h.t, err)
	_, err = h.chain.Mine()
	must(h.t, err)
}

// catchUps measures the loop, both builds and both numbers of providers, in turn.
func (h *scanRun) catchUps() {
	h.r.add("read_per_s", h.read())
	h.r.add("catch_up_per_s", h.catchUp(gateway.Chain{}, h.blocks, ""))
	h.r.add("catch_up_two_per_s", h.catchUp(gateway.Chain{Spare: h.slow[1:]}, h.blocks, ""))
	if h.other != "" {
		h.r.add("other_per_s", h.catchUp(gateway.Chain{}, min(h.blocks, smallPatch), h.other))
		h.r.add("other_two_per_s", h.catchUp(gateway.Chain{Spare: h.slow[1:]}, min(h.blocks, smallPatch), h.other))
	}
}

// read is how many blocks a second are fetched and decoded, with the calls and the parallelism of the scanner, by a
// loop that does nothing else.
func (h *scanRun) read() float64 {
	t := h.t
	pool, err := evm.New(evm.Options{Name: "geth", ChainID: devnet.ChainID, URLs: h.slow[:1], Depth: 64,
		Tokens: []string{strings.ToLower(h.chain.Token())}, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer pool.Close()
	head := h.chain.Head().Number
	first := head - uint64(h.blocks) + 1
	start := time.Now()
	var next sync.Mutex
	from := first
	inParallel(t, readers, readers, func(int) error {
		for {
			next.Lock()
			mine := from
			from += readAtOnce
			next.Unlock()
			if mine > head {
				return nil
			}
			if _, err := pool.Blocks(t.Context(), mine, min(mine+readAtOnce-1, head)); err != nil {
				return err
			}
		}
	})
	return float64(h.blocks) / time.Since(start).Seconds()
}

// catchUp is how many blocks of a backlog a scanner records a second.
func (h *scanRun) catchUp(c gateway.Chain, blocks int, programs string) float64 {
	t := h.t
	head := h.chain.Head().Number
	c.Name, c.RPC, c.ChainID, c.Token = "geth", h.slow[0], devnet.ChainID, strings.ToLower(h.chain.Token())
	c.StartBlock = head - uint64(blocks) + 1
	g := gateway.New(t, gateway.Options{Chain: c, Programs: programs})
	defer g.StopAll()
	g.Start("scanner")
	begun := h.waitRecorded(g, c.StartBlock)
	start := time.Now()
	begun = head - begun
	h.waitRecorded(g, head)
	return float64(begun) / time.Since(start).Seconds()
}

// waitRecorded waits until a block is recorded, the first one or a later one, and returns which.
func (h *scanRun) waitRecorded(g *gateway.Gateway, number uint64) (recorded uint64) {
	for deadline := time.Now().Add(scanPatience); ; time.Sleep(5 * time.Millisecond) {
		err := g.DB.QueryRowContext(h.t.Context(), "SELECT number FROM chain_cursors").Scan(&recorded)
		if err == nil && recorded >= number {
			return recorded
		}
		if time.Now().After(deadline) || h.t.Context().Err() != nil {
			h.t.Fatal(fmt.Sprintf("block %d is not recorded: %d, %v", number, recorded, err))
		}
	}
}

// until waits, or not when the bench ends.
func until(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
