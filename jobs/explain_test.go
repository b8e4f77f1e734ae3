package jobs_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
)

// connectTo makes a client for a REDIS_URL.
func connectTo(t *testing.T, url string, change ...func(*config.Redis)) (*jobs.Redis, *jobs.Client) {
	t.Helper()
	o, err := config.ParseRedis(url)
	check(t, err)
	for _, f := range change {
		f(&o)
	}
	r, err := jobs.Connect(o, 4)
	check(t, err)
	t.Cleanup(func() { check(t, r.Close()) })
	c, err := jobs.NewClient(jobs.ClientOptions{Redis: r, Lanes: testLanes, Now: time.Now})
	check(t, err)
	return r, c
}

// TestExplain: whatever is wrong with REDIS_URL is said in words.
func TestExplain(t *testing.T) {
	plain := testkit.Redis(t)
	guarded := testkit.NewRedisServer(t, testkit.RedisSetup{Users: []string{"gateway on >pw " + jobs.ACL()}})
	certs := testkit.NewRedisCerts(t)
	secret := testkit.NewRedisServer(t, testkit.RedisSetup{Certs: certs})
	trusting := func(o *config.Redis) { o.CA = certs.CA }
	known := func(o *config.Redis) { o.CA, o.Cert, o.Key = certs.CA, certs.Cert, config.Secret(certs.Key) }
	for name, c := range map[string]struct {
		url    string
		change func(*config.Redis)
		want   string
	}{
		"right":               {"redis://gateway:pw@" + guarded.Addr, nil, ""},
		"right over TLS":      {"rediss://" + secret.Addr, known, ""},
		"wrong password":      {"redis://gateway:other@" + guarded.Addr, nil, "user or password are wrong"},
		"no password":         {"redis://" + guarded.Addr, nil, "wants a password"},
		"a number":            {"redis://" + plain.Addr + "/77", nil, "number of a database"},
		"a number denied":     {"redis://gateway:pw@" + guarded.Addr + "/2", nil, "lacks rights"},
		"TLS to a plain port": {"rediss://" + plain.Addr, nil, "want redis:// instead"},
		"plain to a TLS port": {"redis://" + secret.Addr, nil, "does it want TLS"},
		"unknown authority":   {"rediss://" + secret.Addr, nil, "REDIS_CA"},
		"no client key":       {"rediss://" + secret.Addr, trusting, "REDIS_CERT"},
		"no cluster":          {"redis-cluster://" + plain.Addr, nil, "this is no cluster"},
		"no sentinels":        {"redis-sentinel://" + plain.Addr + "?master=main", nil, "these are no sentinels"},
	} {
		r, _ := connectTo(t, c.url, func(o *config.Redis) {
			if c.change != nil {
				c.change(o)
			}
		})
		err := r.Ping(t.Context())
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(r.Explain(err), c.want) {
			t.Errorf("%s: %v is explained as %q", name, err, r.Explain(err))
		}
	}
}

// TestWritesThatAreRefused: a server that answers and takes no writes is named with the reason.
func TestWritesThatAreRefused(t *testing.T) {
	server := testkit.Redis(t)
	_, c := connectTo(t, server.URL)
	for what, commands := range map[string][2]string{
		"a replica":          {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
		"fewer replicas":     {"CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"},
		"its memory is full": {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
	} {
		server.Do(t, strings.Fields(commands[0])...)
		r, err := c.Rights(t.Context())
		if err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), what) {
			t.Errorf("%s: %v, %v", what, r.Err(), err)
		}
		server.Do(t, strings.Fields(commands[1])...)
	}
	if r, err := c.Rights(t.Context()); err != nil || r.Err() != nil {
		t.Errorf("afterwards: %v, %v", r.Err(), err)
	}
}

// TestScriptsThatAreRefused: servers that want keys declared, and others, by what they are known to answer.
func TestScriptsThatAreRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"-ERR script tried accessing undeclared key":                                          "allow-undeclared-keys",
		"-ERR Error running script: script tried accessing undeclared key, on @user_script:1": "allow-undeclared-keys",
		"-ERR Script attempted to access a non local key in a cluster node":                   "allow-undeclared-keys",
		"-ERR unknown command 'EVAL', with args beginning with: ":                             "eval",
		"-ERR command 'EVAL' is not allowed":                                                  "eval",
		"-MOVED 1234 192.0.2.1:6379":                                                          "redis-cluster://",
		"-MISCONF Redis is configured to save RDB snapshots":                                  "save to its disk",
	} {
		addr := scriptlessRedis(t, answer)
		_, c := connectTo(t, "redis://"+addr)
		r, err := c.Rights(t.Context())
		if err != nil || r.Err() == nil || !strings.Contains(r.Err().Error(), want) {
			t.Errorf("%s: %v, %v", answer, r.Err(), err)
		}
	}
}

// scriptlessRedis answers :1 to everything but scripts, as much as a trial of rights needs.
func scriptlessRedis(t *testing.T, toScripts string) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			var n, size int
			if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
				return
			}
			words := make([]string, n)
			for i := range words {
				if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
					return
				}
				word := make([]byte, size+2)
				if _, err := io.ReadFull(in, word); err != nil {
					return
				}
				words[i] = strings.ToLower(string(word[:size]))
			}
			answer := ":1"
			switch words[0] {
			case "eval", "evalsha":
				answer = toScripts
			case "hello":
				answer = "-ERR unknown command 'HELLO'"
			case "ping":
				answer = "+PONG"
			case "subscribe":
				answer = fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1", len(words[1]), words[1])
			}
			if _, err := io.WriteString(c, answer+"\r\n"); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}
