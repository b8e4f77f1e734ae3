package jobs

import (
	"fmt"
	"strings"
	"time"
)

// trial is one command that is tried; what is optional says what is missing without it.
type trial struct {
	name     string
	args     []any
	optional string
}

// trials are in the order in which they run: what a command needs was made by those before it.
func (c *Client) trials() []trial {
	first := c.lanes.names()[0]
	scratch, set := taskKey(first, "ctrip-rights"), taskKey(first, "ctrip-rights-s")
	zset := taskKey(first, "ctrip-rights-z")
	var list []trial
	try := func(args ...any) {
		list = append(list, trial{name: fmt.Sprint(args[0]), args: args})
	}
	try("ping")
	try("time")
	try("del", scratch)
	for _, args := range [][]any{{"hset", scratch, "a", "b"}, {"hget", scratch, "a"}, {"hmget", scratch, "a"},
		{"hexists", scratch, "a"}, {"hvals", scratch},
		{"hdel", scratch, "b"}, {"exists", scratch}, {"expire", scratch, 60}, {"del", scratch},
		{"lpush", scratch, "a"},
		{"rpush", scratch, "b"}, {"llen", scratch}, {"lindex", scratch, 0},
		{"lrange", scratch, 0, 1}, {"rpoplpush", scratch, scratch},
		{"lrem", scratch, 0, "a"}, {"expire", scratch, 60}, {"del", scratch},
		{"setnx", scratch, 1}, {"incr", scratch},
		{"setex", scratch, 60, 1}, {"set", scratch, 1}, {"get", scratch},
		{"expireat", scratch, c.now().Unix() + 60}, {"del", scratch},
		{"sadd", set, "a"}, {"expire", set, 60}, {"sismember", set, "a"}, {"smembers", set}, {"srem", set, "a"},
		{"zadd", zset, 1, "a"}, {"expire", zset, 60}, {"zcard", zset}, {"zscore", zset, "a"},
		{"zcount", zset, 0, 1},
		{"zrange", zset, 0, 1}, {"zrangebyscore", zset, 0, 1}, {"zremrangebyrank", zset, 5, 6},
		{"zremrangebyscore", zset, 5, 6},
		{"zrem", zset, "a"},
		{"publish", wakeChannel, "ctrip-rights"}, {"evalsha", strings.Repeat("0", 40), 1, scratch}} {
		try(args...)
	}
	if c.redis.clustered {
		list = append(list, trial{name: "asking", args: []any{"asking"}},
			trial{name: "cluster|slots", args: []any{"cluster", "slots"}},
			trial{name: "command", args: []any{"command", "count"}})
	}
	return append(append(list, c.keyTrials()...),
		trial{name: "info", args: []any{"info", "server"}, optional: Optional["info"]},
		trial{name: "memory|usage", args: []any{"memory", "usage", scratch}, optional: Optional["memory|usage"]})
}

// keyTrials touch every key of ours with a command that changes nothing.
func (c *Client) keyTrials() []trial {
	var list []trial
	key := func(name string, args ...any) {
		list = append(list, trial{name: fmt.Sprintf("%v %s", args[0], name), args: args})
	}
	const none = "ctrip-none"
	for _, q := range c.lanes.names() {
		for _, name := range []string{"pending", "active"} {
			key(keyName(q, name), "lrem", keyName(q, name), 0, none)
		}
		for _, name := range []string{"lease", "scheduled", "retry", "archived", "completed"} {
			key(keyName(q, name), "zrem", keyName(q, name), none)
		}
		day := time.Unix(0, 0).UTC().Format(time.DateOnly)
		for _, name := range []string{"t:" + none, "processed:" + day, "failed:" + day} {
			key(keyName(q, name), "del", keyName(q, name))
		}
		for _, name := range []string{"paused", "processed", "failed"} {
			key(keyName(q, name), "exists", keyName(q, name))
		}
		key(incarnationKey(q), "exists", incarnationKey(q))
		key(incarnationKey(q), "del", incarnationKey(q)+":"+none)
	}
	key("asynq:queues", "srem", "asynq:queues", none)
	for _, name := range []string{"asynq:servers", "asynq:workers"} {
		key(name, "zrem", name, none)
		key(name, "del", name+":{"+none+"}")
	}
	key("ctrip:rate:*", "del", "ctrip:rate:"+none)
	key("ctrip:slots:*", "zrem", slotsKey(none), none)
	key(savedKey, "hdel", savedKey, none)
	key(savedKey, "hscan", savedKey, 0)
	key("asynq:cancel", "publish", cancelChannel, none)
	return list
}

func keyName(queue, what string) string { return key(queue, what) }
