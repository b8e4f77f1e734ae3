package sqlguard_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/glebarez/go-sqlite"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
	"github.com/ctrip-gateway/ctrip/webhook/guardtest"
	"github.com/ctrip-gateway/ctrip/webhook/sqlguard"
)

func each(t *testing.T, f func(t *testing.T, db *sql.DB, p sqlguard.Placeholders)) {
	for name, open := range map[string]func() (*sql.DB, error){
		"postgres": func() (*sql.DB, error) { return sql.Open("pgx", testkit.Postgres(t)) },
		"sqlite": func() (*sql.DB, error) {
			return sql.Open("sqlite", filepath.Join(t.TempDir(), "shop.db")+"?_pragma=busy_timeout(5000)&_txlock=immediate")
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			for range 2 { // it may be there already
				if _, err := db.Exec(sqlguard.Schema); err != nil {
					t.Fatal(err)
				}
			}
			p := sqlguard.Placeholders(sqlguard.Question)
			if name == "postgres" {
				p = sqlguard.Dollar
			}
			f(t, db, p)
		})
	}
}

func TestGuard(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, p sqlguard.Placeholders) {
		now := time.Now()
		g, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: p, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		guardtest.Run(t, g, func() { now = now.Add(webhook.DefaultClaimTTL) })
		if n, err := g.Forget(t.Context()); err != nil || n == 0 { // claims that nobody finished
			t.Fatalf("%d ids forgotten, %v", n, err)
		}
		if c, err := g.Claim(t.Context(), "evt_a"); err != nil || c.State != webhook.ClaimDone {
			t.Fatalf("a handled id was forgotten: %+v, %v", c, err)
		}
		now = now.Add(webhook.DefaultGuardTTL)
		if c, err := g.Claim(t.Context(), "evt_a"); err != nil || c.State != webhook.ClaimWon {
			t.Fatalf("after its time: %+v, %v", c, err)
		}
	})
}

// TestInsert: effect and id are committed together or not at all.
func TestInsert(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, p sqlguard.Placeholders) {
		g, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: p})
		if err != nil {
			t.Fatal(err)
		}
		insert := func(end func(*sql.Tx) error) bool {
			t.Helper()
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			fresh, err := g.Insert(t.Context(), tx, "evt_1")
			if err != nil {
				t.Fatal(err)
			}
			if err := end(tx); err != nil {
				t.Fatal(err)
			}
			return fresh
		}
		for i, c := range []struct {
			end  func(*sql.Tx) error
			want bool
		}{{(*sql.Tx).Rollback, true}, {(*sql.Tx).Commit, true}, {(*sql.Tx).Commit, false}} {
			if got := insert(c.end); got != c.want {
				t.Errorf("insert %d: %v", i, got)
			}
		}
		if c, err := g.Claim(t.Context(), "evt_1"); err != nil || c.State != webhook.ClaimDone {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// TestInsertBesideClaims: an id that is claimed is not taken for handled, and a claim of a process that died gives it
// free.
func TestInsertBesideClaims(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, p sqlguard.Placeholders) {
		now := time.Now()
		g, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: p, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		claim, err := g.Claim(t.Context(), "evt_1")
		if err != nil || claim.State != webhook.ClaimWon {
			t.Fatalf("%+v, %v", claim, err)
		}
		insert := func() (fresh bool, err error) {
			t.Helper()
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if fresh, err = g.Insert(t.Context(), tx, "evt_1"); err != nil {
				return fresh, errors.Join(err, tx.Rollback())
			}
			return fresh, tx.Commit()
		}
		if fresh, err := insert(); fresh || !errors.Is(err, sqlguard.ErrClaimed) {
			t.Fatalf("while it is claimed: %v, %v", fresh, err)
		}
		now = now.Add(webhook.DefaultClaimTTL)
		if fresh, err := insert(); !fresh || err != nil {
			t.Fatalf("after the claim ran out: %v, %v", fresh, err)
		}
		if err := g.Release(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
		if fresh, err := insert(); fresh || err != nil {
			t.Fatalf("handled: %v, %v", fresh, err)
		}
		// A handler that outlived its claim, which was dropped and taken anew, still records what it did.
		if claim, err = g.Claim(t.Context(), "evt_2"); err != nil {
			t.Fatal(err)
		}
		now = now.Add(webhook.DefaultClaimTTL)
		if n, err := g.Forget(t.Context()); err != nil || n != 1 {
			t.Fatalf("%d, %v", n, err)
		}
		if err := g.Commit(t.Context(), claim); err != nil {
			t.Fatal(err)
		}
		if again, err := g.Claim(t.Context(), "evt_2"); err != nil || again.State != webhook.ClaimDone {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

// TestInsertAtOnce: however many copies of an event come at once, and whichever of them fail, its effect is there once.
func TestInsertAtOnce(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, p sqlguard.Placeholders) {
		g, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: p})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE TABLE effects (event VARCHAR(64) NOT NULL)"); err != nil {
			t.Fatal(err)
		}
		handle := func(id string) error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			fresh, err := g.Insert(t.Context(), tx, id)
			if err != nil || !fresh {
				return err
			}
			if _, err := tx.ExecContext(t.Context(), "INSERT INTO effects VALUES ("+p(1)+")", id); err != nil {
				return err
			}
			return tx.Commit()
		}
		const events, copies = 5, 8
		var done [events]atomic.Int32
		var wg sync.WaitGroup
		for range copies {
			wg.Go(func() {
				for i := range events {
					if handle(fmt.Sprintf("evt_%d", i)) == nil {
						done[i].Add(1)
					}
				}
			})
		}
		wg.Wait()
		var total, distinct int
		if err := db.QueryRow("SELECT COUNT(*), COUNT(DISTINCT event) FROM effects").Scan(&total, &distinct); err != nil {
			t.Fatal(err)
		}
		if total != events || distinct != events {
			t.Errorf("%d effects of %d events, want %d of %d", total, distinct, events, events)
		}
		for i := range done {
			if done[i].Load() == 0 {
				t.Errorf("event %d was answered with a failure alone", i)
			}
		}
	})
}

func TestFaults(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]sqlguard.Options{
		"nothing": {}, "no placeholders": {DB: db}, "negative": {DB: db, Placeholders: sqlguard.Question, TTL: -1},
	} {
		if _, err := sqlguard.New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	g, err := sqlguard.New(sqlguard.Options{DB: db, Placeholders: sqlguard.Question})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if c, err := g.Claim(context.Background(), "evt_1"); err == nil {
		t.Errorf("a database that is gone: %+v", c)
	}
}
