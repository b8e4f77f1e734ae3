package admin_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

func masterKey(id string, fill byte) vault.Key {
	return vault.Key{ID: id, Secret: [32]byte(bytes.Repeat([]byte{fill}, 32))}
}

// openAdminWith opens an Admin that has master keys, the first of which encrypts.
func openAdminWith(t *testing.T, s *store.Store, keys ...vault.Key) (*admin.Admin, *vault.Vault) {
	t.Helper()
	setting := "MASTER_KEYS="
	for i, k := range keys {
		if i > 0 {
			setting += ","
		}
		setting += k.ID + ":" + base64.StdEncoding.EncodeToString(k.Secret[:])
	}
	cfg, err := load(t, nil, "DATABASE_URL=postgres://127.0.0.1:1/unused", setting)
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.Open(t.Context(), admin.Options{Config: cfg, Actor: models.Actor{Name: "operator:test"}, Now: time.Now,
		Store: s})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.New(keys)
	if err != nil {
		t.Fatal(err)
	}
	return a, v
}

// sealed reads every sealed value, by its AAD.
func sealed(t *testing.T, s *store.Store) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	if err := s.WalkSealed(t.Context(), 2, func(page []store.SealedValue) error {
		for _, v := range page {
			all[v.AAD] = v.Value
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestReencrypt rotates a master key in the database: every sealed column, resumable, and a value that no key opens is
// named and kept.
func TestReencrypt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		old, fresh := masterKey("k1", 1), masterKey("k2", 2)
		a, before := openAdminWith(t, s, old)
		m, err := a.CreateMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := a.CreateEndpoint(t.Context(),
				admin.EndpointRequest{MerchantID: m.Merchant.ID, URL: "https://shop.example/hook"}); err != nil {
				t.Fatal(err)
			}
		}
		seal := func(aad string) []byte {
			b, err := before.Seal([]byte("plain of "+aad), aad)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		err = s.InTx(t.Context(), func(tx *store.Tx) error {
			page, err := tx.EndpointsOf(t.Context(), m.Merchant.ID)
			if err != nil {
				return err
			}
			for _, e := range page {
				e.HeadersSealed, e.ClientKeySealed = seal(models.HeadersAAD(e.ID)), seal(models.ClientKeyAAD(e.ID))
				if _, err := tx.SaveEndpoint(t.Context(), e); err != nil {
					return err
				}
			}
			for _, key := range []string{"a", "b"} {
				if err := tx.SaveAnswers(t.Context(), []models.IdempotencyRecord{{
					MerchantID: m.Merchant.ID, Method: "POST", Path: "/api/v1/payments", Key: key, StatusCode: 201,
					Answer: seal(models.AnswerAAD(m.Merchant.ID, "POST", "/api/v1/payments", key)), CreatedAt: now,
					ExpiresAt: now.Add(time.Hour),
				}}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		was := sealed(t, s)
		plain := make(map[string]string)
		for aad, v := range was {
			p, err := before.Open(v, aad)
			if err != nil {
				t.Fatal(err)
			}
			plain[aad] = string(p)
		}
		if len(was) != 3*3+2 {
			t.Fatalf("%d sealed values: %v", len(was), slices.Sorted(maps.Keys(was)))
		}

		// Broken off after the first page of the answers, and begun again.
		a, _ = openAdminWith(t, s, fresh, old)
		stop := errors.New("stop")
		pages := 0
		func() {
			defer func() {
				if recover() != stop {
					t.Fatal("not broken off")
				}
			}()
			_, _ = a.Reencrypt(t.Context(), func(admin.Reencryption) {
				if pages++; pages == 2 {
					panic(stop)
				}
			})
		}()
		r, err := a.Reencrypt(t.Context(), func(admin.Reencryption) {})
		if err != nil || r.Checked != 11 || r.Reencrypted == 0 || r.Reencrypted == 11 || len(r.Unreadable) != 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		_, after := openAdminWith(t, s, fresh)
		for aad, v := range sealed(t, s) {
			p, err := after.Open(v, aad)
			if err != nil || string(p) != plain[aad] {
				t.Errorf("%s: %q, %v", aad, p, err)
			}
		}
		if r, err = a.Reencrypt(t.Context(), func(admin.Reencryption) {}); err != nil || r.Reencrypted != 0 {
			t.Errorf("a second time: %+v, %v", r, err)
		}

		// Whoever has only another key is told which values he cannot read, and changes nothing.
		a, _ = openAdminWith(t, s, masterKey("k3", 3))
		unchanged := sealed(t, s)
		r, err = a.Reencrypt(t.Context(), func(admin.Reencryption) {})
		if err != nil || len(r.Unreadable) != 11 || r.Reencrypted != 0 || r.Err() == nil {
			t.Errorf("with a foreign key: %+v, %v", r, err)
		}
		if !maps.EqualFunc(unchanged, sealed(t, s), bytes.Equal) {
			t.Error("values changed that were not readable")
		}
		if _, err := s.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
