package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/hibiken/asynq"
)

// ArchiveMost is how many dead letters a queue's archive keeps for operators to look at. Asynq would keep 9,999 and
// then delete silently; the record keeps all of them until retention ends.
const ArchiveMost = 4_500

// drainStep bounds how many tasks one call removes.
const drainStep = 5_000

// DrainArchive removes the oldest tasks of every archive that holds more than most, and returns how many.
func (c *Client) DrainArchive(ctx context.Context, most int64) (int, error) {
	total := 0
	for _, queue := range c.lanes.names() {
		have, err := c.redis.plain.ZCard(ctx, key(queue, "archived")).Result()
		if err != nil {
			return total, fmt.Errorf("jobs: archive of %s: %w", queue, err)
		}
		extra := min(have-most, drainStep)
		if extra <= 0 {
			continue
		}
		ids, err := c.redis.plain.ZRange(ctx, key(queue, "archived"), 0, extra-1).Result()
		if err != nil {
			return total, fmt.Errorf("jobs: archive of %s: %w", queue, err)
		}
		for _, id := range ids {
			err := c.inspector.DeleteTask(queue, id)
			if err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
				return total, fmt.Errorf("jobs: drain %s: %w", queue, err)
			}
			total++
		}
	}
	return total, nil
}
