package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/models"
)

// ClientOptions are what a Client needs.
type ClientOptions struct {
	Redis *Redis
	// Lanes is over how many queues endpoints are spread; the same in every process.
	Lanes int
	Now   func() time.Time
}

// Client puts deliveries into Redis and looks after what is there. It is an outbox.Tasks.
type Client struct {
	redis     *Redis
	asynq     *asynq.Client
	inspector *asynq.Inspector
	lanes     lanes
	now       func() time.Time

	rightsMu    sync.Mutex
	rights      Rights
	rightsUntil time.Time
	listed      atomic.Int64 // when the queues were last put on Asynq's list, Unix seconds
}

// NewClient checks the options and returns a Client.
func NewClient(o ClientOptions) (*Client, error) {
	if o.Redis == nil || o.Now == nil || o.Lanes < 1 {
		return nil, errors.New("jobs: Redis, Now and at least one lane are needed")
	}
	return &Client{
		redis: o.Redis, asynq: asynq.NewClientFromRedisClient(o.Redis.batched),
		inspector: asynq.NewInspectorFromRedisClient(o.Redis.plain),
		lanes:     lanes(o.Lanes), now: o.Now,
	}, nil
}

// Enqueue puts the task of a delivery's current generation into its lane, to be worked on at the time given. A task
// that is there already, in whatever state, is success.
func (c *Client) Enqueue(ctx context.Context, d models.Delivery, at time.Time) error {
	task, err := newTask(d)
	if err != nil {
		return err
	}
	options := []asynq.Option{asynq.TaskID(taskID(d)), asynq.Queue(c.lanes.queue(d)), asynq.MaxRetry(maxRetry),
		asynq.Timeout(taskTimeout)}
	if at.After(c.now()) {
		options = append(options, asynq.ProcessAt(wholeSecond(at)))
	}
	if _, err = c.asynq.EnqueueContext(ctx, task, options...); err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("jobs: enqueue %s: %w", taskID(d), asDenied(err))
	}
	c.redis.wake.put(c.lanes.queue(d), at.After(c.now()))
	return nil
}

// wholeSecond rounds up to a second, because Asynq cuts the times in its sets down to one: nothing may come early.
func wholeSecond(t time.Time) time.Time {
	whole := t.Truncate(time.Second)
	if whole.Before(t) {
		whole = whole.Add(time.Second)
	}
	return whole
}

// Archive puts the task of a dead delivery into Asynq's archive, if it is not there. A worker that is just about to do
// that is left alone and done by the next call.
func (c *Client) Archive(ctx context.Context, d models.Delivery) error {
	queue, id := c.lanes.queue(d), taskID(d)
	info, err := c.inspector.GetTaskInfo(queue, id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
		// Scheduled for a day on which nobody will still want it, so that no worker takes it before it is archived.
		if err := c.Enqueue(ctx, d, c.now().AddDate(1, 0, 0)); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("jobs: look up %s: %w", id, err)
	case info.State == asynq.TaskStateArchived:
		return nil
	case info.State == asynq.TaskStateActive:
		return fmt.Errorf("jobs: archive %s: its worker still has it", id)
	}
	if err := c.inspector.ArchiveTask(queue, id); err != nil && !errors.Is(err, asynq.ErrTaskNotFound) {
		return fmt.Errorf("jobs: archive %s: %w", id, err)
	}
	return nil
}

// Queue is the lane in which the task of a delivery's current generation is.
func (c *Client) Queue(d models.Delivery) string { return c.lanes.queue(d) }
