package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// unheardPoll and heardPoll are how long an idle lane waits before it looks again: while nobody may be able to wake
	// it, and while the subscription is known to work.
	unheardPoll = 250 * time.Millisecond
	heardPoll   = 2 * time.Second
	// coldForward is how often the tasks that wait in a lane of first tries are looked at when this process put none
	// there of late, which hotForward says.
	coldForward = 5 * time.Second
	hotForward  = time.Minute
)

// laneClient is what one Asynq server sees of Redis. Asynq runs all that matters as scripts, which are known here by
// their keys; what is not known passes through.
//
// It detaches contexts, because Asynq since v0.25 gives its syncer, which repeats a failed ack, a context that is
// already canceled, so every failed ack would become a second delivery two minutes later. A script that failed waits a
// moment, because Asynq's dequeue loop repeats it without a pause. And a lane that is empty is not asked again before
// it is woken or some time has passed.
type laneClient struct {
	redis.UniversalClient
	queue      string
	wake       *wakeUps
	woken      chan struct{} // a token when somebody put a task into the lane
	idle       bool          // waits instead of asking again and again
	prefetcher *prefetcher   // nil leaves Asynq's scripts alone
	ackBatcher *ackBatcher
	cold       bool // its waiting tasks are looked at rarely

	mu        sync.Mutex
	hotUntil  time.Time
	forwarded map[string]time.Time // by key
}

func newLaneClient(r *Redis, queue string, s *slots) *laneClient {
	c := &laneClient{UniversalClient: r.plain, queue: queue, wake: r.wake, woken: make(chan struct{}, 1),
		idle: !r.plainAsynq, cold: !r.plainAsynq && queue != retryQueue, forwarded: make(map[string]time.Time)}
	if !r.plainAsynq {
		c.prefetcher, c.ackBatcher = &prefetcher{redis: r.plain, slots: s}, &ackBatcher{redis: r.plain}
	}
	r.wake.add(c)
	return c
}

// Subscribe gives Asynq the cancellations that the one subscription of this process hears.
func (c *laneClient) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	return c.wake.cancellations.Subscribe(ctx, channels...)
}

// EvalSha runs a script of Asynq's.
func (c *laneClient) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, func(ctx context.Context) *redis.Cmd {
		switch {
		case c.prefetcher != nil && sha == asynqDequeue:
			return c.prefetcher.dequeue(ctx, keys, args)
		case c.ackBatcher != nil && sha == asynqDone:
			return c.ackBatcher.done(ctx, keys, args)
		}
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

// Eval runs a script that the server did not know yet.
func (c *laneClient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return c.run(ctx, keys, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	})
}

func (c *laneClient) run(ctx context.Context, keys []string, script func(context.Context) *redis.Cmd) *redis.Cmd {
	ctx = context.WithValue(context.WithoutCancel(ctx), workerKey{}, true)
	kind := kindOf(keys)
	if kind == forwards && c.skipsForward(keys[0]) {
		cmd := redis.NewCmd(ctx)
		cmd.SetVal(int64(0))
		return cmd
	}
	cmd := script(ctx)
	switch err := cmd.Err(); {
	case err != nil && !expected(err):
		time.Sleep(errorPause/2 + rand.N(errorPause))
	case kind == dequeues && errors.Is(err, redis.Nil) && c.idle:
		c.wait()
	case kind == forwards && err == nil:
		if n, ok := cmd.Val().(int64); ok && n > 0 { // a hundred at a time: Asynq asks again at once
			c.heat()
			c.signal()
		}
	case kind == schedules:
		c.heat()
	}
	return cmd
}

// wait keeps Asynq from asking again before there may be something.
func (c *laneClient) wait() {
	pause := unheardPoll
	if c.wake.hears() {
		pause = heardPoll
	}
	timer := time.NewTimer(pause - pause/8 + rand.N(pause/4))
	defer timer.Stop()
	select {
	case <-c.woken:
	case <-timer.C:
	case <-c.wake.stopping:
	}
}

func (c *laneClient) signal() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// heat makes the forwarder look often, because a task waits that this process knows of.
func (c *laneClient) heat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hotUntil = time.Now().Add(hotForward)
}

func (c *laneClient) skipsForward(key string) bool {
	if !c.cold {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.After(c.hotUntil) && now.Sub(c.forwarded[key]) < coldForward {
		return true
	}
	c.forwarded[key] = now
	return false
}

// script is what one of Asynq's scripts does.
type script int

const (
	another script = iota
	dequeues
	forwards
	schedules
)

// kindOf knows a script of Asynq v0.26 by its keys.
func kindOf(keys []string) script {
	ends := func(i int, name string) bool { return strings.HasSuffix(keys[i], "}:"+name) }
	switch {
	case len(keys) == 4 && ends(0, "pending") && ends(1, "paused") && ends(2, "active") && ends(3, "lease"):
		return dequeues
	case len(keys) == 2 && (ends(0, "scheduled") || ends(0, "retry")) && ends(1, "pending"):
		return forwards
	}
	for i := range keys {
		if ends(i, "retry") || ends(i, "scheduled") {
			return schedules
		}
	}
	return another
}
