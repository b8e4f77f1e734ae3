package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// The scripts of Asynq v0.26 that are answered here, by their SHA-1. Those of another version are not known and pass.
const (
	asynqDequeue = "a8153319360adc71cdc370107f8ab9786f204765"
	asynqDone    = "1241eaa1c73409baaf1fea0c08d203a4911bda15"
)

const (
	// takeMost and ackMost are the most tasks of one script.
	takeMost = 16
	ackMost  = 64
	// maxBuffered is how long a task that was taken may wait for its place. The lease that it has in Redis is of 30 s,
	// and Asynq counts the 30 s from when it gets the task.
	maxBuffered = 5 * time.Second
)

// slots are those of one lane's Asynq server.
type slots struct {
	total int
	busy  atomic.Int64 // in the handler
}

func (s *slots) free() int { return max(s.total-int(s.busy.Load()), 1) }

// enter counts a task that is in the handler until it is left.
func (s *slots) enter() (leave func()) {
	s.busy.Add(1)
	return func() { s.busy.Add(-1) }
}

// takeScript does for several tasks what Asynq's dequeue does for one: KEYS and the first two ARGV are the same, the
// third is how many. An id that has no message is dropped at once. It answers with id, message and pending_since of
// each.
var takeScript = newLua(`
local taken = {}
if redis.call("EXISTS", KEYS[2]) == 1 then
	return taken
end
while #taken < 3 * tonumber(ARGV[3]) do
	local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[3])
	if not id then
		break
	end
	local key = ARGV[2] .. id
	local msg = redis.call("HGET", key, "msg")
	if msg then
		taken[#taken + 1] = id
		taken[#taken + 1] = msg
		taken[#taken + 1] = redis.call("HGET", key, "pending_since") or ""
		redis.call("HSET", key, "state", "active")
		redis.call("HDEL", key, "pending_since")
		redis.call("ZADD", KEYS[4], ARGV[1], id)
	else
		redis.call("LREM", KEYS[3], 1, id)
	end
end
return taken`)

// handBackScript puts tasks that were taken and not begun where they were, newest first: KEYS are active, lease,
// pending, and those of the tasks; ARGV are the lease that they were taken with, and for each its id and since when it
// had been pending. A task whose lease is another one is somebody else's.
var handBackScript = newLua(`
for i = 4, #KEYS do
	local key, id, since = KEYS[i], ARGV[2 * i - 6], ARGV[2 * i - 5]
	if redis.call("ZSCORE", KEYS[2], id) == ARGV[1] and redis.call("LREM", KEYS[1], 1, id) == 1 then
		redis.call("ZREM", KEYS[2], id)
		redis.call("HSET", key, "state", "pending")
		if since ~= "" then
			redis.call("HSET", key, "pending_since", since)
		end
		redis.call("RPUSH", KEYS[3], id)
	end
end
return redis.status_reply("OK")`)

// doneScript does for several tasks what Asynq's done does for one: KEYS are active, lease, the counters of the day and
// of all time, and those of the tasks; ARGV are when the counter of the day ends, the largest count, and the ids. It
// answers for each whether it was there.
var doneScript = redis.NewScript(`
local found = {}
for i = 3, #ARGV do
	local id = ARGV[i]
	if redis.call("LREM", KEYS[1], 0, id) == 0 or redis.call("ZREM", KEYS[2], id) == 0
			or redis.call("DEL", KEYS[i + 2]) == 0 then
		found[#found + 1] = 0
	else
		found[#found + 1] = 1
		if redis.call("INCR", KEYS[3]) == 1 then
			redis.call("EXPIREAT", KEYS[3], ARGV[1])
		end
		if tonumber(redis.call("GET", KEYS[4])) == tonumber(ARGV[2]) then
			redis.call("SET", KEYS[4], 1)
		else
			redis.call("INCR", KEYS[4])
		end
	end
end
return found`)

// onceCmd is a command that go-redis does not send again when its answer was lost: what was taken is not known then,
// and as much would be taken again.
type onceCmd struct{ *redis.Cmd }

// NoRetry is asked by go-redis.
func (onceCmd) NoRetry() bool { return true }

// lua is a script that is sent once.
type lua struct{ text, hash string }

func newLua(text string) lua { return lua{text, redis.NewScript(text).Hash()} }

// once runs the script, and once more only when the server did not know it.
func (s lua) once(ctx context.Context, c redis.UniversalClient, keys []string, args ...any) *redis.Cmd {
	send := func(name, script string) *redis.Cmd {
		command := append(make([]any, 0, 3+len(keys)+len(args)), name, script, len(keys))
		for _, k := range keys {
			command = append(command, k)
		}
		cmd := onceCmd{redis.NewCmd(ctx, append(command, args...)...)}
		_ = c.Process(ctx, cmd) // the command has it
		return cmd.Cmd
	}
	cmd := send("evalsha", s.hash)
	if redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		return send("eval", s.text)
	}
	return cmd
}

// takenTask is a task that was taken.
type takenTask struct {
	id, msg string
	since   string // when it became pending, Unix nanoseconds; "" when that was not known
}

// prefetched is what one script took and Asynq has not asked for yet.
type prefetched struct {
	keys  []string // of the dequeue
	lease any      // its ARGV[1]
	at    time.Time
	tasks []takenTask
}

// prefetcher gives Asynq, which asks for one task after the other, what it took several of.
type prefetcher struct {
	redis redis.UniversalClient
	slots *slots

	closed atomic.Bool // nothing is taken any more

	mu     sync.Mutex
	buffer prefetched
	expiry *time.Timer // hands back what waited for too long
}

