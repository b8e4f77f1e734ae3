package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// clockSkew compares our clock with the database's: signatures and leases depend on both.
func (a *App) clockSkew(ctx context.Context) error {
	before := time.Now()
	theirs, err := a.store.Now(ctx)
	if err != nil {
		return err
	}
	skew := theirs.Sub(before.Add(time.Since(before) / 2))
	if skew.Abs() > a.cfg.MaxClockSkew {
		return fmt.Errorf("the database's clock differs by %s", skew.Round(time.Millisecond))
	}
	return nil
}

// auditQueues writes an action on the queue board into the audit log, before it is done.
func (a *App) auditQueues(ctx context.Context, r *http.Request, action, queue, task string) error {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	return a.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, models.AuditEntry{
			At: time.Now(), Actor: "operator", Action: "queue." + action, Subject: queue,
			Detail: map[string]string{"task": task}, IP: ip,
		})
	})
}
