package app_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/app"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	shutdownGrace = 15 * time.Second
	// answerDelay keeps webhook requests in flight at any moment, also when the process is told to stop.
	answerDelay = 100 * time.Millisecond
	chainName   = "devnet"
)

var discard = slog.New(slog.DiscardHandler)

// watchGoroutines fails the test when a goroutine that was started after this call is left at its end.
func watchGoroutines(t *testing.T) {
	t.Helper()
	known := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, known,
			// global, of the test chain
			goleak.IgnoreAnyFunction("github.com/ethereum/go-ethereum/core.(*txSenderCacher).cache"),
			goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"),
		)
	})
}

// database is an empty or migrated database, and a connection of the test's own to it.
func database(t *testing.T, migrate bool) (url string, db *sql.DB) {
	t.Helper()
	url = testkit.Postgres(t)
	watchGoroutines(t) // everything but the database ends before this looks
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { noError(t, db.Close()) })
	if migrate {
		s, err := store.Open(t.Context(), store.Options{DSN: url})
		noError(t, err)
		_, err = s.Migrate(t.Context())
		noError(t, errors.Join(err, s.Close()))
	}
	return url, db
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settings load a configuration with all that the three roles need, on a chain that mines.
func settings(t *testing.T, databaseURL string, redis *testkit.RedisServer) config.Config {
	t.Helper()
	chain, err := devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"})
	noError(t, err)
	mining, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- chain.Run(mining) }()
	t.Cleanup(func() {
		stop()
		noError(t, errors.Join(<-ended, chain.Close()))
	})
	api, ops := testkit.FreeAddr(t), testkit.FreeAddr(t)
	cfg, err := config.Load(config.Options{
		Process: config.ProcessQuickstart,
		Environ: []string{
			"ENV=" + config.Test, "DATABASE_URL=" + databaseURL, "REDIS_URL=" + redis.URL, "PUBLIC_URL=http://" + api, "API_ADDR=" + api,
			"OPS_ADDR=" + ops, "MASTER_KEYS=k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "OPERATOR_TOKEN=operator-token-of-a-test",
			"WEBHOOK_ALLOW=127.0.0.0/8", "WEBHOOK_LANES=2", "WEBHOOK_CONCURRENCY=16", "WATCH_INTERVAL=1s",
			"SHUTDOWN_GRACE=" + shutdownGrace.String(),
		},
		Chains: []config.Chain{{
			Name: chainName, ChainID: devnet.ChainID, RPCURLs: []config.URL{config.URL(chain.URL())}, Test: true,
			Finality: config.Finality{Depth: 2}, PollInterval: 200 * time.Millisecond, BlockTime: devnet.DefaultBlockTime,
			Native: config.Native{Symbol: "ETH", Decimals: 18},
		}},
	})
	noError(t, err)
	return cfg
}

