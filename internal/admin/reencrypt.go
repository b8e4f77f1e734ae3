package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

// reencryptPage is how many sealed values are read at a time.
const reencryptPage = 500

// Reencryption is how far the sealed values of the database have come to lie under the first of MASTER_KEYS.
type Reencryption struct {
	Key         string `json:"key"`   // id of that key
	Total       int64  `json:"total"` // values when it began
	Checked     int64  `json:"checked"`
	Reencrypted int64  `json:"reencrypted"`
	// Unreadable has the reason for each value that none of MASTER_KEYS opens, by what the value is bound to.
	Unreadable map[string]string `json:"unreadable"`
}

// Reencrypt seals every stored secret that lies under another key again under the first of MASTER_KEYS, and tells of
// its progress after each page. It may run beside live processes, and be stopped and started again at any time: each
// value is replaced by itself, if it is still the one that was read. When nothing is unreadable afterwards, no value
// needs the other keys; processes that were started with another first key must be gone by then.
func (a *Admin) Reencrypt(ctx context.Context, progress func(Reencryption)) (Reencryption, error) {
	safe, err := a.vault()
	if err != nil {
		return Reencryption{}, err
	}
	r := Reencryption{Key: safe.CurrentKeyID(), Unreadable: map[string]string{}}
	if r.Total, err = a.store.CountSealed(ctx); err != nil {
		return r, err
	}
	if err := a.auditReencryption(ctx, "keys.reencryption_started", r); err != nil {
		return r, err
	}
	err = a.store.WalkSealed(ctx, reencryptPage, func(page []store.SealedValue) error {
		for _, v := range page {
			if err := a.reencrypt(ctx, safe, v, &r); err != nil {
				return err
			}
		}
		progress(r)
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("after %d of %d values, and nothing is lost: run it again to go on: %w", r.Checked, r.Total, err)
	}
	return r, a.auditReencryption(ctx, "keys.reencrypted", r)
}

func (a *Admin) reencrypt(ctx context.Context, safe *vault.Vault, v store.SealedValue, r *Reencryption) error {
	r.Checked++
	if _, err := safe.Open(v.Value, v.AAD); err != nil {
		r.Unreadable[v.AAD] = err.Error()
		return nil
	}
	if !safe.NeedsReseal(v.Value) {
		return nil
	}
	fresh, err := safe.Reseal(v.Value, v.AAD)
	if err != nil {
		return err
	}
	replaced, err := a.store.ReplaceSealed(ctx, v, fresh)
	if replaced {
		r.Reencrypted++
	}
	return err
}

func (a *Admin) auditReencryption(ctx context.Context, action string, r Reencryption) error {
	return a.store.InTx(ctx, func(tx *store.Tx) error {
		return tx.Audit(ctx, models.AuditEntry{At: a.utc(), Actor: a.actor.Name, Action: action, Subject: r.Key,
			Detail: map[string]string{
				"total": fmt.Sprint(r.Total), "checked": fmt.Sprint(r.Checked), "reencrypted": fmt.Sprint(r.Reencrypted),
				"unreadable": fmt.Sprint(len(r.Unreadable)),
			}})
	})
}

// Err says which values could not be read, nil when there are none.
func (r Reencryption) Err() error {
	var all []error
	for _, value := range slices.Sorted(maps.Keys(r.Unreadable)) {
		all = append(all, fmt.Errorf("%s: %s", value, r.Unreadable[value]))
	}
	return errors.Join(all...)
}
