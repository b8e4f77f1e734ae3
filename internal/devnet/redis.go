package devnet

import (
	"fmt"

	"github.com/alicebob/miniredis/v2"
)

// Redis is an in-process Redis without persistence, memory limit or password; expiry follows the wall clock.
type Redis struct {
	server *miniredis.Miniredis
}

// StartRedis starts a Redis on addr, such as 127.0.0.1:0, and answers when it returns. The caller must call Close.
func StartRedis(addr string) (*Redis, error) {
	server := miniredis.NewMiniRedis()
	// miniredis is made for tests and lets no time pass by itself. With this, every command first expires what has
	// run out since the last one; TIME and EXPIREAT use the wall clock anyway.
	server.ClockTTL(true)
	if err := server.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("devnet redis: %w", err)
	}
	return &Redis{server: server}, nil
}

// Addr is host:port as really bound.
func (r *Redis) Addr() string { return r.server.Addr() }

// URL is the address in the form that REDIS_URL takes, such as redis://127.0.0.1:6379/0.
func (r *Redis) URL() string { return "redis://" + r.server.Addr() + "/0" }

// Close ends every connection and forgets all data. It may be called more than once.
func (r *Redis) Close() error {
	r.server.Close()
	return nil
}