// dequeue answers Asynq's.
func (p *prefetcher) dequeue(ctx context.Context, keys []string, args []any) *redis.Cmd {
	answer := redis.NewCmd(ctx)
	if p.closed.Load() {
		answer.SetErr(redis.Nil)
		return answer
	}
	p.mu.Lock()
	defer p.mu.Unlock()                        // only a hand-back contends: a server asks for one task at a time
	if time.Since(p.buffer.at) > maxBuffered { // the process stood still
		_ = p.handBackLocked(ctx) // or their leases end
	}
	if len(p.buffer.tasks) == 0 {
		if err := p.take(ctx, keys, args); err != nil {
			answer.SetErr(err)
			return answer
		}
	}
	answer.SetVal(p.buffer.tasks[0].msg)
	p.buffer.tasks = p.buffer.tasks[1:]
	return answer
}

// take fills the buffer, with one task at least, or says redis.Nil.
func (p *prefetcher) take(ctx context.Context, keys []string, args []any) error {
	n := min(p.slots.free(), takeMost)
	at := time.Now()
	got, err := takeScript.once(ctx, p.redis, keys, args[0], args[1], n).StringSlice()
	switch {
	case err != nil:
		return err
	case len(got) == 0:
		return redis.Nil
	case len(got)%3 != 0:
		return errors.New("jobs: Redis answered with a part of a task")
	}
	p.buffer = prefetched{keys: keys, lease: args[0], at: at}
	for t := range slices.Chunk(got, 3) {
		p.buffer.tasks = append(p.buffer.tasks, takenTask{id: t[0], msg: t[1], since: t[2]})
	}
	if len(p.buffer.tasks) > 1 {
		p.watch()
	}
	return nil
}

// watch hands back what waits for longer than it may.
func (p *prefetcher) watch() {
	if p.expiry != nil {
		p.expiry.Reset(maxBuffered)
		return
	}
	p.expiry = time.AfterFunc(maxBuffered, func() { _ = p.handBack(context.Background()) }) // or their leases end
}

// handBack puts what waits back to where it was taken. When Redis does not hear it, the leases end.
func (p *prefetcher) handBack(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.handBackLocked(ctx)
}

func (p *prefetcher) handBackLocked(ctx context.Context) error {
	w := p.buffer
	p.buffer = prefetched{}
	if len(w.tasks) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callerTimeout)
	defer cancel()
	pending, active, lease := w.keys[0], w.keys[2], w.keys[3]
	keys, args := []string{active, lease, pending}, []any{w.lease}
	prefix := pending[:len(pending)-len("pending")] + "t:"
	for _, t := range slices.Backward(w.tasks) {
		keys, args = append(keys, prefix+t.id), append(args, t.id, t.since)
	}
	return handBackScript.once(ctx, p.redis, keys, args...).Err()
}

// close ends the taking and hands back what waits.
func (p *prefetcher) close(ctx context.Context) error {
	p.closed.Store(true)
	p.mu.Lock()
	if p.expiry != nil {
		p.expiry.Stop()
	}
	p.mu.Unlock()
	return p.handBack(ctx)
}

// errNotFound is what Asynq's done says of a task that is not there.
var errNotFound = errors.New("NOT FOUND")

// ack is one of Asynq's dones, until its answer is there.
type ack struct {
	keys     []string
	args     []any
	err      error
	answered chan struct{}
}

// ackBatcher says of several tasks at once that they are done: of all that came while the last ones were told.
type ackBatcher struct {
	redis redis.UniversalClient

	mu       sync.Mutex
	waiting  []*ack
	flushing bool
}

// done answers Asynq's.
func (a *ackBatcher) done(ctx context.Context, keys []string, args []any) *redis.Cmd {
	one := &ack{keys: keys, args: args, answered: make(chan struct{})}
	a.mu.Lock()
	a.waiting = append(a.waiting, one)
	first := !a.flushing
	a.flushing = true
	a.mu.Unlock()
	if first && a.flush(ctx) {
		go func() {
			for a.flush(ctx) {
			}
		}()
	}
	<-one.answered
	answer := redis.NewCmd(ctx)
	if one.err != nil {
		answer.SetErr(one.err)
	} else {
		answer.SetVal("OK")
	}
	return answer
}

// flush tells of what waits, as far as it counts for the same day, and reports whether more waits.
func (a *ackBatcher) flush(ctx context.Context) (more bool) {
	a.mu.Lock()
	n := 1
	for n < min(len(a.waiting), ackMost) && a.waiting[n].keys[3] == a.waiting[0].keys[3] {
		n++
	}
	now := slices.Clone(a.waiting[:n])
	a.waiting = append(a.waiting[:0], a.waiting[n:]...)
	a.mu.Unlock()
	a.send(ctx, now)
	for _, one := range now {
		close(one.answered)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.flushing = len(a.waiting) > 0
	return a.flushing
}

// send runs the script for some, and gives each its own error.
func (a *ackBatcher) send(ctx context.Context, some []*ack) {
	first := some[0]
	keys := []string{first.keys[0], first.keys[1], first.keys[3], first.keys[4]}
	args := []any{first.args[1], first.args[2]}
	for _, one := range some {
		keys, args = append(keys, one.keys[2]), append(args, one.args[0])
	}
	found, err := doneScript.Run(ctx, a.redis, keys, args...).Int64Slice()
	if err == nil && len(found) != len(some) {
		err = errors.New("jobs: Redis did not answer for every task")
	}
	for i, one := range some {
		switch {
		case err != nil:
			one.err = err
		case found[i] == 0:
			one.err = errNotFound
		}
	}
}
