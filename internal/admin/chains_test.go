package admin

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestAcceptReorg(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := &Admin{store: s, now: time.Now, actor: models.Actor{Name: "operator:test"},
			log: slog.New(slog.DiscardHandler)}
		now := time.Now().UTC().Truncate(time.Microsecond)
		save := func(c models.ChainCursor) {
			t.Helper()
			if err := s.InTx(t.Context(), func(tx *store.Tx) error { return tx.SaveCursor(t.Context(), c) }); err != nil {
				t.Fatal(err)
			}
		}
		c := models.ChainCursor{ChainID: 1, Chain: "ethereum", Number: 9, Hash: "0x1", BlockTime: now, FinalNumber: 7,
			UpdatedAt: now}
		save(c)
		if err := a.AcceptReorg(t.Context(), "ethereum"); !errors.Is(err, ErrNotHalted) {
			t.Fatalf("a chain that is well: %v", err)
		}
		c.HaltedAt, c.HaltReason = &now, "block 7 was final"
		save(c)
		if chains, err := a.Chains(t.Context()); err != nil || len(chains) != 1 || chains[0].HaltedAt == nil ||
			chains[0].HaltReason == "" {
			t.Fatalf("%+v, %v", chains, err)
		}
		if err := a.AcceptReorg(t.Context(), "ethereum"); err != nil {
			t.Fatal(err)
		}
		if chains, err := a.Chains(t.Context()); err != nil || chains[0].HaltedAt != nil || chains[0].FinalNumber != 0 {
			t.Fatalf("%+v, %v", chains, err)
		}
		if lines, err := s.AuditLog(t.Context(), 1, 10); err != nil || len(lines) != 1 ||
			lines[0].Action != "chain.reorg_accepted" {
			t.Fatalf("%+v, %v", lines, err)
		}
		if err := a.AcceptReorg(t.Context(), "dogecoin"); !errors.Is(err, models.ErrNotFound) {
			t.Fatalf("a chain that is not there: %v", err)
		}
	})
}