// start runs a process with every role until stop, which returns how long that took. It is ready when start returns.
func start(t *testing.T, cfg config.Config) (stop func() time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	a, err := app.New(ctx, cfg, app.Options{Roles: app.API | app.Worker | app.Scanner, Logger: discard})
	noError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() time.Duration {
		t.Helper()
		stopped = true
		began := time.Now()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the process stopped with %v", err)
		}
		return time.Since(began)
	}
	t.Cleanup(func() {
		if !stopped {
			stop()
		}
	})
	testkit.Eventually(t, time.Minute, "the process is ready", func() bool {
		res, err := oneRequest().Get("http://" + cfg.OpsAddr + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return stop
}

// oneRequest is a client that leaves no connection behind.
func oneRequest() *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// newMerchant makes a merchant and returns a key of theirs.
func newMerchant(t *testing.T, cfg config.Config) (key string) {
	t.Helper()
	s, err := wiring.Store(t.Context(), cfg, discard)
	noError(t, err)
	defer func() { noError(t, s.Close()) }()
	merchants, err := wiring.Access(cfg, s, time.Now, discard)
	noError(t, err)
	xpub, err := devnet.NewXPub()
	noError(t, err)
	actor := models.Actor{Name: "operator:test"}
	noError(t, s.InTx(t.Context(), func(tx *store.Tx) error {
		m, _, err := merchants.CreateMerchant(t.Context(), tx, actor, "Shop", xpub)
		if err != nil {
			return err
		}
		ask := access.KeyRequest{MerchantID: m.ID, Name: "test", Test: true, Scopes: models.Scopes}
		_, key, err = merchants.CreateKey(t.Context(), tx, actor, ask)
		return err
	}))
	return key
}

// load creates payments from several goroutines until the API cannot be reached any more.
type load struct {
	created atomic.Int64 // answers of 201
	done    sync.WaitGroup
}

func startLoad(t *testing.T, url, key string) *load {
	l := &load{}
	for range 6 {
		l.done.Go(func() {
			caller := oneRequest()
			for {
				body := strings.NewReader(fmt.Sprintf(`{"chain":%q,"asset":"native","amount":"1000"}`, chainName))
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/api/v1/payments", body)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+key)
				req.Header.Set("Content-Type", "application/json")
				res, err := caller.Do(req)
				if err != nil {
					return // the listener is closed
				}
				res.Body.Close()
				if res.StatusCode != http.StatusCreated {
					t.Errorf("a payment was answered with %s", res.Status)
					return
				}
				l.created.Add(1)
			}
		})
	}
	return l
}

func count(t *testing.T, db *sql.DB, query string) (n int64) {
	t.Helper()
	noError(t, db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// TestStopsUnderLoad: a process with every role starts, becomes ready, and stops within its grace period while payments
// are created and webhooks are sent. Every request that it took is answered and recorded, nothing that it opened stays
// open, and the next process delivers the rest.
func TestStopsUnderLoad(t *testing.T) {
	redis := testkit.Redis(t)
	url, db := database(t, true)
	cfg := settings(t, url, redis)
	receiver := testkit.NewReceiver(t)
	receiver.Answers(testkit.Answer{Delay: answerDelay})
	key := newMerchant(t, cfg)

	stop := start(t, cfg)
	api, err := client.New(client.Options{URL: cfg.PublicURL, Key: key, HTTPClient: oneRequest()})
	noError(t, err)
	_, err = api.CreateWebhookEndpoint(t.Context(), client.WebhookEndpointCreate{URL: receiver.URL})
	noError(t, err)
	testkit.Eventually(t, time.Minute, "the scanner has begun", func() bool {
		return count(t, db, "SELECT count(*) FROM chain_cursors") == 1
	})
	payments := startLoad(t, cfg.PublicURL, key)
	receiver.WaitCount(t, 20, time.Minute)
	took := stop()
	payments.done.Wait()

	if took > shutdownGrace {
		t.Errorf("stopping took %s of %s", took, shutdownGrace)
	}
	for name, addr := range map[string]string{"API": cfg.APIAddr, "ops": cfg.OpsAddr} {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.Close()
			t.Errorf("the %s port is open after the stop", name)
		}
	}
	if recorded := count(t, db, "SELECT count(*) FROM payments"); recorded != payments.created.Load() {
		t.Errorf("%d payments are recorded, and %d were answered", recorded, payments.created.Load())
	}
	undelivered := "SELECT count(*) FROM payments p WHERE NOT EXISTS (SELECT 1 FROM events e JOIN deliveries d ON d.event_id = e.id" +
		" WHERE e.type = 'payment.created' AND e.merchant_id = p.merchant_id AND convert_from(e.body, 'UTF8') LIKE '%' || " +
		"p.id || '%')"
	if n := count(t, db, undelivered); n != 0 {
		t.Errorf("%d payments have no delivery of payment.created", n)
	}
	if attempts := count(t, db, "SELECT count(*) FROM attempts"); attempts != int64(len(receiver.All())) {
		t.Errorf("%d attempts are recorded, and %d requests were received", attempts, len(receiver.All()))
	}

	stop = start(t, cfg)
	testkit.Eventually(t, time.Minute, "every event is delivered by the next process", func() bool {
		return count(t, db, "SELECT count(*) FROM deliveries WHERE state <> 'delivered'") == 0
	})
	stop()
}

// openOn leaves an open payment on a chain in the database.
func openOn(chain string, chainID uint64) func(*testing.T, *config.Config) {
	return func(t *testing.T, cfg *config.Config) {
		s, err := wiring.Store(t.Context(), *cfg, discard)
		noError(t, err)
		at := models.Now(time.Now)
		m := models.Merchant{ID: models.NewID(models.PrefixMerchant, at), Name: "Shop", CreatedAt: at, UpdatedAt: at}
		noError(t, s.InTx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.InsertMerchant(t.Context(), m),
				tx.SetAccountKey(t.Context(), models.AccountKey{ID: strings.Repeat("a", 64), MerchantID: m.ID, XPub: "xpub",
					CreatedAt: at}),
				tx.InsertPayments(t.Context(), []models.Payment{{
					ID: models.NewID(models.PrefixPayment, at), MerchantID: m.ID, Token: models.NewToken(models.PrefixCheckout),
					Status: models.PaymentPending, Chain: chain, ChainID: chainID, Asset: models.AssetNative, AssetSymbol: "ETH",
					Address: "0x" + strings.Repeat("2", 40), AccountKeyID: strings.Repeat("a", 64), DerivationPath: "m/0",
					Amount: models.AmountOf(1), Sequence: 1, Metadata: map[string]string{}, CreatedAt: at, UpdatedAt: at,
					ExpiresAt: at.Add(time.Hour),
				}}))
		}))
		noError(t, s.Close())
	}
}

