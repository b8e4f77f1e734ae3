package redisguard_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook/guardtest"
	"github.com/ctrip-gateway/ctrip/webhook/redisguard"
)

func TestGuard(t *testing.T) {
	mini := miniredis.RunT(t)
	for name, c := range map[string]struct {
		addr string
		ttl  time.Duration
		pass func()
	}{
		"redis":     {testkit.Redis(t).Addr, 3 * time.Second, func() { time.Sleep(3200 * time.Millisecond) }},
		"miniredis": {mini.Addr(), time.Minute, func() { mini.FastForward(time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			client := redis.NewClient(&redis.Options{Addr: c.addr})
			t.Cleanup(func() { client.Close() })
			g, err := redisguard.New(redisguard.Options{Client: client, ClaimTTL: c.ttl})
			if err != nil {
				t.Fatal(err)
			}
			guardtest.Run(t, g, c.pass)
			client.Close()
			if won, err := g.Claim(t.Context(), "evt_z"); err == nil {
				t.Errorf("a Redis that is gone: %+v", won)
			}
		})
	}
	if _, err := redisguard.New(redisguard.Options{}); err == nil {
		t.Error("no client, no error")
	}
}
