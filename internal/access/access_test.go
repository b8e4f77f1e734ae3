package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var operator = models.Actor{Name: "operator"}

// service runs each operation in a transaction of its own.
type service struct {
	*access.Service
	store *store.Store
}

func newService(t *testing.T, s *store.Store) (service, *testkit.Clock) {
	t.Helper()
	clock := testkit.NewClock(noon)
	svc, err := access.New(access.Options{Store: s, MaxKeys: 3, Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	return service{svc, s}, clock
}

func (s service) createMerchant(ctx context.Context, name, xpub string) (m models.Merchant, first string, err error) {
	err = s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		m, first, err = s.CreateMerchant(ctx, tx, operator, name, xpub)
		return err
	})
	return m, first, err
}

func (s service) setXPub(ctx context.Context, merchantID, xpub string) (first string, err error) {
	err = s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		first, err = s.SetXPub(ctx, tx, operator, merchantID, xpub)
		return err
	})
	return first, err
}

func (s service) createKey(ctx context.Context, r access.KeyRequest) (key models.APIKey, secret string, err error) {
	err = s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		key, secret, err = s.CreateKey(ctx, tx, operator, r)
		return err
	})
	return key, secret, err
}

func (s service) revokeKey(ctx context.Context, id string, asker *models.APIKey) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		return s.RevokeKey(ctx, tx, operator,
			access.Revocation{ID: id, Asker: asker})
	})
}

func (s service) suspend(ctx context.Context, merchantID string) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error { return s.SuspendMerchant(ctx, tx, operator, merchantID) })
}

func (s service) reinstate(ctx context.Context, merchantID string) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error { return s.ReinstateMerchant(ctx, tx, operator, merchantID) })
}

// account returns the account key of a seed, private and public.
func account(t *testing.T, seed string) (private, public string) {
	t.Helper()
	key, err := hdkeychain.NewMaster([]byte(strings.Repeat(seed, 16)), &chaincfg.MainNetParams)
	for _, i := range []uint32{44, 60, 0} {
		if err == nil {
			key, err = key.Derive(hdkeychain.HardenedKeyStart + i)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	pub, err := key.Neuter()
	if err != nil {
		t.Fatal(err)
	}
	return key.String(), pub.String()
}

func TestMerchantsAndTheirAccountKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, _ := newService(t, s)
		private, public := account(t, "a")
		if _, _, err := svc.createMerchant(t.Context(), "Shop", private); err == nil ||
			strings.Contains(err.Error(), private[:12]) {
			t.Fatalf("a private key: %v", err)
		}
		m, first, err := svc.createMerchant(t.Context(), "Shop", public)
		if err != nil || m.AccountKeyID == nil || !strings.HasPrefix(first, "0x") {
			t.Fatalf("%+v, %q, %v", m, first, err)
		}
		if _, _, err := svc.createMerchant(t.Context(), "Thief", public); !errors.Is(err, access.ErrForeignXPub) {
			t.Fatalf("another merchant's account key: %v", err)
		}
		if ms, err := s.Merchants(t.Context()); err != nil || len(ms) != 1 {
			t.Fatalf("a refused merchant stayed: %d, %v", len(ms), err)
		}
		_, other := account(t, "b")
		if again, err := svc.setXPub(t.Context(), m.ID, other); err != nil || again == first {
			t.Fatalf("a new account key: %q, %v", again, err)
		}
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 3 {
			t.Fatalf("%d audit lines, %v", n, err)
		}
	})
}

func TestKeys(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, clock := newService(t, s)
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		year := noon.AddDate(1, 0, 0)
		ask := access.KeyRequest{MerchantID: m.ID, Name: "Checkout",
			Scopes: []models.Scope{models.ScopePaymentsRead, models.ScopeKeysWrite}, ExpiresAt: &year}
		key, secret, err := svc.createKey(t.Context(), ask)
		if err != nil || !strings.HasPrefix(secret, "ck_live_") || strings.Contains(fmt.Sprint(key), secret) {
			t.Fatalf("%+v, %v", key, err)
		}
		got, owner, err := svc.Authenticate(t.Context(), secret)
		if err != nil || got.ID != key.ID || owner.ID != m.ID {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, bad := range []string{"", "ck_live_", secret + "x", secret[:len(secret)-1], "ck_test_" + secret[8:],
			strings.Repeat("ck_live_x", 100)} {
			if _, _, err := svc.Authenticate(t.Context(), bad); !errors.Is(err, access.ErrUnauthenticated) {
				t.Errorf("%.20q: %v", bad, err)
			}
		}
		more := ask
		more.Granter, more.Scopes = &key, []models.Scope{models.ScopePaymentsWrite}
		var faults models.FieldErrors
		if _, _, err := svc.createKey(t.Context(), more); !errors.As(err, &faults) || faults[0].Field != "scopes" {
			t.Errorf("a key granted a scope that it does not have: %v", err)
		}
		for range 2 {
			if _, _, err := svc.createKey(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := svc.createKey(t.Context(), ask); !errors.Is(err, access.ErrKeyLimit) {
			t.Errorf("a fourth key: %v", err)
		}
		clock.Set(year)
		if _, _, err := svc.Authenticate(t.Context(), secret); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("an expired key: %v", err)
		}
		clock.Set(noon)
		if err := svc.revokeKey(t.Context(), key.ID,
			&models.APIKey{MerchantID: "mer_other", Scopes: models.Scopes}); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("another merchant revoked it: %v", err)
		}
		if err := svc.revokeKey(t.Context(), key.ID, &key); err != nil {
			t.Fatal(err)
		}
		if _, _, err := svc.Authenticate(t.Context(), secret); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("a revoked key: %v", err)
		}
	})
}

