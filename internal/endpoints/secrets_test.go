package endpoints

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/models"
)

func TestLiveSecrets(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(h int) *time.Time { x := now.Add(time.Duration(h) * time.Hour); return &x }
	row := func(id string, from int, until *time.Time) models.EndpointSecret {
		return models.EndpointSecret{ID: id, ActiveFrom: *at(from), ExpiresAt: until, CreatedAt: *at(from)}
	}
	for name, c := range map[string]struct {
		rows []models.EndpointSecret
		want string
	}{
		"none":            {nil, "  []"},
		"one":             {[]models.EndpointSecret{row("a", -5, nil)}, "a  []"},
		"rotated":         {[]models.EndpointSecret{row("a", -5, at(3)), row("b", -1, nil)}, "b  [a]"},
		"overlap is over": {[]models.EndpointSecret{row("a", -5, at(0)), row("b", -1, nil)}, "b  []"},
		"to be activated": {[]models.EndpointSecret{row("a", -5, at(9)), row("b", 2, nil)}, "a b []"},
		"never four":      {[]models.EndpointSecret{row("a", -9, at(3)), row("b", -8, at(3)), row("c", -7, at(3)), row("d", -6, nil)}, "d  [c b]"},
		"next makes two":  {[]models.EndpointSecret{row("a", -9, at(3)), row("b", -8, at(3)), row("c", -7, at(3)), row("d", 6, nil)}, "c d [b]"},
	} {
		if got := show(LiveSecrets(c.rows, now)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func show(l Live) string {
	current, next := "", ""
	if l.Current != nil {
		current = l.Current.ID
	}
	if l.Next != nil {
		next = l.Next.ID
	}
	old := []string{}
	for _, p := range l.Previous {
		old = append(old, p.ID)
	}
	return fmt.Sprint(current, " ", next, " ", old)
}

// TestRotationsNeverLeaveAGap rotates at random and looks at random moments: there is always a current secret, never
// more than three live, a receiver that knows the one before verifies for as long as its overlap was promised, and the
// new one is known to it before it is needed.
func TestRotationsNeverLeaveAGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		rows := []models.EndpointSecret{{ID: "s0", ActiveFrom: now, CreatedAt: now}}
		for i := range rapid.IntRange(1, 8).Draw(t, "rotations") {
			now = now.Add(time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(t, "pause")))
			before := LiveSecrets(rows, now)
			activateIn := rapid.SampledFrom([]time.Duration{0, 0, time.Hour, MaxActivateIn}).Draw(t, "activate")
			overlap := rapid.SampledFrom([]time.Duration{0, time.Hour, DefaultOverlap, MaxOverlap}).Draw(t, "overlap")
			plan := planRotation(rows, now, activateIn, overlap)
			for j := range rows {
				if end, ok := plan.ends[rows[j].ID]; ok {
					rows[j].ExpiresAt = &end
				}
			}
			fresh := fmt.Sprintf("s%d", i+1)
			rows = append(rows, models.EndpointSecret{ID: fresh, ActiveFrom: plan.activeFrom, CreatedAt: now})
			for _, after := range []time.Duration{0, activateIn - 1, activateIn, activateIn + overlap - 1, activateIn + overlap,
				30 * 24 * time.Hour} {
				if after < 0 {
					continue
				}
				live := LiveSecrets(rows, now.Add(after))
				n := len(live.Previous)
				if live.Next != nil {
					n++
				}
				if live.Current == nil || n > 2 {
					t.Fatalf("after %v: %s", after, show(live))
				}
				if after < activateIn && (live.Current.ID != before.Current.ID || live.Next == nil || live.Next.ID != fresh) {
					t.Fatalf("waiting, after %v: %s", after, show(live))
				}
				if after >= activateIn && live.Current.ID != fresh {
					t.Fatalf("active, after %v: %s", after, show(live))
				}
				if after >= activateIn && after < activateIn+overlap &&
					(len(live.Previous) == 0 || live.Previous[0].ID != before.Current.ID) {
					t.Fatalf("in the overlap, after %v: %s", after, show(live))
				}
				if after >= activateIn+overlap && len(live.Previous) != 0 {
					t.Fatalf("past the overlap, after %v: %s", after, show(live))
				}
			}
		}
	})
}

func ExampleLiveSecrets() {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tomorrow := noon.Add(24 * time.Hour)
	secrets := []models.EndpointSecret{
		{ID: "old", ActiveFrom: noon.Add(-time.Hour), ExpiresAt: &tomorrow},
		{ID: "new", ActiveFrom: noon},
	}
	live := LiveSecrets(secrets, noon)
	fmt.Println(live.Current.ID, live.Previous[0].ID)
	fmt.Println(len(LiveSecrets(secrets, tomorrow).Previous))
	// Output:
	// new old
	// 0
}
