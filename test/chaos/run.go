package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// quietPatience is how long the end of a run waits while nothing changes: longer than the minute within which the
// deliveries of a dead worker are tried again.
const quietPatience = 100 * time.Second

// rebuildPromise is within which time Redis is filled again after FLUSHALL.
const rebuildPromise = 15 * time.Second

// Run does what a plan says, prints the report and returns the verdict.
func Run(t testkit.TB, p Plan, out io.Writer) Verdict {
	t.Helper()
	h := newHarness(t, p)
	t.Logf("seed %d: %d events, %d faults", p.Seed, p.Events, len(p.Steps))
	began := time.Now()
	i := &injector{h}
	for n, s := range p.Steps {
		i.Do(s)
		if t.Context().Err() != nil {
			return Verdict{Problems: []string{"the run was interrupted"}}
		}
		if n%10 == 9 {
			t.Logf("%d of %d faults, %d payments made, %d requests accepted", n+1, len(p.Steps), h.load.made.Load(),
				h.receiver.Accepted())
		}
	}
	var flush *rebuilt
	if p.Backlog > 0 {
		flush = i.measureFlush(p)
	}
	h.load.Order(p.Payments) // what is left of them
	h.quiet()
	h.StopAll()
	e := Evidence{Wanted: h.load.Wanted(), Requests: h.receiver.Requests(), Injections: h.injections, Left: h.Left()}
	var err error
	if e.Deliveries, err = h.Deliveries(); err == nil {
		e.Attempts, err = h.Attempts()
	}
	if err != nil {
		t.Fatal(err)
	}
	v := Judge(e)
	if len(e.Wanted) != 0 && h.load.Behind() > 0 {
		v.problem("%d payments were never made", h.load.Behind())
	}
	if flush != nil && (flush.Took == 0 || flush.Took > rebuildPromise) {
		v.problem("after FLUSHALL not everything was enqueued again within %s", rebuildPromise)
	}
	report(out, p, v, h.restarted, flush, time.Since(began))
	return v
}

// quiet waits until everything was made and delivered and nothing is left in Redis, or patience is over.
func (h *harness) quiet() {
	h.t.Helper()
	var last string
	logged, lastMove := time.Now(), time.Now()
	for ; time.Since(lastMove) < quietPatience && h.t.Context().Err() == nil; h.wait(500*time.Millisecond, nil) {
		waiting, err := h.Waiting()
		left := h.Left()
		if h.load.Behind() == 0 && err == nil && waiting == 0 && len(h.down) == 0 && len(left) == 0 {
			h.behaviours.Wait()
			return
		}
		if now := fmt.Sprint(h.load.Behind(), waiting, h.receiver.Accepted(), len(left)); now != last {
			last, lastMove = now, time.Now()
		}
		if time.Since(logged) > 10*time.Second {
			logged = time.Now()
			h.t.Logf("%d payments to be made, %d rows wait, %d requests accepted", h.load.Behind(), waiting,
				h.receiver.Accepted())
		}
	}
}

// rebuilt is how Redis was filled again after FLUSHALL.
type rebuilt struct {
	Pending int           // how many deliveries had a task
	Took    time.Duration // until each of them had one again, or was delivered
}

// measureFlush lets a backlog form in Redis, empties it, and takes the time until every delivery that waits has a task
// again.
func (i *injector) measureFlush(p Plan) *rebuilt {
	i.up("worker")
	i.up("worker-2")
	i.wait(time.Minute, i.calm())
	i.receiver.Behave(busy, i.endpoints...)
	i.load.Order(p.Backlog)
	for deadline := time.Now().Add(3 * time.Minute); i.load.Behind() > 0 && time.Now().Before(deadline); {
		i.wait(tick, nil)
	}
	i.wait(time.Second, nil) // the producer is done
	r := &rebuilt{Pending: len(i.Tasks())}
	i.note(FlushRedis)
	i.Redis.Flush(i.t)
	began := time.Now()
	for r.Took == 0 && time.Since(began) < 2*time.Minute {
		i.wait(tick, nil)
		if i.haveTasks() {
			r.Took = time.Since(began)
		}
	}
	i.t.Logf("FLUSHALL with %d tasks: all there again after %s", r.Pending, r.Took)
	i.receiver.Behave(healthy, i.endpoints...)
	return r
}

// calm is closed when the behaviours of the receiver are over.
func (h *harness) calm() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		h.behaviours.Wait()
		close(over)
	}()
	return over
}

// haveTasks reports whether every delivery that is due has the task of its generation. The rows are read first: a task
// that ended in between only makes it look again. Members of a batch have none, and neither has what waits in Postgres.
func (h *harness) haveTasks() bool {
	rows, err := h.DB.QueryContext(h.t.Context(), `SELECT d.id || ':' || d.generation FROM deliveries d WHERE d.state = 'pending' AND NOT d.parked
		AND d.next_attempt_at <= now() AND (d.event_id IS NULL OR d.batch_id IS NULL)`)
	if err != nil {
		return false
	}
	defer rows.Close()
	var due []string
	for rows.Next() {
		var id string
		if rows.Scan(&id) != nil {
			return false
		}
		due = append(due, id)
	}
	if rows.Err() != nil {
		return false
	}
	tasks := h.Tasks()
	for _, id := range due {
		if !tasks[id] {
			return false
		}
	}
	return true
}
