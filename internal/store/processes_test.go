package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestProcesses(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := models.Process{ID: "host-1-a", Role: "worker", Version: "v1", Schema: store.SchemaVersion, MaxConns: 32}
		var first models.Process
		for range 2 {
			if _, err := s.Seen(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			all, now, err := s.Processes(t.Context())
			if err != nil || len(all) != 1 || !all[0].IsAlive(now) || all[0].Role != "worker" || all[0].MaxConns != 32 {
				t.Fatalf("%+v, %v", all, err)
			}
			if first.ID == "" {
				first = all[0]
			}
			if !all[0].StartedAt.Equal(first.StartedAt) || all[0].SeenAt.Before(first.SeenAt) {
				t.Errorf("the second sign changed %+v to %+v", first, all[0])
			}
		}
		if first.IsAlive(first.SeenAt.Add(models.ProcessAlive + time.Second)) {
			t.Error("a process that gave no sign is alive")
		}
		if err := s.RemoveProcess(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
		if all, _, err := s.Processes(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		if err := s.ProbeVerdict(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestReadOnlyServer turns the server read-only under open connections: the first refused write drops them all, new
// ones are refused with words, and writes succeed as soon as the server takes them again.
func TestReadOnlyServer(t *testing.T) {
	pg := testkit.PrivatePostgres(t, testkit.PostgresOptions{})
	dsn, err := pg.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := models.Process{ID: "p", Role: "api"}
	if _, err := s.Seen(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	pg.SetReadOnly(t, true)
	testkit.Eventually(t, 30*time.Second, "writes are refused", func() bool {
		return store.IsUnavailable(s.ProbeVerdict(t.Context()))
	})
	select {
	case <-s.RefusedWrites():
	case <-time.After(30 * time.Second):
		t.Error("nobody was told")
	}
	if _, err := s.Seen(t.Context(), p); !errors.Is(err, store.ErrReadOnly) || !store.IsUnavailable(err) {
		t.Errorf("a new connection: %v", err)
	}
	if _, err := store.Open(t.Context(), store.Options{DSN: dsn}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a boot on a read-only server: %v", err)
	}
	pg.SetReadOnly(t, false)
	testkit.Eventually(t, 30*time.Second, "writes succeed again", func() bool {
		return s.ProbeVerdict(t.Context()) == nil
	})
}

// TestRoleTimeouts lets the role's own timeouts end statements: each is an outage, no refusal and no conflict.
func TestRoleTimeouts(t *testing.T) {
	for _, setting := range []string{"statement_timeout", "lock_timeout"} {
		t.Run(setting, func(t *testing.T) {
			dsn := testkit.Postgres(t)
			s, err := store.Open(t.Context(), store.Options{DSN: dsn})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if _, err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			short, err := store.Open(t.Context(), store.Options{DSN: dsn + "&" + setting + "=100ms"})
			if err != nil {
				t.Fatal(err)
			}
			defer short.Close()
			e := newMerchant(t, s)
			held, release := make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() {
				done <- s.InTx(t.Context(), func(tx *store.Tx) error {
					_, err := tx.LockMerchant(t.Context(), e.ID)
					close(held)
					<-release
					return err
				})
			}()
			<-held
			err = short.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.LockMerchant(t.Context(), e.ID)
				return err
			})
			close(release)
			if !store.IsUnavailable(err) || store.IsConflict(err) {
				t.Errorf("%v", err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
