package devnet

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUntilNextBlock(t *testing.T) {
	const parent = 1_000_000
	at := func(offset time.Duration) time.Time { return time.Unix(parent, 0).Add(offset) }
	for _, c := range []struct {
		name      string
		blockTime time.Duration
		now       time.Time
		want      time.Duration
	}{
		{"just mined", time.Second, at(0), time.Second},
		{"within the parent's second", time.Second, at(300 * time.Millisecond), 700 * time.Millisecond},
		{"next second", time.Second, at(time.Second), 0},
		{"long ago", time.Second, at(time.Hour), 0},
		{"chain ahead by a little", time.Second, at(-time.Millisecond), 1500 * time.Millisecond},
		{"chain far ahead", time.Second, at(-time.Hour), 1500 * time.Millisecond},
		{"fast chain", 50 * time.Millisecond, at(0), 50 * time.Millisecond},
		{"fast chain ahead", 50 * time.Millisecond, at(-time.Hour), 50 * time.Millisecond},
	} {
		if got := untilNextBlock(c.blockTime, parent, c.now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// However late timers fire and mining takes, block time at one block a second never runs ahead of the clock, and a
// chain that was pushed ahead comes back to it.
func TestClockNeverDrifts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_700_000_000, rapid.Int64Range(0, 999_999_999).Draw(t, "start"))
		pushed := rapid.Int64Range(0, 20).Draw(t, "seconds ahead at the start")
		parent := now.Unix() + pushed
		late := rapid.SliceOfN(rapid.IntRange(0, 400), 5, 50).Draw(t, "milliseconds late")
		for i := range 600 {
			now = now.Add(untilNextBlock(DefaultBlockTime, parent, now)).Add(time.Duration(late[i%len(late)]) * time.Millisecond)
			previous := parent
			parent = max(now.Unix(), parent+1)
			lead := parent - now.Unix()
			if lead > max(pushed, 0) || parent <= previous {
				t.Fatalf("block %d: %d s ahead of the clock", i, lead)
			}
			if i > 100 && lead > 0 {
				t.Fatalf("block %d: still %d s ahead", i, lead)
			}
			if i > 100 && now.Unix()-previous > 2 {
				t.Fatalf("block %d: %d s after its parent", i, now.Unix()-previous)
			}
		}
	})
}
