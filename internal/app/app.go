package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/heartbeat"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
)

// Role is what a process does; one process may have several.
type Role int

// The roles.
const (
	API Role = 1 << iota
	Worker
	Scanner
)

// Options say what to run besides the configuration.
type Options struct {
	Roles   Role
	Process string // names the process in traces
	Logger  *slog.Logger
	// NewTraceExporter sends spans to OTEL_EXPORTER_OTLP_ENDPOINT; only a program that never gets one may leave it out.
	NewTraceExporter telemetry.NewExporter
	// Store, when given, is used instead of opening Postgres, and is closed by whoever gave it.
	Store *store.Store
	// APIListener and OpsListener, when given, take the place of API_ADDR and OPS_ADDR.
	APIListener, OpsListener net.Listener
}

// App is a process, built and not yet running.
type App struct {
	cfg    config.Config
	o      Options
	log    *slog.Logger
	name   string // of this process among its kind
	built  stack  // what New opened
	parts  []part // what Run starts, in this order, and stops in the opposite one
	checks []check

	metrics    *telemetry.Metrics
	tracing    *telemetry.Tracing
	store      *store.Store
	vault      *vault.Vault
	egress     *egress.Client
	redis      *jobs.Redis
	jobs       *jobs.Client
	endpoints  *endpoints.Service
	redelivery *redelivery.Service
	payments   *payments.Service
	pools      wiring.Pools
	heart      *heartbeat.Heart
}

// part is something that runs until its context ends.
type part struct {
	name string
	run  func(context.Context) error
}

// New opens what the roles need and refuses a database whose schema does not fit. When it fails, it has closed
// everything again.
func New(ctx context.Context, cfg config.Config, o Options) (_ *App, err error) {
	if o.Logger == nil || o.Roles == 0 {
		return nil, errors.New("app: Logger and Roles are needed")
	}
	a := &App{cfg: cfg, o: o, log: o.Logger, name: instance(), built: stack{log: o.Logger},
		metrics: telemetry.NewMetrics()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.built.unwind(context.WithoutCancel(ctx)))
		}
	}()
	for _, build := range []func(context.Context) error{a.openRecord, a.openServices, a.openQueue, a.buildOps,
		a.buildWorker, a.buildScanner, a.buildAPI} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// instance names this process: host, pid and a random end.
func instance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	var end [4]byte
	rand.Read(end[:])
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(end[:]))
}

// Run starts every part in turn. When ctx ends, or a part fails, they are stopped in the opposite order, each when
// those that depend on it have returned. It returns nil after an orderly stop.
func (a *App) Run(ctx context.Context) error {
	grace, endGrace := context.WithCancel(context.WithoutCancel(ctx))
	defer endGrace()
	running := stack{log: a.log}
	failed := make(chan error, len(a.parts))
	for _, p := range a.parts {
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() {
			err := p.run(partCtx)
			if partCtx.Err() == nil {
				failed <- fmt.Errorf("%s stopped by itself: %w", p.name, orStopped(err))
			}
			done <- err
		}()
		running.push(p.name, func(ctx context.Context) error {
			cancel()
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return errors.New("did not stop within the grace period")
			}
		})
	}
	for _, role := range []Role{API, Worker, Scanner} {
		if a.o.Roles&role != 0 {
			a.metrics.Running(role.String())
		}
	}
	a.log.Info("process.running", "roles", a.o.Roles.String())
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	a.log.Info("process.stopping")
	late := time.AfterFunc(a.cfg.ShutdownGrace, endGrace)
	defer late.Stop()
	return errors.Join(err, running.unwind(grace), a.built.unwind(grace))
}

func orStopped(err error) error {
	if err == nil {
		return errors.New("without an error")
	}
	return err
}

// String names the roles.
func (r Role) String() string {
	s := ""
	for _, one := range []struct {
		role Role
		name string
	}{{API, "api"}, {Worker, "worker"}, {Scanner, "scanner"}} {
		if r&one.role != 0 {
			s += "," + one.name
		}
	}
	return s[min(1, len(s)):]
}

func (a *App) part(name string, run func(context.Context) error) {
	a.parts = append(a.parts, part{name, run})
}

// openRecord opens telemetry, the database and the vault.
func (a *App) openRecord(ctx context.Context) (err error) {
	t := a.cfg.Tracing
	if a.tracing, err = telemetry.NewTracing(ctx, telemetry.TracingOptions{
		Endpoint: t.Endpoint.Reveal(), NewExporter: a.o.NewTraceExporter, Headers: t.Headers.Reveal(),
		Service: t.ServiceName, SampleRatio: t.SampleRatio, Logger: a.log,
	}); err != nil {
		return err
	}
	a.built.push("tracing", a.tracing.Shutdown)
	a.store = a.o.Store
	if a.store == nil {
		if a.store, err = wiring.Store(ctx, a.cfg, a.log); err != nil {
			return err
		}
		a.built.push("database", func(context.Context) error { return a.store.Close() })
	}
	a.metrics.DatabasePool(a.store.PoolStats)
	pooling, err := a.store.CheckDriver(ctx)
	if err != nil {
		return err
	}
	if err := a.store.CheckSchema(ctx); err != nil {
		return err
	}
	switch change, err := a.store.AdoptIdentity(ctx, models.Now(time.Now)); {
	case err != nil:
		return err
	case change != "":
		a.log.WarnContext(ctx, "database.changed", "change", change, "unfinished", a.store.RestoreUnfinished())
	}
	a.part("database identity", a.store.RunIdentity)
	if a.vault, err = wiring.Vault(a.cfg); err != nil {
		return err
	}
	a.heart, err = heartbeat.New(heartbeat.Options{
		Store: a.store, Logger: a.log, Now: time.Now, Pooled: pooling != store.Direct,
		Process: models.Process{ID: a.name, Role: a.o.Roles.String(), Version: version(), Schema: store.SchemaVersion,
			MaxConns: a.store.MaxConns()},
	})
	if err == nil {
		a.metrics.RecordWritten(a.heart.Age)
		a.part("heartbeat", a.heart.Run)
	}
	return err
}

