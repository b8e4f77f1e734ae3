package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// RestoreCheck tells whether the database was restored from a dump, and what it holds. It changes nothing.
func (a *Admin) RestoreCheck(ctx context.Context) (store.RestoreFacts, error) {
	f, err := a.store.RestoreFacts(ctx)
	if err != nil {
		return f, fmt.Errorf("restore check: %w", err)
	}
	return f, nil
}

// RestorePrepare makes a restored database ready for new payments, and returns what it holds then. One that needs
// nothing stays as it is.
func (a *Admin) RestorePrepare(ctx context.Context, p store.Preparation) (bool, store.RestoreFacts, error) {
	err := a.store.InTx(ctx, func(tx *store.Tx) error {
		now := a.utc()
		if err := tx.PrepareRestore(ctx, p, now); err != nil {
			return err
		}
		branch := "moved on"
		switch {
		case p.Complete || p.SameBranch:
			branch = "kept"
		case p.Branch != nil:
			branch = fmt.Sprint(*p.Branch)
		}
		return tx.Audit(ctx, models.AuditEntry{At: now, Actor: a.actor.Name, IP: a.actor.IP, Action: "database.prepared",
			Subject: "database", Detail: map[string]string{"branch": branch, "complete": fmt.Sprint(p.Complete)}})
	})
	if err != nil && !errors.Is(err, store.ErrNotRestored) {
		return false, store.RestoreFacts{}, fmt.Errorf("restore prepare: %w", err)
	}
	prepared := err == nil
	f, err := a.RestoreCheck(ctx)
	return prepared, f, err
}
