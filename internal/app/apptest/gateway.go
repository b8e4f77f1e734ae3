package apptest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"time"

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
	// ChainName is the toy chain's, a test chain with the asset DEMO.
	ChainName = "devnet"
	// OperatorToken opens the routes under /admin/v1.
	OperatorToken = "operator-token-of-the-gateway-in-a-test"
	// MasterKeys is the MASTER_KEYS of the gateway.
	MasterKeys = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

// Gateway runs until its test ends.
type Gateway struct {
	// URL is where the API listens, also after [Gateway.Start].
	URL string
	// Chain can be paid on; its payer is Chain.DemoPayer.
	Chain *devnet.Chain

	t      testkit.TB
	cfg    config.Config
	store  *store.Store
	access *access.Service
	stop   context.CancelFunc
	ended  chan error
}

// New migrates an empty database and starts the gateway on it. It can make payments when New returns.
func New(t testkit.TB, databaseURL string) *Gateway {
	t.Helper()
	g := &Gateway{t: t}
	ctx := t.Context()
	g.startChain()
	redisURL := startRedis(t)
	g.openStore(databaseURL)
	g.configure(databaseURL, redisURL)
	var err error
	if g.access, err = wiring.Access(g.cfg, g.store, time.Now, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(func() {
		if g.stop != nil {
			g.Stop()
		}
	})
	testkit.Eventually(t, time.Minute, "a block is recorded", func() bool {
		_, err := g.store.Cursor(ctx, devnet.ChainID)
		return err == nil
	})
	return g
}

// startChain starts the chain and mines on it until the test ends.
func (g *Gateway) startChain() {
	g.t.Helper()
	var err error
	if g.Chain, err = devnet.StartChain(devnet.ChainOptions{Addr: "127.0.0.1:0"}); err != nil {
		g.t.Fatal(err)
	}
	mining, stopMining := context.WithCancel(context.WithoutCancel(g.t.Context()))
	mined := make(chan error, 1)
	go func() { mined <- g.Chain.Run(mining) }()
	g.t.Cleanup(func() {
		stopMining()
		if err := errors.Join(<-mined, g.Chain.Close()); err != nil {
			g.t.Error(err)
		}
	})
}

func startRedis(t testkit.TB) (url string) {
	t.Helper()
	redis, err := devnet.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := redis.Close(); err != nil {
			t.Error(err)
		}
	})
	return redis.URL()
}

func (g *Gateway) openStore(databaseURL string) {
	g.t.Helper()
	ctx := g.t.Context()
	var err error
	if g.store, err = store.Open(ctx, store.Options{DSN: databaseURL, MaxConns: 16,
		Logger: slog.New(slog.DiscardHandler)}); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		if err := g.store.Close(); err != nil {
			g.t.Error(err)
		}
	})
	if _, err := g.store.Migrate(ctx); err != nil {
		g.t.Fatal(err)
	}
}

func (g *Gateway) configure(databaseURL, redisURL string) {
	g.t.Helper()
	var err error
	addr := testkit.FreeAddr(g.t)
	g.URL = "http://" + addr
	g.cfg, err = config.Load(config.Options{
		Process: config.ProcessQuickstart,
		Environ: []string{
			"ENV=" + config.Test, "DATABASE_URL=" + databaseURL, "REDIS_URL=" + redisURL, "PUBLIC_URL=" + g.URL,
			"API_ADDR=" + addr, "OPS_ADDR=127.0.0.1:0",
			"MASTER_KEYS=" + MasterKeys, "OPERATOR_TOKEN=" + OperatorToken, "WEBHOOK_ALLOW=127.0.0.0/8", "WEBHOOK_LANES=2",
			"WEBHOOK_CONCURRENCY=16",
			"WEBHOOK_RETRY_BASE=1s", "WEBHOOK_RETRY_POLL_INTERVAL=250ms",
		},
		Chains: []config.Chain{{
			Name: ChainName, ChainID: devnet.ChainID, RPCURLs: []config.URL{config.URL(g.Chain.URL())}, Test: true,
			Finality: config.Finality{Depth: 2}, PollInterval: 200 * time.Millisecond, BlockTime: devnet.DefaultBlockTime,
			Native: config.Native{Symbol: "ETH", Decimals: 18},
			Tokens: []config.Token{{Symbol: devnet.TokenSymbol, Contract: strings.ToLower(g.Chain.Token()),
				Decimals: devnet.TokenDecimals}},
		}},
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// Start starts the gateway again after [Gateway.Stop].
func (g *Gateway) Start() {
	g.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(g.t.Context()))
	l, err := net.Listen("tcp", g.cfg.APIAddr)
	if err != nil {
		g.t.Fatal(err)
	}
	a, err := app.New(ctx, g.cfg, app.Options{
		Roles: app.API | app.Worker | app.Scanner, APIListener: l, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.stop, g.ended = stop, make(chan error, 1)
	go func() { g.ended <- a.Run(ctx) }()
}

// Stop stops the gateway, and is back when it has.
func (g *Gateway) Stop() {
	g.t.Helper()
	g.stop()
	g.stop = nil
	if err := <-g.ended; err != nil {
		g.t.Error(err)
	}
}

// NewMerchant makes a merchant that can be paid, and a key of its own, for test chains, with the given scopes: all of
// them, where there are none.
func (g *Gateway) NewMerchant(scopes ...models.Scope) (id, key string) {
	g.t.Helper()
	xpub, err := devnet.NewXPub()
	if err != nil {
		g.t.Fatal(err)
	}
	if len(scopes) == 0 {
		scopes = models.Scopes
	}
	ctx, actor := g.t.Context(), models.Actor{Name: "operator:test"}
	err = g.store.InTx(ctx, func(tx *store.Tx) error {
		m, _, err := g.access.CreateMerchant(ctx, tx, actor, "Shop", xpub)
		if err != nil {
			return err
		}
		id = m.ID
		_, key, err = g.access.CreateKey(ctx, tx, actor,
			access.KeyRequest{MerchantID: id, Name: "test", Test: true, Scopes: scopes})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return id, key
}
