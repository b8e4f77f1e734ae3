package jobs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/ctrip-gateway/ctrip/config"
)

const (
	defaultPool   = 128
	workerTimeout = 9 * time.Second // a Redis that stalls must not make go-redis send a script twice
	callerTimeout = 3 * time.Second
	// errorPause is how long a failed command of a server waits before it returns: Asynq dequeues again at once.
	errorPause = 100 * time.Millisecond
)

// Redis is the connection of one process, in three faces: one for the servers, one that shares round trips between
// concurrent callers, and a plain one for everything else. Nothing is dialed before it is used.
type Redis struct {
	plain     redis.UniversalClient
	batched   redis.UniversalClient
	workers   redis.UniversalClient
	clustered bool
}

// quiet keeps go-redis from writing to standard error: whatever it has to say, it also returns.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Connect makes the clients for a single server, for Sentinel or for a cluster. poolSize is the most connections of
// each face; 0 means 128.
func Connect(o config.Redis, poolSize int) (*Redis, error) {
	silence()
	if len(o.Addrs) == 0 {
		return nil, errors.New("jobs: no Redis address")
	}
	if poolSize == 0 {
		poolSize = defaultPool
	}
	plain, batched, err := client(o, poolSize, callerTimeout)
	if err != nil {
		return nil, err
	}
	workers, _, err := client(o, poolSize, workerTimeout)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	workers.AddHook(detach{})
	return &Redis{plain: plain, batched: batched, workers: workers, clustered: o.Mode == config.RedisCluster}, nil
}

// client makes one client and its batching face.
func client(o config.Redis, pool int, timeout time.Duration) (redis.UniversalClient, redis.UniversalClient, error) {
	u := &redis.UniversalOptions{
		Addrs: o.Addrs, DB: o.DB, Username: o.Username, Password: string(o.Password),
		SentinelPassword: string(o.SentinelPassword), MasterName: o.MasterName, IsClusterMode: o.Mode == config.RedisCluster,
		PoolSize: pool, PoolTimeout: timeout, DialTimeout: 3 * time.Second, ReadTimeout: timeout, WriteTimeout: timeout,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		Protocol:                 2, // the third looks for push messages before every answer, and there are none
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if o.TLS {
		host, _, _ := net.SplitHostPort(o.Addrs[0])
		u.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.InsecureSkipVerify}
		if o.Mode == config.RedisSingle {
			u.TLSConfig.ServerName = host
		}
	}
	switch o.Mode {
	case config.RedisCluster:
		c := redis.NewClusterClient(u.Cluster())
		return batching(c, c.AutoPipeline)
	case config.RedisSentinel:
		c := redis.NewFailoverClient(u.Failover())
		return batching(c, c.AutoPipeline)
	}
	c := redis.NewClient(u.Simple())
	return batching(c, c.AutoPipeline)
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
	return errors.Join(r.batched.Close(), ignoreClosed(r.plain.Close()), r.workers.Close())
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
		return fmt.Errorf("jobs: redis: %w", err)
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

// Inspect reads the settings from INFO. What the server does not tell stays empty.
func (r *Redis) Inspect(ctx context.Context) (Settings, error) {
	var s Settings
	for _, section := range []string{"server", "memory", "persistence"} {
		text, err := r.plain.Info(ctx, section).Result()
		if err != nil {
			return s, fmt.Errorf("jobs: redis info %s: %w", section, err)
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

// detach is the hook of the servers' client. Asynq since v0.25 gives its syncer, which repeats a failed ack, a context
// that is already canceled, so every failed ack would become a second delivery two minutes later; detached, the
// repeated ack succeeds. A command that failed waits a moment, because Asynq's dequeue loop repeats it without a pause.
type detach struct{}

func (detach) DialHook(next redis.DialHook) redis.DialHook { return next }

func (detach) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(context.WithoutCancel(ctx), cmd)
		if err != nil && !expected(err) {
			time.Sleep(errorPause/2 + rand.N(errorPause))
		}
		return err
	}
}

func (detach) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { return next(context.WithoutCancel(ctx), cmds) }
}

// expected reports answers that are no trouble: nothing there, a script to be loaded, a task that is gone.
func expected(err error) bool {
	return errors.Is(err, redis.Nil) || strings.HasPrefix(err.Error(), "NOSCRIPT") ||
		strings.Contains(err.Error(), "NOT FOUND")
}
