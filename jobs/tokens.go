package jobs

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"
)

// takeToken keeps the time at which a bucket will be full again, in microseconds of Redis's clock, and takes one token.
// It answers how many tokens are left, and in how many microseconds there is one when there was none.
var takeToken = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
full = math.min(full, now + every * burst)
local wait = full + every - now - every * burst
if wait > 0 then
  return {0, math.ceil(wait)}
end
full = full + every
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1000)
return {math.floor((every * burst - (full - now)) / every), 0}
`)

// TakeToken takes one token of a bucket that all processes share; see limits.Shared.
func (r *Redis) TakeToken(ctx context.Context, key string, perSecond float64, burst int) (left int, wait time.Duration,
	err error) {
	every := math.Max(math.Round(1e6/perSecond), 1)
	got, err := takeToken.Run(ctx, r.plain, []string{"ctrip:rate:" + key}, every, burst).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("jobs: redis: rate of %s: %w", key, err)
	}
	if len(got) != 2 {
		return 0, 0, fmt.Errorf("jobs: redis: rate of %s: %d values", key, len(got))
	}
	return int(got[0]), time.Duration(got[1]) * time.Microsecond, nil
}
