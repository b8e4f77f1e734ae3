package api

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	neighbourRounds = 3  // alone and beside the other one, in turn
	neighbourProbes = 10 // requests in a round
	// neighbourTries is how often it is measured again, because a machine may be busy for a while.
	neighbourTries = 4
	// noise is how much longer a request takes on a busy machine without anybody's fault, also with the race detector; who
	// has to wait for another merchant waits for seconds.
	noise = 500 * time.Millisecond
	// busyRate is what a merchant may ask for in a second in the long run.
	busyRate = 50
)

// neighbours are two merchants at one server: one makes as many requests as they may, the other a few.
type neighbours struct {
	*counter
	busy, quiet tenant
	held        chan struct{} // proofs of the busy one wait for it
	serial      atomic.Int64
}

type tenant struct {
	id, key, endpoint, payment, delivery string
	visitor                              visitor
}

func newNeighbours(t *testing.T) *neighbours {
	n := &neighbours{held: make(chan struct{})}
	var o Options
	n.counter = newCounter(t, storetest.Postgres(t), func(given *Options) {
		given.Limits.Rate, given.Limits.Burst, given.WebhookTimeout = 1e6, 1e6, 10*time.Second
		given.Limits.Timeout = time.Minute
		given.Shares = limits.NewShares(given.Store.PoolStats().MaxOpenConnections)
		given.Prove = func(ctx context.Context, _ uint64, at chain.Ref, claims []chain.Claim) ([]chain.Evidence, error) {
			if claims[0].Value.Int64() == 2 { // the busy one's
				select {
				case <-n.held:
				case <-ctx.Done():
				}
			}
			return make([]chain.Evidence, len(claims)), ctx.Err()
		}
		o = *given
	})
	mountPages(t, n.Server, o)
	chaining, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var ended sync.WaitGroup
	ended.Go(func() { _ = n.store.RunAudit(chaining) })
	t.Cleanup(func() { stop(); ended.Wait() })
	n.quiet, n.busy = n.tenant(t, "a"), n.tenant(t, "b")
	return n
}

