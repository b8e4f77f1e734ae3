package scanner

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// listen has the scanner write its log, and its metrics, where a test can read them.
func (h *harness) listen(t *testing.T) (logged *bytes.Buffer, metrics func() string) {
	t.Helper()
	logged = new(bytes.Buffer)
	h.log = slog.New(slog.NewTextHandler(logged, nil))
	m := telemetry.NewMetrics()
	h.metrics = m
	return logged, func() string {
		t.Helper()
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
}

// TestAHeadThatStandsStillIsTold: a chain without a new head for a minute, or for ten blocks' time where those take
// longer, is told by log and metric, and told again a minute later and not before.
func TestAHeadThatStandsStillIsTold(t *testing.T) {
	for blockTime, limit := range map[time.Duration]time.Duration{
		time.Second: time.Minute, 12 * time.Second: 2 * time.Minute,
	} {
		c := newMemoryChain(1)
		now := genesis
		cfg := memoryConfig(305, 1)
		cfg.BlockTime = blockTime
		h := newHarness(t, storetest.SQLite(t), cfg, c, func() time.Time { return now })
		logged, metrics := h.listen(t)
		look := func(after time.Duration) int {
			t.Helper()
			now = now.Add(after)
			h.catchUp(t)
			h.tellSilence(t.Context())
			return strings.Count(logged.String(), "chain.no_new_head")
		}
		for i, want := range []struct {
			after time.Duration
			told  int
		}{{0, 0}, {limit - time.Second, 0}, {2 * time.Second, 1}, {30 * time.Second, 1}, {31 * time.Second, 2}} {
			if told := look(want.after); told != want.told {
				t.Errorf("block time %s, look %d: told %d times, want %d", blockTime, i, told, want.told)
			}
		}
		if !strings.Contains(metrics(), `ctrip_chain_head_still_seconds{chain="memory305"}`) {
			t.Error("no metric tells of it")
		}
		c.extend(nil)
		if told := look(time.Minute); told != 2 {
			t.Errorf("told of a chain that goes on: %d", told)
		}
	}
}

// TestAHeadThatIsBehindIsTold: a node that lags, or whose chain began anew below the record, is told with both hashes
// and what to do; nothing is taken back.
func TestAHeadThatIsBehindIsTold(t *testing.T) {
	for name, shorten := range map[string]func(c *memoryChain){
		"it lags":        func(c *memoryChain) { c.blocks = c.blocks[:8] },
		"it began anew":  func(c *memoryChain) { c.blocks = c.blocks[:0]; c.extend(nil); c.extend(nil) },
		"it is far away": func(c *memoryChain) { c.blocks = c.blocks[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			c := newMemoryChain(30)
			for range 4 {
				c.extend(nil)
			}
			h := newHarness(t, storetest.SQLite(t), memoryConfig(306, 30), c, func() time.Time { return genesis })
			h.catchUp(t)
			for range 7 {
				c.extend(nil)
			}
			h.catchUp(t)
			tip := c.blocks[len(c.blocks)-1]
			logged, _ := h.listen(t)
			shorten(c)
			for range 2 {
				h.catchUp(t)
			}
			head := c.blocks[len(c.blocks)-1]
			text := logged.String()
			if strings.Count(text, "chain.head_behind") != 1 || !strings.Contains(text, head.Hash.Hex()) ||
				!strings.Contains(text, tip.Hash.Hex()) || !strings.Contains(text, "ctripctl chain reset memory306") {
				t.Errorf("told %s", text)
			}
			cursor, err := h.store.Cursor(t.Context(), 306)
			if err != nil || cursor.Hash != tip.Hash.Hex() || cursor.HaltedAt != nil {
				t.Errorf("%+v, %v", cursor, err)
			}
		})
	}
}

// TestBlocksThatDoNotLinkAreTold: a node that names zero, or anything else, as the parent of a block is told so with
// both hashes, and the chain goes on when the node links again.
func TestBlocksThatDoNotLinkAreTold(t *testing.T) {
	for _, parent := range []chain.Hash{{}, {31: 0xee}} {
		c := newMemoryChain(30)
		h := newHarness(t, storetest.SQLite(t), memoryConfig(307, 30), c, func() time.Time { return genesis })
		c.extend(nil)
		h.catchUp(t)
		c.extend(nil)
		last := len(c.blocks) - 1
		right := c.blocks[last].Parent
		c.blocks[last].Parent = parent
		_, err := h.step(t.Context(), h.fence)
		if err == nil || !strings.Contains(err.Error(), "does not link") || !strings.Contains(err.Error(), parent.Hex()) ||
			!strings.Contains(err.Error(), right.Hex()) {
			t.Errorf("told %v", err)
		}
		c.blocks[last].Parent = right
		h.catchUp(t)
		if cursor, err := h.store.Cursor(t.Context(), 307); err != nil || cursor.Number != uint64(last) {
			t.Errorf("%+v, %v", cursor, err)
		}
	}
}
