package jobs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ctrip-gateway/ctrip/config"
)

const (
	defaultPool   = 128
	workerTimeout = 9 * time.Second // a Redis that stalls must not make go-redis send a script twice
	callerTimeout = 3 * time.Second
	onePool       = -1 // pipelines have no connections of their own
	// errorPause is how long a failed command of a server waits before it returns: Asynq dequeues again at once.
	errorPause = 100 * time.Millisecond
)

// Redis is the connection of one process: one pool, with a face that shares round trips between concurrent callers, and
// one for everything else. Nothing is dialed before it is used.
type Redis struct {
	plain      redis.UniversalClient
	batched    redis.UniversalClient
	wake       *wakeUps
	short      *starvation
	clustered  bool
	plainAsynq bool
	user       string
	tls        bool
}

// quiet keeps go-redis from writing to standard error: whatever it has to say, it also returns.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Connect makes the clients for a single server, for Sentinel or for a cluster. poolSize is the most connections of the
// process, one subscription included; 0 means 128.
func Connect(o config.Redis, poolSize int) (*Redis, error) {
	silence()
	if len(o.Addrs) == 0 {
		return nil, errors.New("jobs: no Redis address")
	}
	if poolSize == 0 {
		poolSize = defaultPool
	}
	short := new(starvation)
	plain, batched, err := client(o, max(poolSize-1, 1), short)
	if err != nil {
		return nil, err
	}
	r := &Redis{plain: plain, batched: batched, short: short, clustered: o.Mode == config.RedisCluster,
		plainAsynq: o.PlainAsynq, user: cmp.Or(o.Username, "default"), tls: o.TLS}
	r.wake = newWakeUps(r)
	return r, nil
}

// client makes one client and its batching face.
func client(o config.Redis, pool int, short *starvation) (redis.UniversalClient, redis.UniversalClient, error) {
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, DB: o.DB, Username: o.Username, Password: string(o.Password),
		SentinelUsername: o.SentinelUsername, SentinelPassword: string(o.SentinelPassword), MasterName: o.MasterName,
		IsClusterMode: o.Mode == config.RedisCluster,
		PoolSize:      pool, PoolTimeout: workerTimeout, DialTimeout: 3 * time.Second, ReadTimeout: workerTimeout,
		WriteTimeout: workerTimeout, ContextTimeoutEnabled: true, DisableIdentity: true,
		Protocol:                 2, // the third looks for push messages before every answer, and there are none
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.TLS {
		var err error
		if u.TLSConfig, err = tlsConfig(o); err != nil {
			return nil, nil, err
		}
	}
	switch o.Mode {
	case config.RedisCluster:
		o := u.Cluster()
		o.PipelinePoolSize = onePool
		c := redis.NewClusterClient(o)
		short.stats = c.PoolStats
		c.AddHook(bounded{short})
		return batching(c, c.AutoPipeline)
	case config.RedisSentinel:
		o := u.Failover()
		o.PipelinePoolSize = onePool
		c := redis.NewFailoverClient(o)
		short.stats = c.PoolStats
		c.AddHook(bounded{short})
		return batching(c, c.AutoPipeline)
	}
	simple := u.Simple()
	simple.PipelinePoolSize = onePool
	c := redis.NewClient(simple)
	short.stats = c.PoolStats
	c.AddHook(bounded{short})
	return batching(c, c.AutoPipeline)
}

// tlsConfig is that of rediss://. The name of a single server is the one in the URL; of the others go-redis takes the
// name that sentinels and cluster nodes tell.
func tlsConfig(o config.Redis) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.InsecureSkipVerify}
	if o.Mode == config.RedisSingle {
		t.ServerName, _, _ = net.SplitHostPort(o.Addrs[0])
	}
	if o.CA != "" {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, errors.New("jobs: REDIS_CA holds no PEM certificate")
		}
	}
	if o.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(o.Cert), []byte(o.Key.Reveal()))
		if err != nil { // its text could quote the input
			return nil, errors.New("jobs: REDIS_CERT and REDIS_KEY are no PEM certificate with its key")
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func batching(c redis.UniversalClient, pipeline func() (*redis.AutoPipeliner,
	error)) (redis.UniversalClient, redis.UniversalClient, error) {
	ap, err := pipeline()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("jobs: redis: %w", err), c.Close())
	}
	return c, ap, nil
}

// Close closes every connection.
func (r *Redis) Close() error {
	return errors.Join(r.batched.Close(), ignoreClosed(r.plain.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// Ping asks for an answer.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.plain.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("jobs: redis: %w", asDenied(err))
	}
	return nil
}

// Settings is what an operator should know about a Redis.
type Settings struct {
	Version        string
	EvictionPolicy string // must be noeviction: an evicted key is a lost queue
	AppendOnly     bool   // should be on, or every restart empties the queues
	MaxMemory      int64  // bytes, 0 for no limit
	UsedMemory     int64
	RunID          string // another one after every restart
}

// Inspect reads the settings from INFO. What the server does not tell stays empty; the error of a user who may not ask
// is [ErrDenied].
func (r *Redis) Inspect(ctx context.Context) (Settings, error) {
	var s Settings
	for _, section := range []string{"server", "memory", "persistence"} {
		text, err := r.plain.Info(ctx, section).Result()
		if err != nil {
			return s, fmt.Errorf("jobs: redis info %s: %w", section, asDenied(err))
		}
		s.read(text)
	}
	return s, nil
}

func (s *Settings) read(info string) {
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "redis_version":
			s.Version = value
		case "run_id":
			s.RunID = value
		case "maxmemory_policy":
			s.EvictionPolicy = value
		case "aof_enabled":
			s.AppendOnly = value == "1"
		case "maxmemory":
			_, _ = fmt.Sscan(value, &s.MaxMemory)
		case "used_memory":
			_, _ = fmt.Sscan(value, &s.UsedMemory)
		}
	}
}

type workerKey struct{}

// bounded is the hook of every command: all but those of the servers have a few seconds where their context says
// nothing.
type bounded struct{ pool *starvation }

func (bounded) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b bounded) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		ctx, cancel := bound(ctx)
		defer cancel()
		return b.pool.note(ctx, func() error { return next(ctx, cmd) })
	}
}

func (b bounded) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		ctx, cancel := bound(ctx)
		defer cancel()
		return b.pool.note(ctx, func() error { return next(ctx, cmds) })
	}
}

// starvation counts callers whose time was over before they had a connection. The pool counts only those that waited
// for all of PoolTimeout, which is longer than any caller has.
type starvation struct {
	stats func() *redis.PoolStats
	count atomic.Uint64
}

// note calls do, and counts it where it ended for want of a connection: the pool gives back the bare error of the
// context then, and a server that does not answer an error of the network.
func (s *starvation) note(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return do()
	}
	err := do()
	if err == context.DeadlineExceeded { //nolint:errorlint // a wrapped one comes from somewhere else
		if now := s.stats(); now.TotalConns > 0 && now.IdleConns == 0 {
			s.count.Add(1)
		}
	}
	return err
}

func bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, set := ctx.Deadline(); set || ctx.Value(workerKey{}) != nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, callerTimeout)
}

// expected reports answers that are no trouble: nothing there, a script to be loaded, a task that is gone.
func expected(err error) bool {
	return errors.Is(err, redis.Nil) || strings.HasPrefix(err.Error(), "NOSCRIPT") ||
		strings.Contains(err.Error(), "NOT FOUND")
}
