package admin_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/wallet"
	"github.com/ctrip-gateway/ctrip/models"
)

const xpub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"

// openAdmin opens an Admin on a store.
func openAdmin(t *testing.T, s *store.Store) *admin.Admin {
	t.Helper()
	cfg, err := load(t, nil, "DATABASE_URL=postgres://127.0.0.1:1/unused")
	if err != nil {
		t.Fatal(err)
	}
	a, err := admin.Open(t.Context(), admin.Options{Config: cfg, Actor: models.Actor{Name: "operator:test"}, Now: time.Now,
		Store: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// TestExportAddresses writes more addresses than one page holds and reads each once, in order.
func TestExportAddresses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := openAdmin(t, s)
		m, err := a.CreateMerchant(t.Context(), "Shop", xpub)
		if err != nil {
			t.Fatal(err)
		}
		other, err := a.CreateMerchant(t.Context(), "Other", "")
		if err != nil {
			t.Fatal(err)
		}
		account, err := wallet.Parse(xpub)
		if err != nil {
			t.Fatal(err)
		}
		const n = 2100
		err = s.InTx(t.Context(), func(tx *store.Tx) error {
			for i := range uint32(n) {
				// A made-up address for all but the first: deriving two thousand takes longer than the rest of this test.
				address := fmt.Sprintf("0x%040x", i)
				if i == 0 {
					if address, err = account.Address(0, 0); err != nil {
						return err
					}
				}
				row := store.Address{
					Address: strings.ToLower(address), AccountKeyID: account.KeyID(), AddressIndex: i,
					DerivationPath: account.Path(0, i), MerchantID: m.Merchant.ID, SkippedReason: "used before",
					CreatedAt: time.Now().UTC(),
				}
				if err := tx.InsertAddress(t.Context(), row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []admin.Address
		if err := a.ExportAddresses(t.Context(), m.Merchant.ID,
			func(a admin.Address) error { got = append(got, a); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != n || got[0].Address != m.FirstAddress || got[0].Path != "m/44'/60'/0'/0/0" {
			t.Fatalf("%d addresses, the first is %+v", len(got), got[0])
		}
		for i, a := range got {
			if a.Index != uint32(i) {
				t.Fatalf("at %d stands index %d", i, a.Index)
			}
		}
		if err := a.ExportAddresses(t.Context(), other.Merchant.ID, func(a admin.Address) error {
			return fmt.Errorf("%s", a.Address)
		}); err != nil {
			t.Errorf("a merchant without addresses has %v", err)
		}
		full := fmt.Errorf("disk full")
		if err := a.ExportAddresses(t.Context(), m.Merchant.ID, func(admin.Address) error { return full }); err == nil ||
			!strings.Contains(err.Error(), "disk full") {
			t.Errorf("a row that could not be written: %v", err)
		}
	})
}

// TestAuditPagesAndVerdict reads the log page by page, each line once.
func TestAuditPagesAndVerdict(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := openAdmin(t, s)
		for i := range 5 {
			if _, err := a.CreateMerchant(t.Context(), fmt.Sprint("Shop ", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		seen := 0
		for from := int64(1); ; {
			page, err := a.AuditLog(t.Context(), from, 2)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page.Data {
				seen++
				if l.Seq != int64(seen) || l.Actor != "operator:test" {
					t.Errorf("%+v", l)
				}
			}
			if page.NextFrom == nil {
				break
			}
			from = *page.NextFrom
		}
		if v, err := a.VerifyAudit(t.Context(), ""); err != nil || !v.OK || seen != 5 || v.Lines != 5 {
			t.Errorf("%d lines seen, %+v, %v", seen, v, err)
		}
	})
}

// TestVerifyAuditSeesAChangedLine changes a line behind the trigger's back, as only the database's owner can.
func TestVerifyAuditSeesAChangedLine(t *testing.T) {
	dsn := testkit.Postgres(t)
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := openAdmin(t, s)
	for i := range 3 {
		if _, err := a.CreateMerchant(t.Context(), fmt.Sprint("Shop ", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if v, err := a.VerifyAudit(t.Context(), ""); err != nil || !v.OK { // it chains what was written
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE audit_log SET actor = 'somebody else' WHERE seq = 2"); err == nil {
		t.Error("the log can be changed through SQL")
	}
	_, err = db.ExecContext(t.Context(),
		"ALTER TABLE audit_log DISABLE TRIGGER ALL; UPDATE audit_log SET actor = 'somebody else' WHERE seq = 2")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := a.VerifyAudit(t.Context(), ""); err != nil || v.OK || v.Lines != 1 ||
		!strings.Contains(v.Problem, "line 2") {
		t.Errorf("%+v, %v", v, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := a.VerifyAudit(gone, ""); err == nil {
		t.Errorf("without a database the verdict is %+v", v)
	}
}

// TestRefusedOperationsLeaveNoLine: what is refused is neither done nor in the audit log.
func TestRefusedOperationsLeaveNoLine(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		a := openAdmin(t, s)
		m, err := a.CreateMerchant(t.Context(), "Shop", "")
		if err != nil {
			t.Fatal(err)
		}
		operations := map[string]func() error{
			"no name": func() error { _, err := a.CreateMerchant(t.Context(), " ", ""); return err },
			"no xpub": func() error { _, err := a.SetXPub(t.Context(), m.Merchant.ID, ""); return err },
			"wrong scope": func() error {
				_, err := a.CreateKey(t.Context(), admin.KeyRequest{MerchantID: m.Merchant.ID, Name: "k",
					Scopes: []models.Scope{"x"}})
				return err
			},
			"past expiry": func() error {
				_, err := a.CreateKey(t.Context(), admin.KeyRequest{MerchantID: m.Merchant.ID, Name: "k", ExpiresIn: -1})
				return err
			},
			"no merchant": func() error {
				_, err := a.CreateKey(t.Context(), admin.KeyRequest{MerchantID: "mer_x", Name: "k"})
				return err
			},
			"bad url": func() error {
				_, err := a.CreateEndpoint(t.Context(), admin.EndpointRequest{MerchantID: m.Merchant.ID, URL: "ftp://x"})
				return err
			},
			"no endpoint": func() error { _, err := a.RotateSecret(t.Context(), "we_x", admin.Rotation{}); return err },
			"no key":      func() error { _, err := a.RevokeKey(t.Context(), "key_x", false); return err },
		}
		for name, operation := range operations {
			if err := operation(); err == nil {
				t.Errorf("%s was done", name)
			}
		}
		if v, err := a.VerifyAudit(t.Context(), ""); err != nil || v.Lines != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}
