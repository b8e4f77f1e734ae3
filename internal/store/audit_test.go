package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// unguard takes away what keeps the log append-only, as only the database's owner can.
func unguard(t *testing.T, s *store.Store) {
	t.Helper()
	statements := []string{"ALTER TABLE audit_log DISABLE TRIGGER ALL"}
	if s.Dialect() == store.SQLite {
		statements = []string{"DROP TRIGGER audit_log_no_update", "DROP TRIGGER audit_log_no_delete",
			"DROP TRIGGER audit_log_no_replace"}
	}
	for _, do := range statements {
		if err := s.Exec(t, do); err != nil {
			t.Fatal(err)
		}
	}
}

func writeAudit(t *testing.T, s *store.Store, lines int, actor string) {
	t.Helper()
	for i := range lines {
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			return tx.Audit(t.Context(), models.AuditEntry{
				At: noon.Add(time.Duration(i) * time.Second), Actor: actor, Action: fmt.Sprint("test.", i),
				Subject: fmt.Sprint("we_", i), Merchant: "mer_1", Detail: map[string]string{"n": fmt.Sprint(i)}, IP: "192.0.2.1",
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestAuditTampering does to the log what its owner could, on both engines. What reading all of it cannot show (an end
// that was cut off, a log that was hashed anew) who knows its last line sees.
func TestAuditTampering(t *testing.T) {
	const shift = "UPDATE audit_log SET seq = -seq - 1 WHERE seq > 3; UPDATE audit_log SET seq = -seq WHERE seq < 0; "
	const fields = "at, actor, action, subject, merchant, detail, ip"
	for name, c := range map[string]struct {
		do     string
		alone  string // what reading all of it says; "" where it can say nothing
		unkind bool   // whole by itself
	}{
		"at":                 {do: "UPDATE audit_log SET at = '2020-01-01 00:00:00+00:00' WHERE seq = 3", alone: "line 3 was changed"},
		"actor":              {do: "UPDATE audit_log SET actor = 'x' WHERE seq = 3", alone: "line 3 was changed"},
		"action":             {do: "UPDATE audit_log SET action = 'x' WHERE seq = 3", alone: "line 3 was changed"},
		"subject":            {do: "UPDATE audit_log SET subject = 'x' WHERE seq = 3", alone: "line 3 was changed"},
		"merchant":           {do: "UPDATE audit_log SET merchant = '' WHERE seq = 3", alone: "line 3 was changed"},
		"detail":             {do: `UPDATE audit_log SET detail = '{"n":"2","m":""}' WHERE seq = 3`, alone: "line 3 was changed"},
		"ip":                 {do: "UPDATE audit_log SET ip = '' WHERE seq = 3", alone: "line 3 was changed"},
		"moved text":         {do: "UPDATE audit_log SET actor = 'syste', action = 'mtest.2' WHERE seq = 3", alone: "line 3 was changed"},
		"hash":               {do: "UPDATE audit_log SET hash = 'x' WHERE seq = 3", alone: "line 3 was changed"},
		"hash of the last":   {do: "UPDATE audit_log SET hash = 'x' WHERE seq = 6", alone: "line 6 was changed"},
		"hash before":        {do: "UPDATE audit_log SET prev_hash = '' WHERE seq = 3", alone: "line 3 does not follow"},
		"removed first":      {do: "DELETE FROM audit_log WHERE seq = 1", alone: "line 1 is missing"},
		"removed":            {do: "DELETE FROM audit_log WHERE seq = 3", alone: "line 3 is missing"},
		"removed and closed": {do: "DELETE FROM audit_log WHERE seq = 3; UPDATE audit_log SET seq = -seq + 1 WHERE seq > 3; UPDATE audit_log SET seq = -seq WHERE seq < 0", alone: "line 3 does not follow"},
		"inserted":           {do: shift + "INSERT INTO audit_log SELECT 4, " + fields + ", hash, 'x' FROM audit_log WHERE seq = 3", alone: "line 4 was changed"},
		"inserted before":    {do: "INSERT INTO audit_log SELECT 0, " + fields + ", '', 'x' FROM audit_log WHERE seq = 1", alone: "line 0"},
		"repeated":           {do: shift + "INSERT INTO audit_log SELECT 4, " + fields + ", prev_hash, hash || '0' FROM audit_log WHERE seq = 3", alone: "line 4 does not follow"},
		"reordered":          {do: "UPDATE audit_log SET seq = -3 WHERE seq = 3; UPDATE audit_log SET seq = 3 WHERE seq = 4; UPDATE audit_log SET seq = 4 WHERE seq = -3", alone: "line 3 does not follow"},
		"appended":           {do: "INSERT INTO audit_log SELECT 7, " + fields + ", hash, 'x' FROM audit_log WHERE seq = 6", alone: "line 7 was changed"},
		"cut off":            {do: "DELETE FROM audit_log WHERE seq > 4", unkind: true},
		"emptied":            {do: "DELETE FROM audit_log", unkind: true},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, s *store.Store) {
				writeAudit(t, s, 6, "system")
				mark, err := s.VerifyAuditAgainst(t.Context(), store.AuditMark{})
				if err != nil || mark.Seq != 6 {
					t.Fatal(mark, err)
				}
				unguard(t, s)
				for do := range strings.SplitSeq(c.do, "; ") {
					if err := s.Exec(t, do); err != nil {
						t.Fatal(err)
					}
				}
				if _, err = s.VerifyAudit(t.Context()); c.unkind != (err == nil) || err != nil &&
					(!errors.Is(err, store.ErrAudit) || !strings.Contains(err.Error(), c.alone)) {
					t.Errorf("alone: %v", err)
				}
				if _, err = s.VerifyAuditAgainst(t.Context(), mark); !errors.Is(err, store.ErrAudit) {
					t.Errorf("against the last line: %v", err)
				}
			})
		})
	}
}

// TestAuditHashedAnew: an owner who changes a line and hashes all that follows has a log that is whole, and not the one
// that was there.
func TestAuditHashedAnew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		writeAudit(t, s, 6, "system")
		early, err := s.FollowAudit(t.Context(), store.AuditMark{})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := s.AuditLog(t.Context(), 1, 10)
		if err != nil {
			t.Fatal(err)
		}
		unguard(t, s)
		lines[2].Actor = "somebody else"
		for i := 2; i < len(lines); i++ {
			lines[i].PrevHash = lines[i-1].Hash
			lines[i].Hash = lines[i].ChainHash()
			do := fmt.Sprintf("UPDATE audit_log SET actor = '%s', prev_hash = '%s', hash = '%s' WHERE seq = %d", lines[i].Actor,
				lines[i].PrevHash, lines[i].Hash, i+1)
			if err := s.Exec(t, do); err != nil {
				t.Fatal(err)
			}
		}
		writeAudit(t, s, 2, "system")
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 8 {
			t.Fatalf("%d, %v", n, err)
		}
		if got, err := s.VerifyAuditAgainst(t.Context(), early); !errors.Is(err, store.ErrAudit) || got.Seq != 8 {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := s.FollowAudit(t.Context(), early); !errors.Is(err, store.ErrAudit) || got != early {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestFollowAudit: a mark moves with the log, over lines that several writers append at once.
func TestFollowAudit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		var mark store.AuditMark
		for n := range 3 {
			writeAudit(t, s, 2, "system")
			next, err := s.FollowAudit(t.Context(), mark)
			if err != nil || next.Seq != int64(2*n+2) || next.Hash == "" {
				t.Fatalf("%+v, %v", next, err)
			}
			mark = next
		}
		if again, err := store.ParseAuditMark(mark.String()); err != nil || again != mark {
			t.Errorf("%s reads back as %v, %v", mark, again, err)
		}
		for _, bad := range []string{"", "6", "6:", ":" + mark.Hash, "0:" + mark.Hash, "06:" + mark.Hash, "6:" +
			mark.Hash[1:], "6:" + strings.ToUpper(mark.Hash), "99999999999999999999:" + mark.Hash} {
			if got, err := store.ParseAuditMark(bad); err == nil && bad != mark.String() {
				t.Errorf("%q: %v", bad, got)
			}
		}
	})
}

