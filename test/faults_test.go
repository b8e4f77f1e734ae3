package test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// TestKillNine kills each process in turn at a random moment, 50 times, while 200 payments are made and paid. Then
// every payment is confirmed, every event was received, and none has two ids. SEED repeats a run.
func TestKillNine(t *testing.T) {
	const payments, kills = 200, 50
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2))
	h.receiver.Script(func(testkit.Received) testkit.Answer { return testkit.Answer{Delay: 20 * time.Millisecond} })
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	var creating atomic.Int32
	ids := make([]string, payments)
	var wg sync.WaitGroup
	wg.Go(func() {
		var some sync.WaitGroup
		for i := range payments {
			some.Go(func() {
				creating.Add(1)
				p := h.create(ctx, fmt.Sprintf("kill-%d", i), "native", "1000")
				creating.Add(-1)
				ids[i] = p.ID
				if _, err := c.SendNative(ctx, c.DemoPayer(), p.Address, big.NewInt(1000)); err != nil {
					t.Error(err)
				}
			})
			time.Sleep(250 * time.Millisecond)
		}
		some.Wait()
	})
	inFlight := 0
	for i := range kills {
		time.Sleep(time.Duration(200+random.IntN(900)) * time.Millisecond)
		victim := []string{"api", "worker", "scanner"}[i%3]
		deadline := time.Now().Add(500 * time.Millisecond)
		busy := h.busy(victim, &creating)
		for !busy && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
			busy = h.busy(victim, &creating)
		}
		h.Kill(victim)
		h.Restart(victim)
		if busy {
			inFlight++
		}
	}
	t.Logf("%d kills, %d of them hit work in flight", kills, inFlight)
	if inFlight < 30 {
		t.Errorf("only %d of %d kills hit work in flight", inFlight, kills)
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("the payments were not made in time")
	}
	testkit.Eventually(t, 90*time.Second, "every payment is confirmed", func() bool {
		var n int
		err := h.DB.QueryRow("SELECT count(*) FROM payments WHERE status = 'confirmed'").Scan(&n)
		return err == nil && n == payments
	})
	testkit.Eventually(t, 150*time.Second, "every delivery is delivered", func() bool {
		var n int
		err := h.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
	h.holdsEverything()
}

// busy tells from outside whether a process has work in flight: requests that wait for the API, deliveries that wait
// for the worker, payments that were paid and wait for the scanner.
func (h *fixture) busy(victim string, creating *atomic.Int32) bool {
	h.t.Helper()
	query := map[string]string{
		"worker":  "SELECT count(*) FROM deliveries WHERE state = 'pending'",
		"scanner": "SELECT count(*) FROM payments WHERE status IN ('pending', 'detected')",
	}[victim]
	if query == "" {
		return creating.Load() > 0
	}
	var n int
	if err := h.DB.QueryRow(query).Scan(&n); err != nil {
		h.t.Error(err)
	}
	return n > 0
}

// TestFlushAll throws Redis away while a thousand deliveries are pending: all arrive.
func TestFlushAll(t *testing.T) {
	const payments = 1000
	c := startDevnet(t)
	h := newFixture(t, gethNode(c, 2), "MAX_OPEN_PAYMENTS=2000")
	// The receiver is away until the flush, so that every first try fails and every delivery waits.
	h.receiver.Down()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < payments; i += 8 {
				h.create(t.Context(), fmt.Sprintf("flush-%d", i), "native", "1000")
			}
		})
	}
	wg.Wait()
	var pending int
	if err := h.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state = 'pending'").Scan(&pending); err != nil ||
		pending < payments {
		t.Fatalf("%d deliveries are pending, %v", pending, err)
	}
	h.Redis.Flush(t)
	h.receiver.Up(t)
	start := time.Now()
	testkit.Eventually(t, 120*time.Second, "every delivery is delivered", func() bool {
		var n int
		err := h.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
	t.Logf("%d deliveries arrived within %s of FLUSHALL", pending, time.Since(start).Round(time.Millisecond))
	h.holdsEverything()
}
