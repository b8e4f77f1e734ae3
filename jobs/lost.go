package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// leaseGrace is how long after the end of its lease a task is given to a worker that was only cut off.
	leaseGrace = 10 * time.Second
	maxExpired = 2000
)

// Keys of Asynq v0.26. A queue is one hash tag, so all of them are in one slot of a cluster.
func key(queue, what string) string      { return "asynq:{" + queue + "}:" + what }
func taskKey(queue, id string) string    { return key(queue, "t:"+id) }
func incarnationKey(queue string) string { return "ctrip:{" + queue + "}:epoch" }
func millis(nanos string) (int64, bool) {
	n, err := strconv.ParseInt(nanos, 10, 64)
	return n / 1e6, err == nil
}

// location is where Redis says that a task is.
type location struct {
	queue, id string
	state     string // "" when there is no such task
	since     string // pending_since, Unix nanoseconds
	live      bool
}

// MissingTasks tells for each delivery whether the task of its current generation is gone or can never run: it does not
// exist, was archived or completed, is held by a dead worker, or its hash says that it waits in a set where it is not.
// Asynq never finds the last kind by itself.
func (c *Client) MissingTasks(ctx context.Context, ds []models.Delivery) ([]bool, error) {
	locations := make([]*location, len(ds))
	for i, d := range ds {
		locations[i] = &location{queue: c.lanes.queue(d), id: taskID(d)}
	}
	if err := c.find(ctx, locations); err != nil {
		return nil, err
	}
	if err := c.verify(ctx, locations); err != nil {
		return nil, err
	}
	// A task that moved on while it was looked for is not lost: ask again whether it still claims to be where it is not.
	var doubtful []*location
	again := make(map[*location]*location)
	for _, p := range locations {
		if p.state != "" && !p.live {
			q := &location{queue: p.queue, id: p.id}
			again[p] = q
			doubtful = append(doubtful, q)
		}
	}
	if len(doubtful) > 0 {
		if err := c.states(ctx, doubtful); err != nil {
			return nil, err
		}
	}
	lost := make([]bool, len(ds))
	for i, p := range locations {
		lost[i] = !p.live
		if q := again[p]; q != nil && q.state != p.state {
			lost[i] = false
		}
	}
	return lost, nil
}

// find looks for tasks where their deliveries say that they are, and for those that are not there in the lane of slow
// endpoints, to which what is too much for a lane goes.
func (c *Client) find(ctx context.Context, locations []*location) error {
	if err := c.states(ctx, locations); err != nil {
		return err
	}
	var elsewhere []*location
	for _, p := range locations {
		if p.state == "" && p.queue != slowQueue {
			elsewhere = append(elsewhere, &location{queue: slowQueue, id: p.id})
		}
	}
	if len(elsewhere) == 0 {
		return nil
	}
	if err := c.states(ctx, elsewhere); err != nil {
		return err
	}
	for _, p := range locations {
		if p.state == "" && p.queue != slowQueue {
			if found := elsewhere[0]; found.state != "" {
				*p = *found
			}
			elsewhere = elsewhere[1:]
		}
	}
	return nil
}

// states reads what the hashes of tasks say.
func (c *Client) states(ctx context.Context, locations []*location) error {
	pipe := c.redis.plain.Pipeline()
	answers := make([]*redis.SliceCmd, len(locations))
	for i, p := range locations {
		answers[i] = pipe.HMGet(ctx, taskKey(p.queue, p.id), "state", "pending_since")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("jobs: look up tasks: %w", asDenied(err))
	}
	for i, p := range locations {
		values := answers[i].Val()
		p.state, _ = values[0].(string)
		p.since, _ = values[1].(string)
	}
	return nil
}

// verify finds out which of the tasks are where their hash says.
func (c *Client) verify(ctx context.Context, locations []*location) error {
	heads, err := c.heads(ctx, locations)
	if err != nil {
		return err
	}
	pipe := c.redis.plain.Pipeline()
	scores := make(map[*location]*redis.FloatCmd)
	messages := make(map[*location]*redis.BoolCmd)
	for _, p := range locations {
		switch p.state {
		case "pending":
			p.live = heads[p.queue].reaches(p.since)
		case "active":
			scores[p] = pipe.ZScore(ctx, key(p.queue, "lease"), p.id)
			messages[p] = pipe.HExists(ctx, taskKey(p.queue, p.id), "msg")
		case "retry", "scheduled":
			scores[p] = pipe.ZScore(ctx, key(p.queue, p.state), p.id)
		}
	}
	if len(scores) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("jobs: look up tasks: %w", asDenied(err))
	}
	expired := float64(c.now().Add(-leaseGrace).Unix())
	for p, score := range scores {
		at, err := score.Result()
		p.live = err == nil
		if m := messages[p]; m != nil {
			p.live = p.live && m.Val() && at > expired
		}
	}
	return nil
}

// head is the oldest task of a queue's list.
type head struct {
	empty bool
	since string
}

// reaches reports whether a task that waits since then can still be in the list: the list is first in, first out.
func (h head) reaches(since string) bool {
	if h.empty {
		return false
	}
	mine, known := millis(since)
	oldest, told := millis(h.since)
	return !known || !told || mine+1000 >= oldest
}

