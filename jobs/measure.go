package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

// Lanes reads how every queue stands. It asks for nothing that a server may refuse to an ordinary user: Asynq's own
// inspector asks for memory usage.
func (c *Client) Lanes(ctx context.Context) ([]telemetry.Lane, error) {
	type answers struct {
		pending, active, retry, scheduled, archived, expired *redis.IntCmd
		last                                                 *redis.StringCmd
	}
	now := c.now()
	names := c.lanes.names()
	asked := make([]answers, len(names))
	pipe := c.redis.plain.Pipeline()
	for i, name := range names {
		asked[i] = answers{
			pending: pipe.LLen(ctx, key(name, "pending")), active: pipe.LLen(ctx, key(name, "active")),
			retry: pipe.ZCard(ctx, key(name, "retry")), scheduled: pipe.ZCard(ctx, key(name, "scheduled")),
			archived: pipe.ZCard(ctx, key(name, "archived")),
			expired:  pipe.ZCount(ctx, key(name, "lease"), "-inf", strconv.FormatInt(now.Unix(), 10)),
			last:     pipe.LIndex(ctx, key(name, "pending"), -1), // the next to be taken
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("jobs: measure the lanes: %w", err)
	}
	pipe = c.redis.plain.Pipeline()
	since := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		if id := asked[i].last.Val(); id != "" {
			since[i] = pipe.HGet(ctx, taskKey(name, id), "pending_since")
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("jobs: measure the lanes: %w", err)
	}
	read := make([]telemetry.Lane, len(names))
	for i, name := range names {
		a := asked[i]
		read[i] = telemetry.Lane{
			Name: name, Pending: int(a.pending.Val()), Active: int(a.active.Val()),
			Retry: int(a.retry.Val() + a.scheduled.Val()), Archived: int(a.archived.Val()), ExpiredLeases: int(a.expired.Val()),
		}
		if since[i] == nil {
			continue
		}
		if ms, ok := millis(since[i].Val()); ok {
			read[i].Oldest = max(now.Sub(time.UnixMilli(ms)), 0)
		}
	}
	return read, nil
}

// Pool is how the connections of both faces stand.
func (r *Redis) Pool() telemetry.RedisPool {
	var sum telemetry.RedisPool
	for _, c := range []redis.UniversalClient{r.plain} { // the batching face dials through it
		s := c.PoolStats()
		sum.Open += int(s.TotalConns)
		sum.Idle += int(s.IdleConns)
		sum.Timeouts += uint64(s.Timeouts)
		if p := s.PipelineStats; p != nil { // pipelines have connections of their own
			sum.Open += int(p.TotalConns)
			sum.Idle += int(p.IdleConns)
			sum.Timeouts += uint64(p.Timeouts)
		}
	}
	sum.Timeouts += r.short.count.Load()
	return sum
}
