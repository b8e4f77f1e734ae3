package jobs

import (
	"context"
	"fmt"
)

// savedKey is a hash of verdicts that no process could record yet, by the ids of their attempts.
const savedKey = "ctrip:saved-verdicts"

// mostSaved is about how many of them one look returns.
const mostSaved = 100

// SaveVerdicts stores sealed verdicts until somebody records them.
func (c *Client) SaveVerdicts(ctx context.Context, sealed map[string][]byte) error {
	fields := make([]any, 0, 2*len(sealed))
	for id, v := range sealed {
		fields = append(fields, id, v)
	}
	if err := c.redis.plain.HSet(ctx, savedKey, fields...).Err(); err != nil {
		return fmt.Errorf("jobs: keep verdicts: %w", err)
	}
	return nil
}

// SavedVerdicts returns some of those that are kept, all if they are few.
func (c *Client) SavedVerdicts(ctx context.Context) (map[string][]byte, error) {
	found := make(map[string][]byte)
	for cursor, more := uint64(0), true; more && len(found) < mostSaved; {
		pairs, next, err := c.redis.plain.HScan(ctx, savedKey, cursor, "", mostSaved).Result()
		if err != nil {
			return nil, fmt.Errorf("jobs: kept verdicts: %w", err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			found[pairs[i]] = []byte(pairs[i+1])
		}
		cursor, more = next, next != 0
	}
	return found, nil
}

// ForgetVerdicts removes those that are recorded.
func (c *Client) ForgetVerdicts(ctx context.Context, ids []string) error {
	if err := c.redis.plain.HDel(ctx, savedKey, ids...).Err(); err != nil {
		return fmt.Errorf("jobs: forget verdicts: %w", err)
	}
	return nil
}
