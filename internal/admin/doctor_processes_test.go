package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestExamineProcesses: doctor counts who lives and says who leads, also when that one is gone.
func TestExamineProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, now := t.Context(), time.Now().UTC()
		if checks := examineProcesses(ctx, s); len(checks) != 1 || !strings.HasPrefix(checks[0].Detail, "none has given") {
			t.Errorf("%+v", checks)
		}
		for id, role := range map[string]string{"a": "worker", "b": "worker", "c": "scanner"} {
			if _, err := s.Seen(ctx, models.Process{ID: id, Role: role, Version: "v1", Schema: 17}); err != nil {
				t.Fatal(err)
			}
		}
		for chain, holder := range map[uint64]string{1: "c", 10: "gone"} {
			if _, err := s.TakeLease(ctx, chain, holder, now, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.TakeLease(ctx, 137, "c", now.Add(-time.Hour), time.Minute); err != nil {
			t.Fatal(err)
		}
		checks := examineProcesses(ctx, s)
		if len(checks) != 2 || checks[0].Detail != "1 scanner v1 (schema 17), 2 worker v1 (schema 17)" ||
			checks[1].Detail != "1: c, 10: gone, which has given no sign, 137: nobody" {
			t.Errorf("%+v", checks)
		}
	})
}