// TestAuditWritersDoNotWait: a writer whose transaction stays open holds up no other one, whose line is chained
// meanwhile; its own line follows.
func TestAuditWritersDoNotWait(t *testing.T) {
	s := storetest.Postgres(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	line := func(action string) models.AuditEntry {
		return models.AuditEntry{At: noon, Actor: "system", Action: action}
	}
	err := s.InTx(ctx, func(slow *store.Tx) error {
		if err := slow.Audit(ctx, line("test.slow")); err != nil {
			return err
		}
		if err := s.InTx(ctx, func(quick *store.Tx) error { return quick.Audit(ctx, line("test.quick")) }); err != nil {
			return err
		}
		lines, err := s.AuditLog(ctx, 1, 10)
		if err != nil || len(lines) != 1 || lines[0].Action != "test.quick" {
			t.Errorf("%+v, %v", lines, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines, err := s.AuditLog(ctx, 1, 10); err != nil || len(lines) != 2 || lines[1].Action != "test.slow" {
		t.Errorf("%+v, %v", lines, err)
	}
}

// TestAuditByMany: every line of many writers, and of a binary of before that chains its own, is in the log once,
// whoever chains and however many do at once. What failed leaves none.
func TestAuditByMany(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, stop := context.WithCancel(t.Context())
		var chaining, writing sync.WaitGroup
		for range 3 {
			chaining.Go(func() {
				if err := s.RunAudit(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		const writers, each = 8, 20
		failed := errors.New("rolled back")
		for w := range writers {
			writing.Go(func() {
				for i := range each {
					err := s.InTx(t.Context(), func(tx *store.Tx) error {
						lines := []models.AuditEntry{
							{At: noon, Actor: "system", Action: "test.first", Subject: fmt.Sprint(w, "/", i)},
							{At: noon, Actor: "system", Action: "test.second", Subject: fmt.Sprint(w, "/", i)},
						}
						if err := tx.AuditAll(t.Context(), lines); err != nil || i%5 > 0 {
							return err
						}
						return failed
					})
					if err != nil && !errors.Is(err, failed) {
						t.Error(err)
					}
				}
			})
		}
		writing.Wait()
		testkit.Eventually(t, 30*time.Second, "all is chained", func() bool {
			waits, err := s.AuditWaits(t)
			return err == nil && waits == 0
		})
		stop()
		chaining.Wait()
		n, err := s.VerifyAudit(t.Context())
		if want := int64(2 * writers * each * 4 / 5); err != nil || n != want {
			t.Fatalf("%d lines, %v, want %d", n, err, want)
		}
		lines, err := s.AuditLog(t.Context(), 1, 1000)
		seen := map[string]string{}
		for _, l := range lines {
			switch before := seen[l.Subject]; {
			case before == "" && l.Action == "test.first", before == "test.first" && l.Action == "test.second":
				seen[l.Subject] = l.Action
			default:
				t.Errorf("%s of %s after %q", l.Action, l.Subject, before)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestAuditEntriesStay: a line that is not chained yet can be neither changed nor removed through SQL.
func TestAuditEntriesStay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		writeAudit(t, s, 3, "system")
		for _, do := range []string{"UPDATE audit_entries SET actor = 'x' WHERE id = 2", "DELETE FROM audit_entries",
			"DELETE FROM audit_entries WHERE id = 3"} {
			if err := s.Exec(t, do); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", do, err)
			}
		}
		if s.Dialect() == store.Postgres {
			if err := s.Exec(t, "TRUNCATE audit_entries"); err == nil {
				t.Error("the lines that wait were emptied at once")
			}
		}
		if n, err := s.VerifyAudit(t.Context()); err != nil || n != 3 {
			t.Errorf("%d lines, %v", n, err)
		}
	})
}

// TestMerchantAuditIsBounded: one question looks at so many lines of a merchant, whatever of them somebody may read,
// and says where to go on.
func TestMerchantAuditIsBounded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		writeAudit(t, s, 1, "key:mine")
		writeAudit(t, s, 25, "key:other")
		f := store.AuditFilter{Actors: []string{"key:mine"}, Limit: 5, Look: 10}
		for range 2 {
			lines, older, err := s.MerchantAudit(t.Context(), "mer_1", f)
			if err != nil || len(lines) != 0 || older == 0 || f.Before != 0 && older != f.Before-10 {
				t.Fatalf("before %d: %d lines, then %d, %v", f.Before, len(lines), older, err)
			}
			f.Before = older
		}
		lines, older, err := s.MerchantAudit(t.Context(), "mer_1", f)
		if err != nil || len(lines) != 1 || lines[0].Actor != "key:mine" || older != 0 {
			t.Errorf("before %d: %v, then %d, %v", f.Before, lines, older, err)
		}
	})
}
