package cli

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ctrip-gateway/ctrip/internal/app/apptest"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// commandLines are the commands that change the record, each with what it needs, in an order in which each finds it.
// before is what the database is told first, with what nothing but a chain does; ids are given names as they come.
var commandLines = []struct{ before, command string }{
	{"", "merchant update {mer} --accept-late"},
	{"", "merchant suspend {mer}"},
	{"", "merchant reinstate {mer}"},
	{"", "merchant create --name Another"},
	{"", "merchant set-xpub {mer} --xpub-file {xpub}"},
	{"", "key create --merchant {mer} --name checkout"},
	{"", "key revoke {key}"},
	{"", "key reencrypt"},
	{"", "portal-link --merchant {mer} --scopes payments:read"},
	{"", "endpoint rotate-secret {we}"},
	{"", "endpoint set-mode {we} test"},
	{"", "signing-key rotate"},
	{"", "addresses export --merchant {mer}"},
	{"", "delivery pause --merchant {mer} --reason drill"},
	{"", "delivery resume --merchant {mer}"},
	{"", "pause --reason drill"},
	{"", "resume"},
	{"", "replay start {we} --after 2026-01-01T00:00:00Z --rate 1"},
	{"", "replay cancel {rep}"},
	{"", "delivery evidence {dlv}"},
	{"", "chain rescan devnet --from {block} --to {block}"},
	{"", "chain reconcile devnet"},
	{doubtRow, "doubt accept dbt_0k3mzq8r6a1b2c3d4e5f6g7h81 --reason seen"},
	{doubtRow, "doubt reject dbt_0k3mzq8r6a1b2c3d4e5f6g7h81 --reason unseen"},
	{"UPDATE payments SET quarantined_at = now(), quarantine_reason = 'x'", "quarantine retry"},
	{"UPDATE chain_cursors SET halted_at = now(), halt_reason = 'x'", "chain accept devnet"},
	{"", "chain reset devnet --start-block {block} --reason anew"},
	{"UPDATE database_identity SET cluster = 'another'", "restore prepare --complete"},
}

// doubtRow puts a doubt about the payment on record, in place of an earlier one.
const doubtRow = `DELETE FROM doubts; INSERT INTO doubts (id, kind, status, chain, chain_id, payment_id, merchant_id,
	tx_hash, asset, recipient, ordinal, sender, amount, source, block_number, block_hash, block_time, answers, settled_by,
	reason, created_at, updated_at)
	SELECT 'dbt_0k3mzq8r6a1b2c3d4e5f6g7h81', 'one_provider', 'open', p.chain, p.chain_id, p.id, p.merchant_id,
	'0x' || repeat('ab', 32), 'native', lower(p.address), 0, '0x' || repeat('cd', 20), 1, 'transaction', b.number, b.hash,
	now(), '[]', '', '', now(), now() FROM payments p, blocks b WHERE b.number = {block}`

// TestCommandsWriteTheirLines runs each command that changes the record, and sees the line that it wrote, by whom.
func TestCommandsWriteTheirLines(t *testing.T) {
	h := newCommands(t)
	left := map[string]bool{}
	for name := range audited {
		left[name] = true
	}
	for _, c := range commandLines {
		name := ""
		for candidate := range audited {
			if strings.HasPrefix(c.command+" ", candidate+" ") && len(candidate) > len(name) {
				name = candidate
			}
		}
		if c.before != "" {
			h.sql(h.filled(c.before))
		}
		h.writes(t, name, c.command)
		delete(left, name)
	}
	t.Setenv("DATABASE_URL", testkit.Postgres(t)) // an empty database
	h.open(t)
	h.writes(t, "migrate up", "migrate up")
	for _, name := range []string{"migrate up", "merchant create", "endpoint create"} {
		delete(left, name) // these made what the others are run on
	}
	if len(left) > 0 {
		t.Errorf("nobody runs %v", left)
	}
}

// commands runs ctripctl on the database of a gateway that has a merchant, an endpoint, a payment and its delivery, and
// has stopped.
type commands struct {
	t   *testing.T
	db  *sql.DB
	ids map[string]string
}

