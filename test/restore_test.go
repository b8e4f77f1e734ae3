package test

import (
	"bytes"
	"math/big"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// aged lets a cluster have had far more transactions than the one that the dump is loaded into.
const aged = "DO $$ BEGIN FOR i IN 1..30000 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$"

// restored is a gateway whose database is dumped, goes on, is lost, and is loaded into a younger cluster.
type restored struct {
	*fixture
	chain  *devnet.Chain
	old    *testkit.PostgresServer
	env    string // DATABASE_URL of the restored one
	mu     sync.Mutex
	refuse string            // the receiver refuses the events of this payment
	given  map[string]string // addresses, and the order that each was given to
}

func newRestored(t *testing.T) *restored {
	t.Helper()
	r := &restored{fixture: &fixture{t: t, receiver: testkit.NewReceiver(t)}, chain: startDevnet(t),
		old: testkit.PrivatePostgres(t, testkit.PostgresOptions{}), given: make(map[string]string)}
	if err := r.old.Exec("postgres", aged); err != nil {
		t.Fatal(err)
	}
	dsn, err := r.old.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = gateway.New(t, gateway.Options{Chain: gethNode(r.chain, 2), DatabaseURL: dsn, Env: []string{
		"WEBHOOK_LANES=2", "WEBHOOK_RETRY_BASE=1s", "WEBHOOK_RETRY_MAX=2s", "WEBHOOK_MAX_ATTEMPTS=100"}})
	for _, role := range roles {
		r.Start(role)
	}
	r.WaitReady(roles...)
	r.WaitScanned()
	r.merchant = r.NewMerchant()
	r.api = r.API(r.merchant)
	e := r.NewEndpoint(r.merchant, client.WebhookEndpointCreate{URL: r.receiver.URL + "/hooks"})
	r.endpoint, r.secret = e.ID, e.Secret
	r.receiver.Script(func(got testkit.Received) testkit.Answer {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse != "" && bytes.Contains(got.Body, []byte(r.refuse)) {
			return testkit.Answer{Status: 503}
		}
		return testkit.Answer{}
	})
	return r
}

// order makes a payment and holds its address against all that were given.
func (r *restored) order(key string) client.Payment {
	r.t.Helper()
	p := r.create(r.t.Context(), key, "native", "1000000000000")
	if other, twice := r.given[p.Address]; twice {
		r.t.Errorf("%s was given to %s and to %s", p.Address, other, key)
	}
	r.given[p.Address] = key
	return p
}

func (r *restored) pay(p client.Payment) {
	r.t.Helper()
	if _, err := r.chain.SendNative(r.t.Context(), r.chain.DemoPayer(), p.Address, big.NewInt(1e12)); err != nil {
		r.t.Fatal(err)
	}
}

// told waits until an event of a payment has come after the first n requests.
func (r *restored) told(p client.Payment, kind webhook.EventType, after int) testkit.Received {
	r.t.Helper()
	return r.receiver.WaitFor(r.t, func(got testkit.Received) bool {
		return got.Seq > after && got.Type() == string(kind) && bytes.Contains(got.Body, []byte(p.ID))
	}, time.Minute)
}

// events are the ids that a database has, with payment, type and sequence.
func (r *restored) events() map[string]string {
	r.t.Helper()
	rows, err := r.DB.Query("SELECT id, concat_ws(' ', payment_id, type, sequence) FROM events")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[string]string)
	for rows.Next() {
		var id, what string
		if err := rows.Scan(&id, &what); err != nil {
			r.t.Fatal(err)
		}
		all[id] = what
	}
	return all
}