// TestRevocationReachesOtherProcesses: another process trusts what it has seen for CacheFor and no longer.
func TestRevocationReachesOtherProcesses(t *testing.T) {
	s := storetest.Postgres(t)
	here, _ := newService(t, s)
	there, clock := newService(t, s)
	m, _, err := here.createMerchant(t.Context(), "Shop", "")
	if err != nil {
		t.Fatal(err)
	}
	key, secret, err := here.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "k", Scopes: models.Scopes})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := there.Authenticate(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := here.revokeKey(t.Context(), key.ID, nil); err != nil {
		t.Fatal(err)
	}
	clock.Advance(access.CacheFor + time.Millisecond)
	if _, _, err := there.Authenticate(t.Context(), secret); !errors.Is(err, access.ErrUnauthenticated) {
		t.Fatalf("a revoked key opens another process: %v", err)
	}
}

// TestKeyLimitHoldsUnderARush: keys of one merchant are counted by one at a time.
func TestKeyLimitHoldsUnderARush(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, _ := newService(t, s)
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		results := make(chan error, 12)
		for range cap(results) {
			go func() {
				_, _, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "k", Scopes: models.Scopes})
				results <- err
			}()
		}
		made := 0
		for range cap(results) {
			if err := <-results; err == nil {
				made++
			} else if !errors.Is(err, access.ErrKeyLimit) {
				t.Error(err)
			}
		}
		if made != 3 {
			t.Errorf("%d keys were made, the limit is 3", made)
		}
	})
}

// TestAnAccountKeyKeepsItsBranch: a key that comes back goes on where it was, and what is shown is what it derives
// there.
func TestAnAccountKeyKeepsItsBranch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, _ := newService(t, s)
		_, public := account(t, "a")
		_, other := account(t, "b")
		m, first, err := svc.createMerchant(t.Context(), "Shop", " "+public+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if k, err := s.AccountKey(t.Context(), *m.AccountKeyID); err != nil || k.XPub != public {
			t.Errorf("kept as %q, %v", k.XPub, err)
		}
		onBranch7, err := access.New(access.Options{Store: s, Branch: 7, Now: testkit.NewClock(noon).Now})
		if err != nil {
			t.Fatal(err)
		}
		onAnother := service{onBranch7, s}
		if _, err := onAnother.setXPub(t.Context(), m.ID, other); err != nil {
			t.Fatal(err)
		}
		if again, err := onAnother.setXPub(t.Context(), m.ID, public); err != nil || again != first {
			t.Errorf("first %s, now %s, %v", first, again, err)
		}
		if _, err := onAnother.setXPub(t.Context(), "mer_nobody", public); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("a merchant that is not there: %v", err)
		}
	})
}

// TestLastUseIsWritten: what Authenticate notes is in the database once Run has ended.
func TestLastUseIsWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, clock := newService(t, s)
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		key, secret, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "k", Scopes: models.Scopes})
		if err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Second)
		if _, _, err := svc.Authenticate(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := svc.Run(ctx); err != nil {
			t.Fatal(err)
		}
		got, err := s.APIKeyByID(t.Context(), key.ID)
		if err != nil || got.LastUsedAt == nil || !got.LastUsedAt.Equal(noon.Add(time.Second)) {
			t.Errorf("last used %v, %v", got.LastUsedAt, err)
		}
	})
}

func TestSuspendAndReinstate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		svc, clock := newService(t, s)
		m, _, err := svc.createMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		_, secret, err := svc.createKey(t.Context(), access.KeyRequest{MerchantID: m.ID, Name: "k", Scopes: models.Scopes})
		if err != nil {
			t.Fatal(err)
		}
		paused := func() *time.Time {
			t.Helper()
			_, m, err := svc.Authenticate(t.Context(), secret)
			if err != nil {
				t.Fatal(err)
			}
			return m.SuspendedAt
		}
		if at := paused(); at != nil {
			t.Fatalf("a new merchant is paused since %v", at)
		}
		for range 2 { // the second time changes nothing
			if err := svc.suspend(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
			if at := paused(); at == nil || !at.Equal(noon) {
				t.Fatalf("paused since %v", at)
			}
			clock.Advance(time.Minute)
		}
		for range 2 {
			if err := svc.reinstate(t.Context(), m.ID); err != nil {
				t.Fatal(err)
			}
			if at := paused(); at != nil {
				t.Fatalf("still paused since %v", at)
			}
		}
		if err := svc.suspend(t.Context(), "mer_nobody"); !errors.Is(err, models.ErrNotFound) {
			t.Errorf("a merchant that is not there: %v", err)
		}
		lines, err := s.AuditLog(t.Context(), 3, 10)
		if err != nil || len(lines) != 2 || lines[0].Action != "merchant.paused" || lines[1].Action != "merchant.resumed" {
			t.Errorf("%+v, %v", lines, err)
		}
	})
}
