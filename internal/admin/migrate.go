package admin

import (
	"context"
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Schema is where the database stands, as seen by this binary.
type Schema struct {
	store.SchemaStatus
	// Fits says whether this binary can run on the database.
	Fits    bool   `json:"fits"`
	Problem string `json:"problem,omitempty"`
}

// Migration is what [Admin.Migrate] did.
type Migration struct {
	Applied []string `json:"applied"` // files, in order
	Schema  Schema   `json:"schema"`
}

// Migrate brings the schema up to this binary's version. Several may run at once: they wait for each other.
func (a *Admin) Migrate(ctx context.Context) (Migration, error) {
	applied, err := a.store.Migrate(ctx)
	if err != nil {
		return Migration{}, err
	}
	m := Migration{Applied: append([]string{}, applied...)}
	if len(applied) > 0 {
		err := a.store.InTx(ctx, func(tx *store.Tx) error {
			return tx.Audit(ctx, models.AuditEntry{At: a.utc(), Actor: a.actor.Name, IP: a.actor.IP, Action: "schema.migrated",
				Subject: applied[len(applied)-1], Detail: map[string]string{"files": fmt.Sprint(len(applied))}})
		})
		if err != nil {
			return m, err
		}
	}
	m.Schema, err = a.Schema(ctx)
	return m, err
}

// Schema reads the version of the schema without changing anything.
func (a *Admin) Schema(ctx context.Context) (Schema, error) {
	st, err := a.store.SchemaStatus(ctx)
	if err != nil {
		return Schema{}, err
	}
	s := Schema{SchemaStatus: st, Fits: true}
	if err := a.store.CheckSchema(ctx); err != nil {
		s.Fits, s.Problem = false, err.Error()
	}
	return s, nil
}