// version is what the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return strings.TrimSpace(info.Main.Version + " " + s.Value[:min(len(s.Value), 12)])
		}
	}
	return info.Main.Version
}

// openServices makes the services that more than one role uses.
func (a *App) openServices(ctx context.Context) (err error) {
	if a.o.Roles&(API|Scanner) != 0 { // a worker reads no chains
		if err = payments.CheckListed(ctx, a.store, a.cfg.Chains); err != nil {
			return err
		}
	}
	if a.egress, err = wiring.Egress(a.cfg); err != nil {
		return err
	}
	a.built.push("egress", func(context.Context) error { a.egress.Close(); return nil })
	if a.endpoints, err = wiring.Endpoints(a.cfg, a.store, a.vault, a.egress, time.Now); err != nil {
		return err
	}
	if a.redelivery, err = wiring.Redelivery(a.cfg, a.store, time.Now); err != nil {
		return err
	}
	if a.pools, err = wiring.Chains(a.cfg, time.Now, a.log, a.metrics); err != nil {
		return err
	}
	a.built.push("chain providers", func(context.Context) error { a.pools.Close(); return nil })
	a.payments, err = wiring.Payments(a.cfg, a.store, a.pools, time.Now, a.log, a.metrics)
	return err
}

// openQueue connects to Redis, which need not be there, and makes the producer that hears of every commit.
func (a *App) openQueue(context.Context) (err error) {
	if a.redis, err = wiring.Redis(a.cfg); err != nil {
		return err
	}
	a.built.push("redis", func(context.Context) error { return a.redis.Close() })
	a.metrics.RedisPool(a.redis.Pool)
	if a.jobs, err = wiring.Jobs(a.cfg, a.redis, time.Now); err != nil {
		return err
	}
	producer, err := outbox.NewProducer(outbox.ProducerOptions{Enqueuer: a.jobs, Logger: a.log, Now: time.Now})
	if err != nil {
		return err
	}
	a.store.OnCommit(producer.Offer)
	a.part("audit log", a.store.RunAudit)
	a.part("producer", producer.Run)
	return nil
}

// buildOps makes the ops listener, which stands first and falls last, so that a stopping process can be watched.
func (a *App) buildOps(context.Context) error {
	a.checks = append(a.checks,
		check{"database", true, a.store.Ping},
		check{"record", true, a.heart.Check},
		check{"schema", true, a.store.CheckSchema},
		check{"clock", true, a.clockSkew},
		check{"redis", a.o.Roles&Worker != 0 && a.o.Roles&API == 0, a.redis.Ping}, // API readiness ignores Redis
		check{"redis_rights", a.o.Roles&Worker != 0 && a.o.Roles&API == 0, a.redisRights},
	)
	var status, queues http.Handler
	if a.o.Roles&API != 0 {
		status = statusPage(func(ctx context.Context) (operate.Status, error) {
			return operate.ReadStatus(ctx, a.store, time.Now, a.jobs.Lanes)
		}, a.log)
		var err error
		if queues, err = jobs.NewMonitor(jobs.MonitorOptions{Redis: a.redis, Audit: a.auditQueues}); err != nil {
			return err
		}
	}
	refused := func(r *http.Request) {
		a.metrics.AuthFailure()
		a.log.WarnContext(r.Context(), "ops.refused", "path", r.URL.Path, "remote", r.RemoteAddr)
	}
	tokens := access.NewOperatorTokens(a.cfg.OperatorToken.Reveal(), a.cfg.OperatorReadToken.Reveal())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		opsHandler(tokens, refused, a.checks, a.metrics.Handler(), status,
			queues).ServeHTTP(w, r)
	})
	return a.serve("ops listener", a.o.OpsListener, a.cfg.OpsAddr, handler, connectionLimits{total: opsConnections})
}

// serve adds an HTTP server on a listener, or on an address when there is none. Whoever does not read an answer in time
// loses the connection; what takes longer than one answer moves its own deadline on.
func (a *App) serve(name string, l net.Listener, addr string, h http.Handler, limits connectionLimits) error {
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", addr); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.built.push(name, func(context.Context) error {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	limits.refused = a.refusals(strings.TrimSuffix(name, " listener"))
	limited := limitListener(l, limits)
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		WriteTimeout:   a.cfg.API.Timeout + a.cfg.API.AnswerTimeout, // net/http counts from the end of the request's headers
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	a.log.Info("process.listening", "listener", name, "addr", l.Addr().String())
	a.part(name, func(ctx context.Context) error {
		served := make(chan error, 1)
		go func() { served <- srv.Serve(limited) }()
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(patience); err != nil {
			return srv.Close()
		}
		return nil
	})
	return nil
}
