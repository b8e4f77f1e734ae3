package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
	if err == nil || refusal(err) != "" {
		return false
	}
	text := strings.ToLower(err.Error())
	for _, sign := range []string{"noperm", "unknown command", "unknown redis command", "acl failure",
		"can't run this command", "no permissions", "unknown subcommand", "is not allowed", "not permitted",
		"not supported"} {
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
		"hget", "hmget", "hscan", "hset", "hvals", "incr",
		"lindex", "llen", "lpush", "lrange", "lrem", "ping", "publish", "rpoplpush", "rpush",
		"sadd", "set", "setex", "setnx",
		"smembers", "sismember", "srem", "subscribe", "time", "unsubscribe", "zadd", "zcard",
		"zcount", "zrange", "zrangebyscore",
		"zrem", "zremrangebyrank", "zremrangebyscore", "zscore",
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

// ClusterACL is what a client of a cluster asks its nodes besides.
func ClusterACL() string { return " +asking +cluster|slots +command" }

// SentinelACL is the line of a sentinel_user with the least rights.
func SentinelACL() string {
	return "resetkeys resetchannels -@all +ping +sentinel|get-master-addr-by-name +sentinel|sentinels +subscribe " +
		"+unsubscribe &+switch-master &+replica-reconf-done"
}

// Rights is what Redis lets us do.
type Rights struct {
	// Denied are commands, keys and channels that are needed and denied.
	Denied []string
	// Grants are the rules of ACL that mend it, for the user of that name.
	Grants []string
	User   string
	// Missing is what is not told, because an optional command is denied.
	Missing []string
	// DeclaredKeys says that scripts may use no key that was not declared: Asynq's do.
	DeclaredKeys bool
	// ReadOnly says why this server takes no writes, though its user may make them; "" when it does.
	ReadOnly string
}

// mostNamed is how many denied rights are named in one sentence.
const mostNamed = 12

// Err is nil when nothing that is needed is denied.
func (r Rights) Err() error {
	switch {
	case r.DeclaredKeys:
		return fmt.Errorf("%w: this Redis lets scripts use only keys that were declared, and those of Asynq use others: set "+
			"what allows undeclared keys (Dragonfly: --default_lua_flags=allow-undeclared-keys), or take another Redis",
			ErrDenied)
	case r.ReadOnly != "":
		return fmt.Errorf("%w: %s", ErrDenied, r.ReadOnly)
	case len(r.Denied) == 0:
		return nil
	}
	named, more := r.Denied, ""
	if len(named) > mostNamed {
		more = fmt.Sprintf(" and %d more", len(named)-mostNamed)
		named = named[:mostNamed]
	}
	mend := "; this server does not know them, or somebody renamed them"
	if len(r.Grants) > 0 {
		mend = "; what mends it: ACL SETUSER " + r.User + " " + strings.Join(r.Grants, " ")
	}
	return fmt.Errorf("%w: %s%s%s; docs/redis.md has all rights", ErrDenied, strings.Join(named, ", "), more, mend)
}

// deny notes what a server denied, and the rule that allows it.
func (r *Rights) deny(name, where string, err error, args ...any) {
	text := strings.ToLower(err.Error())
	command := strings.ToLower(fmt.Sprint(args[0]))
	if bare, _, _ := strings.Cut(name, " "); strings.Contains(bare, "|") {
		command = bare
	}
	grant := "+" + command
	if pattern, of := patternOf(text, args); pattern != "" {
		grant, name = pattern, command+" "+of
	} else {
		name = command // with whatever key
	}
	if name += where; !slices.Contains(r.Denied, name) {
		r.Denied = append(r.Denied, name)
	}
	if !strings.Contains(text, "unknown") && !slices.Contains(r.Grants, grant) { // what is not known cannot be allowed
		r.Grants = append(r.Grants, grant)
	}
}

// patternOf is the rule for the key or the channel that an error says may not be used, and that key; "" if it says
// nothing of one.
func patternOf(text string, args []any) (pattern, of string) {
	if !strings.Contains(text, "access") {
		return "", ""
	}
	kind, patterns := "~", Keys
	if strings.Contains(text, "channel") {
		kind, patterns = "&", Channels
	}
	for _, a := range args[1:] {
		for _, p := range patterns {
			if of = fmt.Sprint(a); strings.HasPrefix(of, strings.TrimSuffix(p, "*")) {
				return kind + p, of
			}
		}
	}
	return "", ""
}

// refusals are the errors of servers that let their user write and take no writes all the same, by their first word.
var refusals = map[string]string{
	"MOVED":       "this is one node of a cluster: REDIS_URL has to say redis-cluster://",
	"READONLY":    "this is a replica: REDIS_URL has to lead to its master, or to sentinels (redis-sentinel://)",
	"NOREPLICAS":  "it takes no writes, because fewer replicas follow than min-replicas-to-write says",
	"MISCONF":     "it takes no writes, because it cannot save to its disk",
	"OOM":         "it takes no writes, because its memory is full: raise maxmemory",
	"LOADING":     "it is loading its data",
	"MASTERDOWN":  "it is a replica whose master is down",
	"CLUSTERDOWN": "part of the cluster is down, so that no part of it takes writes",
}

// refusal says in words what an error of a server means that takes no writes.
func refusal(err error) string {
	first, _, _ := strings.Cut(err.Error(), " ")
	return refusals[first]
}

// Rights tries, as the user of REDIS_URL, every command on keys of ours that do nobody any harm, and every key with a
// command that changes nothing, in a cluster at every node, because each has rights of its own. An error is that of a
// Redis that does not answer.
func (c *Client) Rights(ctx context.Context) (Rights, error) {
	r := Rights{User: c.redis.user}
	cluster, clustered := c.redis.plain.(*redis.ClusterClient)
	if err := c.try(ctx, c.redis.plain, "", &r); err != nil {
		return r, err
	}
	if clustered {
		var mu sync.Mutex
		err := cluster.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error {
			found := Rights{User: r.User}
			_ = c.try(ctx, node, " at "+node.Options().Addr, &found) // a node that is down denies nothing
			mu.Lock()
			defer mu.Unlock()
			r.add(found)
			return nil
		})
		if err != nil && ctx.Err() != nil {
			return r, fmt.Errorf("jobs: redis: rights: %w", err)
		}
	}
	if err := c.trySubscriptions(ctx, &r); err != nil {
		return r, err
	}
	return r, c.tryScript(ctx, &r)
}

