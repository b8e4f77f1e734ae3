package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestNothingPrintsASecret(t *testing.T) {
	planted := []string{"Zt8-kqLw2vR", "p9XmV4uTqE", "vG6sN1qXb8Zr", "rpcKeyrpcKey", "hookPathToken", "proxyPass9",
		"otelHeader7", "sentinelPass3", key(3), key(77), "queryToken5"}
	chains := devChain()
	chains[0].RPCURLs = []URL{"https://rpc.test/v2/rpcKeyrpcKey", "wss://rpc.test/?apikey=rpcKeyrpcKey"}
	c, err := Load(Options{Process: ProcessAPI, Chains: chains, Environ: good(
		"REDIS_URL=rediss-sentinel://gateway:p9XmV4uTqE@s1,s2/0?master=m&sentinel_password=sentinelPass3",
		"WEBHOOK_URL=https://shop.test/hookPathToken?k=queryToken5", "WEBHOOK_SECRET=whsec_"+key(77),
		"EGRESS_PROXY=http://out:proxyPass9@proxy.test:3128", "OTEL_EXPORTER_OTLP_HEADERS=authorization=otelHeader7",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://otel.test/otelHeader7")})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", []any{c.OperatorToken, c.MasterKeys, c.Database.URL, c.Redis, c.Chains})
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("config.loaded", "config", c, "token", c.OperatorToken, "keys", c.MasterKeys, "url", c.Database.URL,
			"redis", c.Redis.Server, "key", c.MasterKeys[0])
	}
	for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := encode(c)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	key0 := c.MasterKeys[0].Key
	planted = append(planted, fmt.Sprint(key0), fmt.Sprintf("%x", key0), fmt.Sprintf("%x", "vG6sN1qXb8Zr"))
	for _, secret := range planted {
		if i := strings.Index(out.String(), secret); i >= 0 {
			t.Errorf("%q is printed: …%s…", secret, out.String()[max(0, i-80):i+len(secret)])
		}
	}
	for _, shown := range []string{"postgres://db.internal:5432/…", "https://rpc.test/…",
		"rediss-sentinel://s1:26379,s2:26379/0", "k1:[redacted]"} {
		if !strings.Contains(out.String(), shown) {
			t.Errorf("%s is not shown", shown)
		}
	}
}

// Every value of every known variable is planted broken in turn: the error must not quote it.
func TestNoErrorQuotesAValue(t *testing.T) {
	for _, v := range variables() {
		for _, value := range []string{"planted\x00Secret9", "http://planted:Secret9@", "postgres://planted:a/Secret9@h",
			"redis://planted:Secret9@h:x?Secret9=1", "k:plantedSecret9", "plantedSecret9d"} {
			environ := good(v.Name + "=" + value)
			_, err := Load(Options{Process: ProcessAPI, Environ: environ, Chains: devChain()})
			if err != nil && strings.Contains(err.Error(), "Secret9") {
				t.Errorf("%s: %v", v.Name, err)
			}
		}
	}
}

func TestURLString(t *testing.T) {
	for raw, want := range map[URL]string{
		"":                                     "",
		"postgres://u:p@db:5432/ctrip?x=1":     "postgres://db:5432/…",
		"https://rpc.test":                     "https://rpc.test",
		"https://rpc.test/":                    "https://rpc.test",
		"https://rpc.test/KEY":                 "https://rpc.test/…",
		"https://u:p@w@rpc.test/":              "https://rpc.test",
		"postgres://u:pa/ss@db/ctrip":          redacted,
		"https://rpc.test/@KEY":                redacted,
		"redis://:password":                    redacted,
		"KEY":                                  redacted,
		"sqlite://file.db":                     "sqlite://" + redacted,
		"postgres://u:p@h1:5432,[::1]:5433/db": "postgres://h1:5432,[::1]:5433/…",
	} {
		if got := raw.String(); got != want {
			t.Errorf("%s: %s, want %s", string(raw), got, want)
		}
	}
}

func TestParseRedis(t *testing.T) {
	for raw, want := range map[string]Redis{
		"redis://cache":                                   {Mode: RedisSingle, Addrs: []string{"cache:6379"}},
		"rediss://u:p%40ss@cache:7000/3":                  {Mode: RedisSingle, Addrs: []string{"cache:7000"}, Username: "u", Password: "p@ss", DB: 3, TLS: true},
		"redis://[::1]:6380":                              {Mode: RedisSingle, Addrs: []string{"[::1]:6380"}},
		"redis://[::1]":                                   {Mode: RedisSingle, Addrs: []string{"[::1]:6379"}},
		"redis-sentinel://:p@a,b:1/2?master=m":            {Mode: RedisSentinel, Addrs: []string{"a:26379", "b:1"}, Password: "p", DB: 2, MasterName: "m"},
		"rediss-cluster://a,b":                            {Mode: RedisCluster, Addrs: []string{"a:6379", "b:6379"}, TLS: true},
		"redis-sentinel://a?master=m&sentinel_password=s": {Mode: RedisSentinel, Addrs: []string{"a:26379"}, SentinelPassword: "s", MasterName: "m"},
	} {
		got, err := ParseRedis(raw)
		if err != nil || fmt.Sprintf("%#v", plain(got)) != fmt.Sprintf("%#v", plain(want)) {
			t.Errorf("%s: %v, %v", raw, plain(got), err)
		}
	}
	for _, raw := range []string{"", "cache:6379", "http://cache", "redis://", "redis://a,b", "redis://cache:0",
		"redis://cache:x", "redis://cache/x",
		"redis://cache?master=m", "redis-sentinel://a", "redis-cluster://a/1", "redis-single://a", "redis://u:%zz@a",
		"redis://::1", "redis://a?nonsense=1"} {
		if got, err := ParseRedis(raw); err == nil {
			t.Errorf("%q: %v", raw, plain(got))
		}
	}
}

// plain shows what Redis hides when printed.
func plain(r Redis) []any {
	return []any{string(r.Mode), r.Addrs, r.Username, string(r.Password), string(r.SentinelPassword), r.DB, r.TLS,
		r.MasterName}
}
