package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// takeSlot keeps the holders of a key's slots with the time at which each ends, in milliseconds of Redis's clock.
var takeSlot = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 1 -- asked again, because the answer was lost
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(ARGV[3] / 1000) + 60)
return 1
`)

func slotsKey(key string) string { return "ctrip:slots:" + key }

// TakeSlot takes one of the slots that all workers share; see delivery.SharedSlots.
func (r *Redis) TakeSlot(ctx context.Context, key, holder string, slots int, lasts time.Duration) (bool, error) {
	n, err := takeSlot.Run(ctx, r.plain, []string{slotsKey(key)}, holder, slots, lasts.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("jobs: slots of %s: %w", key, asDenied(err))
	}
	return n == 1, nil
}

// GiveSlot gives it back.
func (r *Redis) GiveSlot(ctx context.Context, key, holder string) error {
	if err := r.plain.ZRem(ctx, slotsKey(key), holder).Err(); err != nil {
		return fmt.Errorf("jobs: slots of %s: %w", key, asDenied(err))
	}
	return nil
}
