package test

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
)

// standbyPromise is within which time another scanner leads when the one that led is silent.
const standbyPromise = 10 * time.Second

// TestAStalledScannerIsReplaced: of two scanners the one that leads is stopped for longer than its lease lasts. The
// other one takes over in time. The first one, when it goes on, writes nothing and tells nothing of the chain.
func TestAStalledScannerIsReplaced(t *testing.T) {
	c := startDevnet(t)
	h := gateway.New(t, gateway.Options{Chain: gethNode(c, 2), DatabaseURL: testkit.Postgres(t)})
	h.Start("scanner")
	h.WaitScanned()
	h.Start("scanner-2")
	h.WaitReady("scanner", "scanner-2")
	record := func() (holder string, fence, number int64) {
		t.Helper()
		err := h.DB.QueryRow("SELECT l.holder, l.fence, c.number FROM chain_leases l JOIN chain_cursors c USING (chain_id)").
			Scan(&holder, &fence, &number)
		if err != nil {
			t.Fatal(err)
		}
		return holder, fence, number
	}
	first, fence, _ := record()
	if !shows(t, h, "scanner", "ctrip_chain_head_block") || shows(t, h, "scanner-2", "ctrip_chain_head_block") {
		t.Error("the gauges of the chain are not those of its leader alone")
	}

	h.Signal("scanner", syscall.SIGSTOP)
	stopped := time.Now()
	testkit.Eventually(t, time.Minute, "the other scanner leads", func() bool {
		holder, now, _ := record()
		return holder != first && now > fence
	})
	_, _, was := record()
	testkit.Eventually(t, time.Minute, "it records blocks", func() bool { _, _, n := record(); return n > was })
	if took := time.Since(stopped); took > standbyPromise+busy {
		t.Errorf("the standby took over after %s", took)
	}

	before := lines(t, h.LogFile("scanner"))
	h.Signal("scanner", syscall.SIGCONT)
	testkit.Eventually(t, time.Minute, "the first scanner sees that it was replaced", func() bool {
		return !shows(t, h, "scanner", "ctrip_chain_head_block")
	})
	_, _, was = record()
	testkit.Eventually(t, time.Minute, "the second one goes on", func() bool { _, _, n := record(); return n > was+2 })
	if holder, now, _ := record(); holder == first || now != fence+1 {
		t.Errorf("%s leads with fence %d", holder, now)
	}
	if after := lines(t, h.LogFile("scanner")); bytes.Contains(after[len(before):], []byte(`"block.scanned"`)) {
		t.Errorf("the scanner that was replaced wrote a block:\n%s", after[len(before):])
	}
	if !shows(t, h, "scanner-2", "ctrip_chain_head_block") {
		t.Error("the new leader has no gauges")
	}
}

// busy is what a machine that has other work may add.
const busy = 5 * time.Second

func lines(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// shows reports whether a process has a metric of the chain.
func shows(t *testing.T, h *gateway.Gateway, process, metric string) bool {
	t.Helper()
	res, err := h.Client.Get(h.OpsURL(process) + "/metrics")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("\n"+metric+"{"))
}
