package redisguard

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// done is the value of a key whose event was handled; that of a claim is its token.
const done = "done"

// Options configure a Guard; zero values mean the defaults of [webhook.GuardOptions].
type Options struct {
	Client   redis.UniversalClient
	Prefix   string        // of the keys; "webhook:" when empty
	TTL      time.Duration // how long a handled id is remembered
	ClaimTTL time.Duration // after which an unfinished claim is taken for dead; longer than any handler runs
}

// Guard is a [webhook.Guard] with one key for each event.
type Guard struct{ o Options }

// New checks the options.
func New(o Options) (*Guard, error) {
	if o.Client == nil {
		return nil, errors.New("redisguard: Client is needed")
	}
	if o.TTL < 0 || o.ClaimTTL < 0 {
		return nil, errors.New("redisguard: TTL and ClaimTTL must not be negative")
	}
	if o.TTL == 0 {
		o.TTL = webhook.DefaultGuardTTL
	}
	if o.ClaimTTL == 0 {
		o.ClaimTTL = webhook.DefaultClaimTTL
	}
	if o.Prefix == "" {
		o.Prefix = "webhook:"
	}
	return &Guard{o}, nil
}

// Claim takes id unless it is taken or done.
func (g *Guard) Claim(ctx context.Context, id string) (webhook.Claim, error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return webhook.Claim{}, fmt.Errorf("redisguard: %w", err)
	}
	token := binary.BigEndian.Uint64(raw[:]) | 1
	mine := strconv.FormatUint(token, 10)
	held, err := g.o.Client.SetArgs(ctx, g.o.Prefix+id, mine,
		redis.SetArgs{Mode: "NX", Get: true, TTL: g.o.ClaimTTL}).Result()
	switch {
	case errors.Is(err, redis.Nil), err == nil && held == mine:
		// there was none; or the client asked again after a lost answer
		return webhook.Claim{ID: id, State: webhook.ClaimWon, Token: token}, nil
	case err != nil:
		return webhook.Claim{}, fmt.Errorf("redisguard: claim: %w", err)
	case held == done:
		return webhook.Claim{ID: id, State: webhook.ClaimDone}, nil
	}
	return webhook.Claim{ID: id, State: webhook.ClaimBusy}, nil
}

// Commit records the id as handled.
func (g *Guard) Commit(ctx context.Context, c webhook.Claim) error {
	if err := g.o.Client.Set(ctx, g.o.Prefix+c.ID, done, g.o.TTL).Err(); err != nil {
		return fmt.Errorf("redisguard: commit: %w", err)
	}
	return nil
}

// release deletes a claim if it is still the caller's.
var release = redis.NewScript(
	`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)

// Release gives the id back, unless the claim ran out and it is another's.
func (g *Guard) Release(ctx context.Context, c webhook.Claim) error {
	if err := release.Run(ctx, g.o.Client, []string{g.o.Prefix + c.ID},
		strconv.FormatUint(c.Token, 10)).Err(); err != nil {
		return fmt.Errorf("redisguard: release: %w", err)
	}
	return nil
}
