package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// RedisMode says how many Redis servers there are and who knows which one to ask.
type RedisMode string

// The modes.
const (
	RedisSingle   RedisMode = "single"
	RedisSentinel RedisMode = "sentinel"
	RedisCluster  RedisMode = "cluster"
)

// Redis is REDIS_URL taken apart, in plain values for whoever holds the client library.
type Redis struct {
	Mode RedisMode
	// Addrs are host:port: one server, the sentinels, or the cluster's seeds.
	Addrs              []string
	Username           string
	Password           Secret
	SentinelUsername   string
	SentinelPassword   Secret
	DB                 int
	TLS                bool
	InsecureSkipVerify bool
	MasterName         string

	// CA, Cert and Key are PEM from REDIS_CA, REDIS_CERT and REDIS_KEY; PlainAsynq is REDIS_BATCHING=off.
	CA, Cert   string
	Key        Secret
	PlainAsynq bool
}

// String returns mode, hosts and database, without the passwords.
func (r Redis) String() string {
	if len(r.Addrs) == 0 {
		return ""
	}
	scheme := "redis"
	if r.TLS {
		scheme = "rediss"
	}
	if r.Mode != RedisSingle {
		scheme += "-" + string(r.Mode)
	}
	return fmt.Sprintf("%s://%s/%d", scheme, strings.Join(r.Addrs, ","), r.DB)
}

// Format prints the redacted form whatever the verb.
func (r Redis) Format(f fmt.State, verb rune) { printAs(f, verb, r.String()) }

// LogValue prints the same in slog.
func (r Redis) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalJSON prints the same.
func (r Redis) MarshalJSON() ([]byte, error) { return json.Marshal(r.String()) }

// UnmarshalText reads a Redis URL in one of the six schemes. Its errors never quote the URL.
func (r *Redis) UnmarshalText(text []byte) error {
	parsed, err := ParseRedis(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// ParseRedis takes a REDIS_URL apart: redis://, redis-sentinel://, redis-cluster:// and each with rediss for TLS. The
// path is the database number; queries are master, sentinel_user, sentinel_password, insecure_skip_verify. Errors quote
// no part of raw.
func ParseRedis(raw string) (Redis, error) {
	p, ok := splitURL(strings.TrimSpace(raw))
	if !ok {
		return Redis{}, problem("is no URL; want redis://host:port/db")
	}
	base, kind, _ := strings.Cut(p.scheme, "-")
	r := Redis{Mode: RedisSingle, TLS: base == "rediss"}
	if kind != "" {
		r.Mode = RedisMode(kind)
	}
	known := r.Mode == RedisSentinel || r.Mode == RedisCluster || (r.Mode == RedisSingle && kind == "")
	if (base != "redis" && base != "rediss") || !known {
		return Redis{}, problem("has an unknown scheme; want redis, rediss, redis-sentinel or redis-cluster")
	}
	port := "6379"
	if r.Mode == RedisSentinel {
		port = "26379"
	}
	for _, host := range strings.Split(p.hosts, ",") {
		addr, err := withPort(host, port)
		if err != nil {
			return Redis{}, err
		}
		r.Addrs = append(r.Addrs, addr)
	}
	if r.Mode == RedisSingle && len(r.Addrs) > 1 {
		return Redis{}, problem("lists several hosts; say redis-sentinel:// or redis-cluster://")
	}
	user, errUser := url.PathUnescape(p.user)
	password, errPassword := url.PathUnescape(p.password)
	if errUser != nil || errPassword != nil {
		return Redis{}, problem("has a user or password with a stray %; write it as %25")
	}
	r.Username, r.Password = user, Secret(password)
	return r, r.readTail(p.rest)
}

func (r *Redis) readTail(rest string) error {
	path, query, _ := strings.Cut(rest, "?")
	if path = strings.Trim(path, "/"); path != "" {
		db, err := strconv.ParseUint(path, 10, 16)
		if err != nil {
			return problem("has a path that is no database number")
		}
		r.DB = int(db)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return problem("has a broken query")
	}
	for key, all := range values {
		value := all[len(all)-1]
		switch key {
		case "master":
			r.MasterName = value
		case "sentinel_user":
			r.SentinelUsername = value
		case "sentinel_password":
			r.SentinelPassword = Secret(value)
		case "insecure_skip_verify":
			if r.InsecureSkipVerify, err = strconv.ParseBool(value); err != nil {
				return problem("has an insecure_skip_verify that is neither true nor false")
			}
		default:
			return problem("has an unknown query parameter; want master, sentinel_user, sentinel_password or insecure_skip_verify")
		}
	}
	switch {
	case r.Mode == RedisSentinel && r.MasterName == "":
		return problem("needs ?master=NAME with Sentinel")
	case r.Mode != RedisSentinel && (r.MasterName != "" || r.SentinelUsername != "" || r.SentinelPassword != ""):
		return problem("names a master without redis-sentinel://")
	case r.SentinelUsername != "" && r.SentinelPassword == "":
		return problem("names a sentinel_user without sentinel_password")
	case r.Mode == RedisCluster && r.DB != 0:
		return problem("asks a cluster for a database; it has only 0")
	}
	return nil
}

func withPort(host, port string) (string, error) {
	h, p, err := net.SplitHostPort(host)
	if err != nil {
		h, p = strings.Trim(host, "[]"), port
		if strings.Contains(h, ":") && !strings.HasPrefix(host, "[") {
			return "", problem("has a host with too many colons; IPv6 needs [brackets]")
		}
	}
	if n, err := strconv.ParseUint(p, 10, 16); h == "" || err != nil || n == 0 {
		return "", problem("lacks a host or has a bad port")
	}
	return net.JoinHostPort(h, p), nil
}