// add adds what one node of a cluster denies and others allow.
func (r *Rights) add(node Rights) {
	for _, name := range node.Denied {
		if bare, _, _ := strings.Cut(name, " at "); !slices.Contains(r.Denied, bare) {
			r.Denied = append(r.Denied, name)
		}
	}
	for _, g := range node.Grants {
		if !slices.Contains(r.Grants, g) {
			r.Grants = append(r.Grants, g)
		}
	}
}

// try runs all trials at a server, or through a client of a cluster. A node of a cluster moves most of them on to
// others, after it has looked at their rights.
func (c *Client) try(ctx context.Context, client redis.Cmdable, where string, r *Rights) error {
	trials := c.trials()
	pipe := client.Pipeline()
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
			if !slices.Contains(r.Missing, t.optional) {
				r.Missing = append(r.Missing, t.optional)
			}
		case denied(err):
			r.deny(t.name, where, err, t.args...)
		case !errors.As(err, &told):
			return fmt.Errorf("jobs: redis: rights: %w", err)
		case r.ReadOnly == "" && where == "":
			r.ReadOnly = refusal(err)
		}
	}
	return nil
}

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
			r.deny("subscribe "+channel, "", err, "subscribe", channel)
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
	case denied(err) && strings.Contains(err.Error(), "user executing the script"): // what is in it is tried by itself
	case denied(err):
		r.deny("eval", "", err, "eval", key(queue, "pending"))
	case strings.Contains(strings.ToLower(err.Error()), "undeclared"), strings.Contains(err.Error(), "not declared"),
		strings.Contains(err.Error(), "non local key"):
		r.DeclaredKeys = true
	case r.ReadOnly == "" && refusal(err) != "":
		r.ReadOnly = refusal(err)
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