func (c *Client) heads(ctx context.Context, locations []*location) (map[string]head, error) {
	heads := make(map[string]head)
	for _, p := range locations {
		if _, done := heads[p.queue]; done || p.state != "pending" {
			continue
		}
		id, err := c.redis.plain.LIndex(ctx, key(p.queue, "pending"), -1).Result()
		if errors.Is(err, redis.Nil) {
			heads[p.queue] = head{empty: true}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("jobs: head of %s: %w", p.queue, asDenied(err))
		}
		since, err := c.redis.plain.HGet(ctx, taskKey(p.queue, id), "pending_since").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("jobs: head of %s: %w", p.queue, asDenied(err))
		}
		heads[p.queue] = head{since: since}
	}
	return heads, nil
}

// dropOrphan removes an id that is in a queue's active list without a task: nobody can ever work on it, ack it or
// delete it.
var dropOrphan = redis.NewScript(`
if redis.call("HEXISTS", KEYS[3], "msg") == 0 then
	redis.call("LREM", KEYS[1], 0, ARGV[1])
	redis.call("ZREM", KEYS[2], ARGV[1])
	redis.call("DEL", KEYS[3])
	return 1
end
return 0`)

// ExpiredLeases lists the deliveries whose worker is dead: the leases of their tasks ended a while ago. Ids without a
// task, which Asynq would keep as active for good, are taken out of its books on the way.
func (c *Client) ExpiredLeases(ctx context.Context) ([]string, error) {
	queues := c.lanes.names()
	pipe := c.redis.plain.Pipeline()
	answers := make([]*redis.StringSliceCmd, len(queues))
	until := strconv.FormatInt(c.now().Add(-leaseGrace).Unix(), 10)
	for i, q := range queues {
		answers[i] = pipe.ZRangeByScore(ctx, key(q, "lease"), &redis.ZRangeBy{Min: "-inf", Max: until, Count: maxExpired})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("jobs: leases: %w", asDenied(err))
	}
	var found []string
	for i, q := range queues {
		for _, id := range answers[i].Val() {
			if err := dropOrphan.Run(ctx, c.redis.plain, []string{key(q, "active"), key(q, "lease"), taskKey(q, id)},
				id).Err(); err != nil {
				return nil, fmt.Errorf("jobs: stranded %s: %w", id, asDenied(err))
			}
			if d := deliveryOf(id); d != "" {
				found = append(found, d)
			}
		}
	}
	return found, nil
}

// listEvery is how often the queues are put on Asynq's list again: a client of Asynq does that once, and dashboards see
// no queue that somebody deleted since.
const listEvery = 30 * time.Second

// RedisIncarnation names the Redis: a mark in the slot of every queue, made when there is none, and the id of the
// running server where there is one server. Emptying or restarting it makes another incarnation. With [ErrDenied] the
// name is made of what could be read.
func (c *Client) RedisIncarnation(ctx context.Context) (string, error) {
	queues := c.lanes.names()
	marks, problem, err := c.readMarks(ctx, queues)
	if err != nil {
		return "", fmt.Errorf("jobs: incarnation of Redis: %w", err)
	}
	var all strings.Builder
	for _, m := range marks {
		all.WriteString(m + " ")
	}
	if !c.redis.clustered {
		var s Settings
		if info, err := c.redis.plain.Info(ctx, "server").Result(); err == nil { // an embedded one tells nothing
			s.read(info)
		}
		all.WriteString(s.RunID)
	}
	if now := c.now().Unix(); now-c.listed.Load() >= int64(listEvery/time.Second) {
		if err := c.redis.plain.SAdd(ctx, "asynq:queues", anys(queues)...).Err(); err == nil {
			c.listed.Store(now)
		} else if problem == nil && denied(err) {
			problem = err
		}
	}
	if problem != nil {
		problem = fmt.Errorf("jobs: incarnation of Redis: %w", asDenied(problem))
	}
	return strings.TrimSpace(all.String()), problem
}

// readMarks reads the marks, and makes those that there are not. problem is the first right that is missing; the marks
// that it concerns are empty.
func (c *Client) readMarks(ctx context.Context, queues []string) (marks []string, problem, err error) {
	pipe := c.redis.plain.Pipeline()
	answers := make([]*redis.StringCmd, len(queues))
	for i, q := range queues {
		answers[i] = pipe.Get(ctx, incarnationKey(q))
	}
	_, _ = pipe.Exec(ctx) // each answer has its own error
	marks = make([]string, len(queues))
	for i, q := range queues {
		mark, err := answers[i].Result()
		if errors.Is(err, redis.Nil) {
			made := models.NewToken("ep")
			if err = c.redis.plain.SetNX(ctx, incarnationKey(q), made, 0).Err(); err == nil {
				mark, err = c.redis.plain.Get(ctx, incarnationKey(q)).Result()
			}
		}
		switch {
		case denied(err):
			problem = err
		case err != nil:
			return nil, nil, err
		}
		marks[i] = mark
	}
	return marks, problem, nil
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
