package test

import (
	"database/sql"
	"fmt"
	"net/url"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

func open(t *testing.T, dsn *url.URL) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// on is the database on another server.
func (f *failing) on(s *testkit.PostgresServer) *url.URL {
	f.t.Helper()
	u, err := url.Parse(f.DatabaseURL)
	if err != nil {
		f.t.Fatal(err)
	}
	u.Host = s.Addr()
	return u
}

// follow makes the test itself look at another server.
func (f *failing) follow(s *testkit.PostgresServer) {
	f.t.Helper()
	f.DB = open(f.t, f.on(s))
}

// waitReplicated waits until a standby has all that the primary has written.
func waitReplicated(t *testing.T, f *failing, standby *testkit.PostgresServer) {
	t.Helper()
	from, to := open(t, f.on(f.primary)), open(t, f.on(standby))
	var written string
	if err := from.QueryRow("SELECT pg_current_wal_lsn()").Scan(&written); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 30*time.Second, "the standby has everything", func() bool {
		var has bool
		err := to.QueryRow("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", written).Scan(&has)
		return err == nil && has
	})
}

// TestFailoverThatLosesCommits: a standby that lags becomes the primary. What it never got is gone; no address and no
// position is given twice all the same, what it has is sent, and readers who saw more go on.
func TestFailoverThatLosesCommits(t *testing.T) {
	c := startDevnet(t)
	f := newFailing(t, gethNode(c, 2), nil)
	standby := f.primary.Standby(t)
	defer f.StopAll() // before the servers end
	addresses := make(map[string]string)
	pay := func(tag string, n int) {
		t.Helper()
		for i := range n {
			p := f.create(t.Context(), fmt.Sprintf("%s-%d", tag, i), "native", "1000000000000")
			if other := addresses[p.Address]; other != "" && other != p.ID {
				t.Errorf("%s was given to %s and to %s", p.Address, other, p.ID)
			}
			addresses[p.Address] = p.ID
		}
	}
	pay("kept", 5)
	f.receiver.WaitCount(t, 5, 30*time.Second)
	waitReplicated(t, f, standby)
	if err := standby.Stop(); err != nil {
		t.Fatal(err)
	}
	pay("lost", 5)
	f.receiver.WaitCount(t, 10, 30*time.Second)
	seen := lastEvent(t, f)
	lost := make(map[string]bool)
	for _, r := range f.receiver.All()[5:] {
		lost[r.ID()] = true
	}

	if err := f.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Start(); err != nil {
		t.Fatal(err)
	}
	standby.Promote(t)
	begun := time.Now()
	f.front.Lead(standby.Addr())
	f.follow(standby)
	f.back(begun)
	pay("after", 5)
	f.WaitReady(roles...)
	testkit.Eventually(t, time.Minute, "everything is delivered", func() bool {
		var n int
		err := f.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
	ids := make(map[string]bool)
	rows, err := f.DB.Query("SELECT id FROM events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	got := make(map[string]int)
	for _, r := range f.receiver.All() {
		got[r.ID()]++
		if !ids[r.ID()] && !lost[r.ID()] {
			t.Errorf("%s is on no record", r.ID())
		}
	}
	for id := range ids {
		if got[id] == 0 {
			t.Errorf("%s was never sent", id)
		}
	}
	page, err := f.api.ListEvents(t.Context(), client.ListEventsParams{After: &seen})
	if err != nil {
		t.Fatal(err)
	}
	missing := len(ids) - 5 // all but those from before
	for _, raw := range page.Data {
		if e, err := webhook.Decode(raw); err != nil {
			t.Error(err)
		} else if ids[e.ID] {
			missing--
		}
	}
	if missing > 0 {
		t.Errorf("a reader who had seen %s is not shown %d new events", seen, missing)
	}
}

// lastEvent is the cursor of a reader who has seen everything.
func lastEvent(t *testing.T, f *failing) string {
	t.Helper()
	zero := "0"
	page, err := f.api.ListEvents(t.Context(), client.ListEventsParams{After: &zero})
	if err != nil || page.NextCursor == nil {
		t.Fatalf("%+v, %v", page, err)
	}
	return *page.NextCursor
}
