package access_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestChildKeysEndWithTheirGranter: a key makes none that lives longer than itself, and says who made it.
func TestChildKeysEndWithTheirGranter(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, _ := newService(t, s)
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		end := noon.Add(time.Hour)
		parent, _, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "p", Scopes: models.Scopes,
			ExpiresAt: &end})
		if err != nil || parent.CreatedBy != nil {
			t.Fatalf("%+v, %v", parent, err)
		}
		ask := func(at *time.Time) (models.APIKey, error) {
			k, _, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "c", Scopes: models.Scopes,
				ExpiresAt: at, Granter: &parent})
			return k, err
		}
		var faults models.FieldErrors
		later := end.Add(time.Microsecond)
		if _, err := ask(&later); !errors.As(err, &faults) || faults[0].Field != "expires_at" {
			t.Errorf("later than its granter: %v", err)
		}
		for _, at := range []*time.Time{nil, &end} {
			k, err := ask(at)
			if err != nil || k.ExpiresAt == nil || !k.ExpiresAt.Equal(end) || k.CreatedBy == nil || *k.CreatedBy != parent.ID {
				t.Fatalf("%+v, %v", k, err)
			}
			if row, err := s.APIKeyByID(t.Context(), k.ID); err != nil || row.CreatedBy == nil || *row.CreatedBy != parent.ID {
				t.Errorf("%+v, %v", row, err)
			}
		}
	})
}

// family is a live key, the keys that it made, and a test key that the operator made.
type family struct {
	service
	merchant                                models.Merchant
	root, child, grandchild, narrow, tester models.APIKey
}

func newFamily(t *testing.T, s *store.Store) family {
	t.Helper()
	svc, _ := newService(t, s)
	f := family{service: svc}
	var err error
	if f.merchant, _, err = svc.createMerchant(t.Context(), "Shop", ""); err != nil {
		t.Fatal(err)
	}
	ten := 10
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		limit := &ten
		_, err := svc.ChangeMerchant(t.Context(), tx, operator, f.merchant.ID, access.MerchantChange{MaxKeys: &limit})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		key     *models.APIKey
		granter *models.APIKey
		test    bool
		scopes  []models.Scope
	}{
		{&f.root, nil, false, models.Scopes},
		{&f.child, &f.root, false, models.Scopes},
		{&f.grandchild, &f.child, true, models.Scopes},
		{&f.narrow, &f.root, false, []models.Scope{models.ScopeKeysWrite}},
		{&f.tester, nil, true, models.Scopes},
	} {
		*k.key, _, err = svc.createKey(t.Context(), access.KeyRequest{MerchantID: f.merchant.ID, Name: "k", Test: k.test,
			Scopes: k.scopes, Granter: k.granter})
		if err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f family) revoke(t *testing.T, r access.Revocation) error {
	t.Helper()
	return f.store.InTx(t.Context(), func(tx *store.Tx) error { return f.RevokeKey(t.Context(), tx, operator, r) })
}

// ended are the names of the keys that have ended.
func (f family) ended(t *testing.T) (names []string) {
	t.Helper()
	for name, k := range map[string]models.APIKey{"root": f.root, "child": f.child, "grandchild": f.grandchild,
		"narrow": f.narrow, "test": f.tester} {
		row, err := f.store.APIKeyByID(t.Context(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		if row.RevokedAt != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestRevoking: a key ends no key that may do more than itself, a test key no live one, and children end with their
// maker where that is asked for, all or none.
func TestRevoking(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := newFamily(t, s)
		for name, c := range map[string]struct {
			r    access.Revocation
			want error
		}{
			"a wider key":         {access.Revocation{ID: f.root.ID, Asker: &f.narrow}, access.ErrWiderKey},
			"a live key by test":  {access.Revocation{ID: f.narrow.ID, Asker: &f.tester}, models.ErrNotFound},
			"a stranger's":        {access.Revocation{ID: f.root.ID, Asker: &models.APIKey{MerchantID: "mer_x", Scopes: models.Scopes}}, models.ErrNotFound},
			"one that is nowhere": {access.Revocation{ID: "key_x"}, models.ErrNotFound},
		} {
			if err := f.revoke(t, c.r); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := f.ended(t); len(got) != 0 {
			t.Fatalf("refused, and ended: %v", got)
		}
		if err := f.revoke(t, access.Revocation{ID: f.grandchild.ID, Asker: &f.tester}); err != nil {
			t.Fatal(err)
		}
		if err := f.revoke(t, access.Revocation{ID: f.child.ID}); err != nil {
			t.Fatal(err)
		}
		if got := f.ended(t); !slices.Equal(got, []string{"child", "grandchild"}) {
			t.Errorf("without children: %v", got)
		}
		f = newFamily(t, s)
		if err := f.revoke(t, access.Revocation{ID: f.root.ID, WithChildren: true}); err != nil {
			t.Fatal(err)
		}
		if got := f.ended(t); !slices.Equal(got, []string{"child", "grandchild", "narrow", "root"}) {
			t.Errorf("with children: %v", got)
		}
		f = newFamily(t, s)
		reader := models.APIKey{MerchantID: f.merchant.ID, Scopes: []models.Scope{models.ScopeKeysWrite}}
		if err := s.InTx(t.Context(), func(tx *store.Tx) error { // a wide key that a narrow one is said to have made
			wide := f.tester
			wide.ID, wide.Hash, wide.CreatedBy = models.NewID(models.PrefixAPIKey, noon), "other", &f.narrow.ID
			return tx.InsertAPIKey(t.Context(), wide)
		}); err != nil {
			t.Fatal(err)
		}
		if err := f.revoke(t, access.Revocation{ID: f.narrow.ID, Asker: &reader, WithChildren: true}); !errors.Is(err,
			access.ErrWiderKey) || len(f.ended(t)) != 0 {
			t.Errorf("a wider child: %v, ended %v", err, f.ended(t))
		}
	})
}

// TestTestKeysCountForThemselves: what test keys make does not count against the limit of live keys.
func TestTestKeysCountForThemselves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, _ := newService(t, s) // three keys at most
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		create := func(test bool, granter *models.APIKey) (models.APIKey, error) {
			k, _, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "k", Test: test,
				Scopes: models.Scopes, Granter: granter})
			return k, err
		}
		first, err := create(true, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := create(true, &first); (err == nil) != (i < 2) {
				t.Errorf("test key %d: %v", i+2, err)
			}
		}
		for i := range 3 {
			if _, err := create(false, nil); (err == nil) != (i < 2) {
				t.Errorf("live key %d beside the operator's test key: %v", i+1, err)
			}
		}
	})
}

// TestTestKeysAreListedAlone: a list for a test key holds test keys, and names no live key as their maker.
func TestTestKeysAreListedAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := newFamily(t, s)
		all, err := s.ListAPIKeys(t.Context(), f.merchant.ID, false, store.Page{Limit: 10})
		if err != nil || len(all) != 5 {
			t.Fatalf("%d keys, %v", len(all), err)
		}
		rows, err := s.ListAPIKeys(t.Context(), f.merchant.ID, true, store.Page{Limit: 10})
		if err != nil || len(rows) != 2 || !rows[0].Test || !rows[1].Test || rows[0].CreatedBy != nil ||
			rows[1].CreatedBy != nil {
			t.Errorf("%+v, %v", rows, err)
		}
	})
}