// lose stops everything, empties Redis, and loads the dump into a cluster that has had few transactions.
func (r *restored) lose(dump string) {
	r.t.Helper()
	for _, role := range roles {
		r.Stop(role)
	}
	r.Redis.Flush(r.t)
	young := testkit.PrivatePostgres(r.t, testkit.PostgresOptions{})
	dsn, err := young.NewDatabase(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	young.Restore(r.t, dsn, dump)
	r.env, r.DatabaseURL = "DATABASE_URL="+dsn, dsn
	f := &failing{fixture: r.fixture}
	f.follow(young)
	r.t.Cleanup(r.StopAll) // before the server ends
	if _, err := r.DB.Exec(`UPDATE deliveries SET next_attempt_at = next_attempt_at - interval '1 hour',
		sweep_after = sweep_after - interval '1 hour' WHERE state = 'pending'`); err != nil { // the dump is an hour old
		r.t.Fatal(err)
	}
}

// TestRestore dumps a database, lets it go on, and loads the dump elsewhere, as going-live.md says.
func TestRestore(t *testing.T) {
	r := newRestored(t)
	done, open := r.order("done"), r.order("open")
	r.pay(done)
	r.told(done, webhook.PaymentConfirmed, 0)
	r.mu.Lock()
	r.refuse = "late-order"
	r.mu.Unlock()
	late := r.order("late-order")
	r.told(late, webhook.PaymentCreated, 0)
	held := r.events()
	dump := filepath.Join(t.TempDir(), "ctrip.dump")
	r.old.Dump(t, r.DatabaseURL, dump)

	// The hour that will be lost.
	r.mu.Lock()
	r.refuse = ""
	r.mu.Unlock()
	r.order("lost")
	r.pay(open)
	r.told(open, webhook.PaymentConfirmed, 0)
	cursor := lastEvent(t, &failing{fixture: r.fixture})
	r.lose(dump)

	r.refusesPayments()
	if _, err := r.TryCtlWith([]string{r.env}, "restore", "prepare"); err != nil {
		t.Fatal(err)
	}
	sent := len(r.receiver.All())
	for _, role := range roles {
		r.Start(role, r.env)
	}
	r.WaitReady(roles...)
	r.told(late, webhook.PaymentCreated, sent)
	again := r.told(open, webhook.PaymentConfirmed, sent)
	if _, known := held[again.ID()]; known {
		t.Errorf("what happened after the dump is told under %s, which the dump has", again.ID())
	}
	fresh := r.order("fresh")
	r.pay(fresh)
	r.told(fresh, webhook.PaymentConfirmed, sent)
	r.order("fresh-2")
	r.caughtUp()
	r.everythingIsSent()
	r.oneIDEach(held)
	r.readersSee(held, cursor)
}

// refusesPayments: before somebody has prepared it the restored gateway makes no payments and says so everywhere.
func (r *restored) refusesPayments() {
	r.t.Helper()
	out, err := r.TryCtlWith([]string{r.env}, "restore", "check")
	if text := string(out); err != nil && !strings.Contains(err.Error(), "restore") || err == nil &&
		!strings.Contains(text, "not prepared") {
		r.t.Errorf("restore check says %s%v", out, err)
	}
	r.Start("api", r.env)
	r.WaitReady("api")
	amount, key := "1000000000000", "too-early"
	in := client.PaymentCreate{Chain: r.Chain, Asset: "native", Amount: &amount, OrderID: &key}
	p, err := r.api.CreatePayment(r.t.Context(), in, client.IdempotencyKey(key))
	if err == nil || !strings.Contains(err.Error(), "restore_unfinished") {
		r.t.Errorf("a payment is answered %+v, %v", p, err)
	}
	r.Stop("api")
}

// caughtUp waits until the scanner has come to where the chain is.
func (r *restored) caughtUp() {
	r.t.Helper()
	testkit.Eventually(r.t, time.Minute, "the scanner has caught up", func() bool {
		var n uint64
		err := r.DB.QueryRow("SELECT max(number) FROM chain_cursors").Scan(&n)
		return err == nil && n+3 >= r.chain.Head().Number
	})
}

func (r *restored) everythingIsSent() {
	r.t.Helper()
	testkit.Eventually(r.t, time.Minute, "everything is delivered", func() bool {
		var n int
		err := r.DB.QueryRow("SELECT count(*) FROM deliveries WHERE state <> 'delivered'").Scan(&n)
		return err == nil && n == 0
	})
	got := make(map[string]bool)
	for _, one := range r.receiver.All() {
		got[one.ID()] = true
	}
	for id, what := range r.events() {
		if !got[id] {
			r.t.Errorf("%s (%s) was never sent", id, what)
		}
	}
}

// oneIDEach: what the dump holds has kept its id, and nothing has come under the same sequence twice.
func (r *restored) oneIDEach(held map[string]string) {
	r.t.Helper()
	now := r.events()
	bySequence := make(map[string]string)
	for id, what := range now {
		if other, twice := bySequence[what]; twice {
			r.t.Errorf("%s has two ids: %s and %s", what, id, other)
		}
		bySequence[what] = id
	}
	for id, what := range held {
		if now[id] != what {
			r.t.Errorf("%s (%s) of the dump is %q now", id, what, now[id])
		}
	}
}

// readersSee: who reads from the start sees all and every new one; who had read what is lost is shown what is new.
func (r *restored) readersSee(held map[string]string, cursor string) {
	r.t.Helper()
	now := r.events()
	read := func(after string) map[string]bool {
		r.t.Helper()
		seen := make(map[string]bool)
		for {
			page, err := r.api.ListEvents(r.t.Context(), client.ListEventsParams{After: &after})
			if err != nil || page.NextCursor == nil {
				r.t.Fatalf("%+v, %v", page, err)
			}
			for _, raw := range page.Data {
				e, err := webhook.Decode(raw)
				if err != nil {
					r.t.Fatal(err)
				}
				seen[e.ID] = true
			}
			if len(page.Data) == 0 {
				return seen
			}
			after = *page.NextCursor
		}
	}
	all, since := read("0"), read(cursor)
	for id, what := range now {
		if !all[id] {
			r.t.Errorf("%s (%s) is not in /events?after=0", id, what)
		}
		if _, old := held[id]; !old && !since[id] {
			r.t.Errorf("%s (%s) is not shown to a reader from before", id, what)
		}
	}
}