// TestFailedStartClosesEverything: a start that fails half-way leaves no goroutine, connection or listener.
func TestFailedStartClosesEverything(t *testing.T) {
	for _, c := range []struct {
		name, want string
		migrated   bool
		breakIt    func(t *testing.T, cfg *config.Config)
	}{
		{"without a schema", "migrate", false, func(*testing.T, *config.Config) {}},
		{"the API's port is taken", "API listener", true, func(t *testing.T, cfg *config.Config) {
			l, err := net.Listen("tcp", cfg.APIAddr)
			noError(t, err)
			t.Cleanup(func() { noError(t, l.Close()) })
		}},
		{"a chain with open payments is not in the file", "CHAINS_FILE lacks the chain gone (chain_id 77)", true,
			openOn("gone", 77)},
		{"a chain has no provider", "chain", true, func(_ *testing.T, cfg *config.Config) { cfg.Chains[0].RPCURLs = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			redis := testkit.Redis(t)
			url, db := database(t, c.migrated)
			cfg := settings(t, url, redis)
			c.breakIt(t, &cfg)
			before := goleak.IgnoreCurrent()
			_, err := app.New(t.Context(), cfg, app.Options{Roles: app.API | app.Worker | app.Scanner, Logger: discard})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the start failed with %v, want something about %q", err, c.want)
			}
			goleak.VerifyNone(t, before)
			testkit.Eventually(t, 10*time.Second, "the connections to the database are closed", func() bool {
				return count(t, db,
					"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") == 0
			})
			l, err := net.Listen("tcp", cfg.OpsAddr)
			noError(t, err)
			noError(t, l.Close())
		})
	}
}

// TestListenersHoldSoManyConnections: both listeners of a process have their limit, by the settings and fixed.
func TestListenersHoldSoManyConnections(t *testing.T) {
	url, _ := database(t, true)
	cfg := settings(t, url, testkit.Redis(t))
	cfg.API.MaxConnections = 5
	start(t, cfg)
	for addr, limit := range map[string]int{cfg.APIAddr: 5, cfg.OpsAddr: 256} {
		held := make([]net.Conn, 0, limit+1)
		for len(held) < limit+1 {
			conn, err := net.Dial("tcp", addr)
			noError(t, err)
			held = append(held, conn)
		}
		noError(t, held[limit].SetReadDeadline(time.Now().Add(30*time.Second)))
		if _, err := held[limit].Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the listener at %s holds one more than %d connections: %v", addr, limit, err)
		}
		for _, conn := range held {
			noError(t, conn.Close())
		}
	}
}
