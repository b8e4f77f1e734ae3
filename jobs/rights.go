package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/internal/outbox"
)

// ErrDenied is what Redis does not let its user do, or does not know.
var ErrDenied = outbox.ErrDenied

// asDenied marks the error of a command that this user may not run, or that the server does not have.
func asDenied(err error) error {
	if denied(err) {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

func denied(err error) bool {
	if err == nil {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"noperm", "unknown command", "unknown redis command", "acl failure",
		"can't run this command", "no permissions", "unknown subcommand"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// Keys and Channels are the patterns of all that we use, Commands is every command, and Optional are those without
// which only something that people look at is missing. docs/redis.md has them as a line of ACL.
var (
	Keys     = []string{"asynq:*", "ctrip:*"}
	Channels = []string{"asynq:cancel", "ctrip:wake"}
	Commands = []string{
		"del", "eval", "evalsha", "exists", "expire", "expireat", "get", "hdel", "hexists",
		"hget", "hmget", "hscan", "hset", "incr",
		"lindex", "llen", "lpush", "lrange", "lrem", "ping", "publish", "rpoplpush", "rpush",
		"sadd", "set", "setex", "setnx",
		"smembers", "sismember", "srem", "subscribe", "time", "unsubscribe", "zadd", "zcard",
		"zcount", "zrange", "zrangebyscore",
		"zrem", "zremrangebyrank", "zscore",
	}
	Optional = map[string]string{
		"info":         "version, eviction policy and persistence are not told",
		"memory|usage": "/queues does not tell how much memory a queue takes",
	}
)

// ACL is the line of a user with the least rights.
func ACL() string {
	line := "resetkeys resetchannels -@all"
	for _, c := range Commands {
		line += " +" + c
	}
	for _, k := range Keys {
		line += " ~" + k
	}
	for _, c := range Channels {
		line += " &" + c
	}
	return line
}

// Rights is what Redis lets us do.
type Rights struct {
	// Denied are commands, keys and channels that are needed and denied.
	Denied []string
	// Missing is what is not told, because an optional command is denied.
	Missing []string
	// DeclaredKeys says that scripts may use no key that was not declared: Asynq's do.
	DeclaredKeys bool
}

// Err is nil when nothing that is needed is denied.
func (r Rights) Err() error {
	switch {
	case r.DeclaredKeys:
		return fmt.Errorf("%w: this Redis lets scripts use only keys that were declared, and those of Asynq use others: set "+
			"what allows undeclared keys (Dragonfly: --default_lua_flags=allow-undeclared-keys), or take another Redis",
			ErrDenied)
	case len(r.Denied) > 0:
		return fmt.Errorf("%w: %s; docs/redis.md has the user's rights", ErrDenied, strings.Join(r.Denied, ", "))
	}
	return nil
}

// Rights tries, as the user of REDIS_URL, every command on keys of ours that do nobody any harm, and every key with a
// command that changes nothing. An error is that of a Redis that does not answer.
func (c *Client) Rights(ctx context.Context) (Rights, error) {
	var r Rights
	trials := c.trials()
	pipe := c.redis.plain.Pipeline()
	answers := make([]*redis.Cmd, len(trials))
	for i, t := range trials {
		answers[i] = pipe.Do(ctx, t.args...)
	}
	_, _ = pipe.Exec(ctx) // each answer has its own error
	for i, t := range trials {
		err := answers[i].Err()
		var told redis.Error
		switch {
		case err == nil, errors.Is(err, redis.Nil):
		case denied(err) && t.optional != "":
			r.Missing = append(r.Missing, t.optional)
		case denied(err):
			r.Denied = append(r.Denied, t.name)
		case !errors.As(err, &told):
			return r, fmt.Errorf("jobs: redis: rights: %w", err)
		}
	}
	if err := c.trySubscriptions(ctx, &r); err != nil {
		return r, err
	}
	return r, c.tryScript(ctx, &r)
}

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
		{"hexists", scratch, "a"},
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
		{"zrem", zset, "a"},
		{"publish", wakeChannel, "ctrip-rights"}, {"evalsha", strings.Repeat("0", 40), 1, scratch}} {
		try(args...)
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
	key(savedKey, "hdel", savedKey, none)
	key(savedKey, "hscan", savedKey, 0)
	key("asynq:cancel", "publish", cancelChannel, none)
	return list
}

func keyName(queue, what string) string { return key(queue, what) }

// trySubscriptions asks for each channel by itself: of two, go-redis reports neither.
func (c *Client) trySubscriptions(ctx context.Context, r *Rights) error {
	for _, channel := range Channels {
		sub := c.redis.plain.Subscribe(ctx, channel)
		_, err := sub.ReceiveTimeout(ctx, callerTimeout)
		_ = sub.Close()
		var told redis.Error
		switch {
		case err == nil:
		case denied(err):
			r.Denied = append(r.Denied, "subscribe "+channel)
		case !errors.As(err, &told):
			return fmt.Errorf("jobs: redis: subscribe: %w", err)
		}
	}
	return nil
}

// tryScript does what Asynq's scripts do: it uses a key that was not declared.
func (c *Client) tryScript(ctx context.Context, r *Rights) error {
	queue := c.lanes.names()[0]
	err := c.redis.plain.Eval(ctx, `return redis.call("EXISTS", ARGV[1])`, []string{key(queue, "pending")},
		taskKey(queue, "ctrip-none")).Err()
	var told redis.Error
	switch {
	case err == nil, errors.Is(err, redis.Nil):
	case denied(err):
		r.Denied = append(r.Denied, "eval")
	case strings.Contains(strings.ToLower(err.Error()), "undeclared"), strings.Contains(err.Error(), "not declared"),
		strings.Contains(err.Error(), "non local key"):
		r.DeclaredKeys = true
	case !errors.As(err, &told):
		return fmt.Errorf("jobs: redis: eval: %w", err)
	}
	return nil
}

// checkEvery is how long what was found about rights is believed.
const checkEvery = 30 * time.Second

// CheckRights is the error of what is denied and needed, asked anew every half minute.
func (c *Client) CheckRights(ctx context.Context) error {
	c.rightsMu.Lock()
	defer c.rightsMu.Unlock()
	if now := time.Now(); now.After(c.rightsUntil) {
		r, err := c.Rights(ctx)
		if err != nil {
			return err
		}
		c.rights, c.rightsUntil = r, now.Add(checkEvery)
	}
	return c.rights.Err()
}