// tenant makes a merchant with an endpoint, payments and a session.
func (n *neighbours) tenant(t *testing.T, seed string) (p tenant) {
	p.id, p.key = n.merchant(t, seed, false)
	p.endpoint = decoded[WebhookEndpoint](t, n.ask(p.key, "POST", "/api/v1/webhook_endpoints",
		`{"url":"https://shop.example/"}`), http.StatusCreated).ID
	for i := range 50 {
		p.payment = decoded[Payment](t, n.ask(p.key, "POST", "/api/v1/payments",
			fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1","order_id":"%d"}`, i)), http.StatusCreated).ID
	}
	p.delivery = decoded[DeliveryList](t, n.ask(p.key, "GET", "/api/v1/deliveries", ""), http.StatusOK).Data[0].ID
	p.visitor = signIn(t, n.Server, p.key)
	return p
}

// send makes one request of a tenant, with headers, and returns its status.
func (n *neighbours) send(ctx context.Context, p tenant, method, path, body string, headers ...string) int {
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+p.key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Cookie", p.visitor.cookie)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	n.Server.ServeHTTP(w, r)
	return w.Code
}

func (n *neighbours) pay(ctx context.Context, p tenant, order, key string) int {
	body := fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1","order_id":%q}`, order)
	return n.send(ctx, p, "POST", "/api/v1/payments", body, "Idempotency-Key", key)
}

func (n *neighbours) fresh() string { return fmt.Sprint("fresh-", n.serial.Add(1)) }

func (n *neighbours) patch(ctx context.Context, p tenant) int {
	return n.send(ctx, p, "PATCH", "/api/v1/webhook_endpoints/"+p.endpoint, `{"description":"`+n.fresh()+`"}`)
}

// request is one of either tenant, and what it is answered at best.
type neighbourRequest func(n *neighbours, ctx context.Context, p tenant) (status int)

// shared are the things that merchants have in common. hold, where it is given, is what a transaction of the busy
// merchant holds meanwhile, so that their requests wait; the others come as fast as they may.
var shared = []struct {
	name        string
	hold        func(n *neighbours, ctx context.Context, tx *store.Tx) error
	busy, quiet neighbourRequest
	atOnce      int
}{
	{name: "connections to the database", atOnce: 200,
		hold: func(n *neighbours, ctx context.Context, tx *store.Tx) error {
			_, err := tx.LockEndpoint(ctx, n.busy.id, n.busy.endpoint)
			return err
		}, busy: (*neighbours).patch, quiet: (*neighbours).patch},
	{name: "waits for an idempotency key", atOnce: 200,
		hold: func(n *neighbours, ctx context.Context, tx *store.Tx) error {
			return n.holdKey(ctx, tx, "/api/v1/webhook_endpoints/"+n.busy.endpoint+"/enable")
		},
		busy: func(n *neighbours, ctx context.Context, p tenant) int {
			return n.send(ctx, p, "POST", "/api/v1/webhook_endpoints/"+p.endpoint+"/enable", "", "Idempotency-Key", "held")
		},
		quiet: func(n *neighbours, ctx context.Context, p tenant) int {
			return n.send(ctx, p, "POST", "/api/v1/webhook_endpoints/"+p.endpoint+"/enable", "", "Idempotency-Key", n.fresh())
		}},
	{name: "waits for the key of a payment", atOnce: 200,
		hold: func(n *neighbours, ctx context.Context, tx *store.Tx) error {
			return n.holdKey(ctx, tx, "/api/v1/payments")
		},
		busy:  func(n *neighbours, ctx context.Context, p tenant) int { return n.pay(ctx, p, "held", "held") },
		quiet: func(n *neighbours, ctx context.Context, p tenant) int { return n.pay(ctx, p, n.fresh(), n.fresh()) }},
	{name: "payments of orders that are taken", atOnce: 32,
		busy:  func(n *neighbours, ctx context.Context, p tenant) int { return n.pay(ctx, p, "1", n.fresh()) },
		quiet: func(n *neighbours, ctx context.Context, p tenant) int { return n.pay(ctx, p, n.fresh(), n.fresh()) }},
	{name: "waiting tests", atOnce: 64,
		busy: func(n *neighbours, ctx context.Context, p tenant) int {
			return n.send(ctx, p, "POST", "/api/v1/webhook_endpoints/"+p.endpoint+"/test", "")
		},
		quiet: (*neighbours).list},
	{name: "exports", atOnce: 16,
		busy: func(n *neighbours, ctx context.Context, p tenant) int {
			return n.send(ctx, p, "GET", "/api/v1/payments", "", "Accept", "text/csv")
		},
		quiet: func(n *neighbours, ctx context.Context, p tenant) int {
			return n.send(ctx, p, "GET", "/api/v1/payments", "", "Accept", "text/csv")
		}},
	{name: "the portal", atOnce: 16, busy: (*neighbours).look, quiet: (*neighbours).look},
	{name: "the audit log", atOnce: 16, busy: (*neighbours).patch, quiet: (*neighbours).patch},
	{name: "nodes that proofs ask", atOnce: 64, busy: (*neighbours).prove, quiet: (*neighbours).prove},
}

// holdKey has the busy merchant's transaction hold an idempotency key.
func (n *neighbours) holdKey(ctx context.Context, tx *store.Tx, path string) error {
	return tx.SaveAnswers(ctx, []models.IdempotencyRecord{{MerchantID: n.busy.id, Method: "POST", Path: path, Key: "held",
		RequestHash: "h", StatusCode: 201, Answer: []byte("a"), CreatedAt: testNow(), ExpiresAt: testNow().Add(time.Hour)}})
}

func (n *neighbours) list(ctx context.Context, p tenant) int {
	return n.send(ctx, p, "GET", "/api/v1/payments?limit=20", "")
}

func (n *neighbours) look(ctx context.Context, p tenant) int {
	return n.send(ctx, p, "GET", "/portal/deliveries/"+p.delivery, "")
}

func (n *neighbours) prove(ctx context.Context, p tenant) int {
	return n.send(ctx, p, "GET", "/api/v1/payments/"+p.payment+"/proof", "")
}

// TestNeighbours: whatever one merchant asks for, as much as they may, another one's slowest requests take no more than
// twice as long as without them. Replay jobs, lanes and hosts have tests of their own.
func TestNeighbours(t *testing.T) {
	n := newNeighbours(t)
	n.transfers(t)
	for _, c := range shared {
		t.Run(c.name, func(t *testing.T) {
			for try := 1; ; try++ {
				var alone, beside []time.Duration
				for range neighbourRounds {
					alone = append(alone, n.slowest(t, c.quiet))
					end := n.crowd(t, c.busy, c.hold, c.atOnce)
					beside = append(beside, n.slowest(t, c.quiet))
					end()
				}
				without, with := middle(alone), middle(beside)
				t.Logf("%v alone, %v beside", without, with)
				if with <= max(2*without, without+noise) {
					return
				}
				if try == neighbourTries {
					t.Fatalf("%v beside the other one, %v alone", with, without)
				}
			}
		})
	}
	close(n.held)
}

// transfers records one for a payment of each tenant.
func (n *neighbours) transfers(t *testing.T) {
	t.Helper()
	b := payments.Block{Header: chain.Header{Number: 2, Hash: chain.Hash{2}, Parent: chain.Hash{1}, Time: testNow()}}
	for i, p := range []tenant{n.quiet, n.busy} {
		made := decoded[webhook.Payment](t, n.ask(p.key, "GET", "/api/v1/payments/"+p.payment, ""), http.StatusOK)
		to, err := chain.ParseAddress(strings.ToLower(made.Address))
		if err != nil {
			t.Fatal(err)
		}
		b.Transfers = append(b.Transfers, chain.Transfer{TxHash: chain.Hash{9, byte(i)}, Asset: chain.Native, To: to,
			Value: big.NewInt(int64(i + 1)), Source: chain.FromTransaction, LogIndex: -1})
	}
	err := n.store.InTx(t.Context(), func(tx *store.Tx) error {
		if err := tx.InsertBlocks(t.Context(), []models.Block{{ChainID: 1, Number: 2, Hash: b.Hash.Hex(),
			ParentHash: b.Parent.Hex(), Time: testNow()}}); err != nil {
			return err
		}
		_, err := n.payments.Observe(t.Context(), tx, payments.Step{ChainID: 1, Head: 2, Blocks: []payments.Block{b}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// slowest is how long the slowest of a few requests of the quiet tenant takes.
func (n *neighbours) slowest(t *testing.T, ask neighbourRequest) time.Duration {
	t.Helper()
	var slowest time.Duration
	for range neighbourProbes {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		began := time.Now()
		status := ask(n, ctx, n.quiet)
		slowest = max(slowest, time.Since(began))
		cancel()
		if status/100 != 2 {
			t.Fatalf("after %v it is answered %d", time.Since(began), status)
		}
	}
	return slowest
}

// crowd has the busy tenant ask, so many at once and as often as they may, until it is told to end.
func (n *neighbours) crowd(t *testing.T, ask neighbourRequest,
	hold func(*neighbours, context.Context, *store.Tx) error, atOnce int) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	release, held, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		if hold == nil {
			close(held)
			done <- nil
			return
		}
		done <- n.store.InTx(ctx, func(tx *store.Tx) error {
			err := hold(n, ctx, tx)
			close(held)
			<-release
			return errors.Join(err, errRolledBack)
		})
	}()
	<-held
	var asked atomic.Int64
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			tick := time.NewTicker(time.Duration(atOnce) * time.Second / busyRate)
			defer tick.Stop()
			for ctx.Err() == nil {
				asked.Add(1)
				ask(n, ctx, n.busy)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	testkit.Eventually(t, 30*time.Second, "all of them have come", func() bool { return asked.Load() >= int64(atOnce) })
	return func() {
		cancel()
		close(release)
		if err := <-done; err != nil && !errors.Is(err, errRolledBack) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		all.Wait()
	}
}

var errRolledBack = errors.New("rolled back")

func middle(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return (ds[(len(ds)-1)/2] + ds[len(ds)/2]) / 2
}
