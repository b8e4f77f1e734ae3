package operate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestStatus: what is wrong is said with the command to begin with; a Redis that is away does not keep the rest from
// being shown.
func TestStatus(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		now := time.Now().UTC().Truncate(time.Microsecond)
		var away error
		lanes := func(context.Context) ([]telemetry.Lane, error) {
			return []telemetry.Lane{{Name: "wh:0", Pending: 3, ExpiredLeases: 1, Oldest: 5 * time.Second}}, away
		}
		read := func() Status {
			t.Helper()
			got, err := ReadStatus(t.Context(), s, time.Now, lanes)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		says := func(got Status, want string) bool {
			return slices.ContainsFunc(got.Attention(), func(line string) bool { return strings.Contains(line, want) })
		}
		got := read()
		for _, role := range []string{"api", "worker", "scanner"} {
			if !says(got, "No process with the role "+role) {
				t.Errorf("nobody misses the %s: %q", role, got.Attention())
			}
		}
		for id, role := range map[string]string{"one": "api,worker", "two": "scanner"} {
			if _, err := s.Seen(t.Context(), models.Process{ID: id, Role: role, Version: "v1", Schema: 7}); err != nil {
				t.Fatal(err)
			}
		}
		got = read()
		if len(got.Processes) != 2 || got.Processes[1].ID != "two" || got.Processes[1].Schema != 7 {
			t.Errorf("alive are %+v", got.Processes)
		}
		if len(got.Lanes) != 1 || got.Lanes[0].OldestSeconds != 5 || !says(got, "1 tasks are held by workers") ||
			len(got.Attention()) != 1 {
			t.Errorf("%+v says %q", got, got.Attention())
		}
		away = errors.New("connection refused")
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			if err := tx.PauseDeliveries(t.Context(), &now, "test"); err != nil {
				return err
			}
			return tx.SaveCursor(t.Context(), models.ChainCursor{ChainID: 1, Chain: "ethereum", Number: 9, Hash: "0x1",
				BlockTime: now, UpdatedAt: now, HaltedAt: &now, HaltReason: "block 7 was final"})
		})
		if err != nil {
			t.Fatal(err)
		}
		got = read()
		for _, want := range []string{"Redis does not answer: connection refused", "ethereum is halted: block 7 was final",
			"Deliveries are paused for everybody"} {
			if !says(got, want) {
				t.Errorf("nobody says %q: %q", want, got.Attention())
			}
		}
	})
}