func newCommands(t *testing.T) *commands {
	dsn := testkit.Postgres(t)
	g := apptest.New(t, dsn)
	dir := t.TempDir()
	h := &commands{t: t, ids: map[string]string{"xpub": filepath.Join(dir, "xpub")}}
	xpub, err := devnet.NewXPub()
	h.must(err)
	h.must(os.WriteFile(h.ids["xpub"], []byte(xpub), 0o600))
	chains := filepath.Join(dir, "chains.yaml")
	h.must(os.WriteFile(chains, fmt.Appendf(nil, "- name: devnet\n  chain_id: %d\n  rpc_urls: [%q]\n  test: true\n"+
		"  finality: {depth: 2}\n  block_time: 1s\n  poll_interval: 200ms\n  native: {symbol: ETH, decimals: 18}\n",
		devnet.ChainID, g.Chain.URL()), 0o600))
	for name, value := range map[string]string{"ENV": "test", "DATABASE_URL": dsn, "MASTER_KEYS": apptest.MasterKeys,
		"CHAINS_FILE": chains} {
		t.Setenv(name, value)
	}
	h.open(t)
	var key string
	h.ids["mer"], key = g.NewMerchant()
	h.writes(t, "endpoint create", "endpoint create --merchant {mer} --url https://shop.example/ --mode both")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/api/v1/payments",
		strings.NewReader(`{"chain":"devnet","asset":"native","amount":"1"}`))
	h.must(err)
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	h.must(err)
	body, err := io.ReadAll(res.Body)
	h.must(err)
	res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("a payment: %s", body)
	}
	testkit.Eventually(t, time.Minute, "a block after the payment is recorded", func() bool {
		return h.one("SELECT count(*)::text FROM blocks b, payments p WHERE b.time > p.created_at") != "0"
	})
	g.Stop()
	h.ids["dlv"] = h.one("SELECT id FROM deliveries LIMIT 1")
	h.ids["block"] = h.one("SELECT max(number)::text FROM blocks")
	return h
}

func (h *commands) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open connects to the database that the commands are told of.
func (h *commands) open(t *testing.T) {
	t.Helper()
	var err error
	h.db, err = sql.Open("pgx", os.Getenv("DATABASE_URL"))
	h.must(err)
	t.Cleanup(func() { h.must(h.db.Close()) })
}

func (h *commands) sql(text string) {
	h.t.Helper()
	for statement := range strings.SplitSeq(text, "; ") {
		if _, err := h.db.ExecContext(h.t.Context(), statement); err != nil {
			h.t.Fatalf("%v: %s", err, statement)
		}
	}
}

func (h *commands) one(query string) (text string) {
	h.t.Helper()
	h.must(h.db.QueryRowContext(h.t.Context(), query).Scan(&text))
	return text
}

func (h *commands) filled(text string) string {
	for name, id := range h.ids {
		text = strings.ReplaceAll(text, "{"+name+"}", id)
	}
	return text
}

var printedID = regexp.MustCompile(`\b(mer|key|we|rep)_[0-9a-z]{20,}`)

// writes runs a command, and holds the lines that it wrote against the one of the table.
func (h *commands) writes(t *testing.T, name, command string) {
	t.Helper()
	const lines = " FROM (SELECT action, actor FROM audit_log UNION ALL SELECT action, actor FROM audit_entries) lines " +
		"WHERE actor LIKE 'operator:%' AND actor <> 'operator:test'"
	count := "SELECT count(*)::text" + lines + " AND action LIKE '" + audited[name] + "%'"
	before := "0"
	if name != "migrate up" {
		before = h.one(count)
	}
	var out, errs bytes.Buffer
	args := strings.Fields(h.filled(command))
	if code := Run(context.Background(), args, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Errorf("%s: exit %d: %s", command, code, &errs)
		return
	}
	for _, id := range printedID.FindAllString(out.String(), -1) {
		if prefix, _, _ := strings.Cut(id, "_"); h.ids[prefix] == "" {
			h.ids[prefix] = id
		}
	}
	if h.one(count) == before {
		t.Errorf("%s wrote no line %s: %s", command, audited[name], h.one("SELECT string_agg(action, ' ')"+lines))
	}
}
