package quickstart

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/app"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/sqlite"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// The toy chain, as the gateway knows it.
const (
	chainName = "devnet"
	finality  = 2 // blocks
)

// Options are the flags of cmd/quickstart.
type Options struct {
	APIAddr, OpsAddr, RPCAddr string
	// EnvFile, unless empty, is written when everything answers: a shell file for whoever tries the API by hand.
	EnvFile string
	// Once ends after the story; the error is nil only if all of it held.
	Once bool
	Out  io.Writer
	Log  *slog.Logger
}

// Run builds the toy world, tells the story and then waits for ctx to end.
func Run(ctx context.Context, o Options) (err error) {
	started := time.Now()
	w := &system{o: o}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.build(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- w.chain.Run(running) }()
	go func() { ended <- w.gateway.Run(running) }()
	told := make(chan error, 1)
	go func() { told <- w.tell(running, started) }()

	select {
	case err = <-told:
	case err = <-ended:
		return errors.Join(errors.New("a part of the quickstart has stopped"), err)
	}
	if err == nil && !o.Once {
		select {
		case <-ctx.Done():
		case err = <-ended:
			return errors.Join(errors.New("a part of the quickstart has stopped"), err)
		}
	}
	if ctx.Err() != nil {
		err = nil // interrupted: the story was cut short on purpose
	}
	stop()
	return errors.Join(err, <-ended, <-ended)
}

// system is everything that the quickstart runs.
type system struct {
	o       Options
	dir     string
	chain   *devnet.Chain
	redis   *devnet.Redis
	store   *store.Store
	gateway *app.App
	shop    *devnet.Shop
	api     *client.Client // as the shop, which is whose story it is
	story   *story

	apiURL, opsURL, token, apiKey string
	closers                       []func() error
}

func (w *system) build(ctx context.Context) error {
	var err error
	if w.dir, err = os.MkdirTemp("", "ctrip-quickstart-"); err != nil {
		return err
	}
	w.closers = append(w.closers, func() error { return os.RemoveAll(w.dir) })
	if w.chain, err = devnet.StartChain(devnet.ChainOptions{Addr: w.o.RPCAddr}); err != nil {
		return err
	}
	w.closers = append(w.closers, w.chain.Close)
	if w.redis, err = devnet.StartRedis("127.0.0.1:0"); err != nil {
		return err
	}
	w.closers = append(w.closers, w.redis.Close)
	if w.store, err = sqlite.Open(ctx, filepath.Join(w.dir, "ctrip.db"), w.o.Log); err != nil {
		return err
	}
	w.closers = append(w.closers, w.store.Close)
	if _, err = w.store.Migrate(ctx); err != nil {
		return err
	}
	api, err := net.Listen("tcp", w.o.APIAddr)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	w.closers = append(w.closers, func() error { return closed(api.Close()) })
	ops, err := net.Listen("tcp", w.o.OpsAddr)
	if err != nil {
		return fmt.Errorf("listen for operators: %w", err)
	}
	w.closers = append(w.closers, func() error { return closed(ops.Close()) })
	w.apiURL, w.opsURL, w.token = "http://"+api.Addr().String(), "http://"+ops.Addr().String(), secret()
	cfg, err := w.config()
	if err != nil {
		return err
	}
	w.gateway, err = app.New(ctx, cfg, app.Options{
		Roles: app.API | app.Worker | app.Scanner, Store: w.store, APIListener: api, OpsListener: ops, Logger: w.o.Log,
	})
	if err != nil {
		return err
	}
	return w.openShop(ctx, cfg)
}

// config is what an operator would have written for this world.
func (w *system) config() (config.Config, error) {
	key := make([]byte, 32)
	rand.Read(key)
	return config.Load(config.Options{
		Process: config.ProcessQuickstart, AllowSQLite: true,
		Environ: []string{
			"ENV=" + config.Development, "DATABASE_URL=sqlite://" + filepath.Join(w.dir, "ctrip.db"), "REDIS_URL=" +
				w.redis.URL(),
			"PUBLIC_URL=" + w.apiURL, "MASTER_KEYS=quickstart:" + base64.StdEncoding.EncodeToString(key), "OPERATOR_TOKEN=" +
				w.token,
			"WEBHOOK_ALLOW=127.0.0.0/8,::1/128", "WEBHOOK_RETRY_BASE=1s", "WEBHOOK_RETRY_FACTOR=1.5", "WEBHOOK_LANES=2",
			"WEBHOOK_RETRY_POLL_INTERVAL=250ms",
			"LOG_FORMAT=text", "LOG_LEVEL=warn",
		},
		Chains: []config.Chain{{
			Name: chainName, ChainID: devnet.ChainID, RPCURLs: []config.URL{config.URL(w.chain.URL())}, Test: true,
			Finality: config.Finality{Depth: finality}, PollInterval: 200 * time.Millisecond, BlockTime: devnet.DefaultBlockTime,
			Native: config.Native{Symbol: "ETH", Decimals: 18},
			Tokens: []config.Token{{Symbol: devnet.TokenSymbol, Contract: lower(w.chain.Token()),
				Decimals: devnet.TokenDecimals}},
		}},
	})
}

// openShop makes the demo shop a merchant, as an operator would, and opens it.
func (w *system) openShop(ctx context.Context, cfg config.Config) error {
	operators, err := wiring.Access(cfg, w.store, time.Now, w.o.Log)
	if err != nil {
		return err
	}
	xpub, err := devnet.NewXPub()
	if err != nil {
		return err
	}
	actor := models.Actor{Name: "operator:quickstart"}
	err = w.store.InTx(ctx, func(tx *store.Tx) error {
		merchant, _, err := operators.CreateMerchant(ctx, tx, actor, "Demo shop", xpub)
		if err != nil {
			return err
		}
		_, w.apiKey, err = operators.CreateKey(ctx, tx, actor, access.KeyRequest{
			MerchantID: merchant.ID, Name: "quickstart", Test: true, Scopes: models.Scopes,
		})
		return err
	})
	if err != nil {
		return err
	}
	if w.api, err = client.New(client.Options{URL: w.apiURL, Key: w.apiKey}); err != nil {
		return err
	}
	w.story = newStory(w.o.Out)
	w.shop, err = devnet.StartShop(devnet.ShopOptions{
		Addr: "127.0.0.1:0", APIURL: w.apiURL, APIKey: w.apiKey, Chain: w.chain, Name: chainName, Saw: w.story.shopSaw,
	})
	if err != nil {
		return err
	}
	w.closers = append(w.closers, w.shop.Close)
	return nil
}

// close takes the world down, last built first.
func (w *system) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	return errors.Join(errs...)
}

// closed forgives a listener that its server has closed already.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func secret() string {
	raw := make([]byte, 24)
	rand.Read(raw)
	return hex.EncodeToString(raw)
}
