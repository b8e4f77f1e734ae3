package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// quietPatience is how long everything may take to be delivered after the last fault.
const quietPatience = 5 * time.Minute

// Run does what a plan says, prints the report and returns the verdict.
func Run(t testkit.TB, p Plan, out io.Writer) Verdict {
	t.Helper()
	began := time.Now()
	w := newWorld(t, p)
	t.Logf("seed %d: %d events, %d strikes", p.Seed, p.Events, len(p.Steps))
	began = time.Now()
	i := &injector{w}
	for n, s := range p.Steps {
		i.Do(s)
		if t.Context().Err() != nil {
			return Verdict{Problems: []string{"the run was interrupted"}}
		}
		if n%10 == 9 {
			t.Logf("%d of %d strikes, %d payments made, %d requests accepted", n+1, len(p.Steps), w.load.made.Load(), w.receiver.Accepted())
		}
	}
	var flush *rebuilt
	if p.Backlog > 0 {
		flush = i.measureFlush(p)
	}
	w.load.Order(p.Payments) // what is left of them
	w.quiet()
	w.StopAll()
	e := Evidence{Wanted: w.load.Wanted(), Requests: w.receiver.Requests(), Strikes: w.strikes, Left: w.Left()}
	var err error
	if e.Deliveries, err = w.Deliveries(); err == nil {
		e.Attempts, err = w.Attempts()
	}
	if err != nil {
		t.Fatal(err)
	}
	v := Judge(e)
	if len(e.Wanted) != 0 && w.load.Behind() > 0 {
		v.problem("%d payments were never made", w.load.Behind())
	}
	report(out, p, v, w.revived, flush, time.Since(began))
	return v
}

// quiet waits until everything was made and delivered and nothing is left in Redis, or patience is over.
func (w *world) quiet() {
	w.t.Helper()
	said := time.Now()
	for deadline := time.Now().Add(quietPatience); time.Now().Before(deadline) && w.t.Context().Err() == nil; w.wait(500*time.Millisecond, nil) {
		waiting, err := w.Waiting()
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			w.t.Logf("%d payments to be made, %d rows wait, %d requests accepted", w.load.Behind(), waiting, w.receiver.Accepted())
		}
		if w.load.Behind() == 0 && err == nil && waiting == 0 && len(w.down) == 0 && len(w.Left()) == 0 {
			w.moods.Wait()
			return
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
	i.receiver.Feel(busy, i.endpoints...)
	i.load.Order(p.Backlog)
	for deadline := time.Now().Add(3 * time.Minute); i.load.Behind() > 0 && time.Now().Before(deadline); {
		i.wait(tick, nil)
	}
	i.wait(time.Second, nil) // the producer is done
	r := &rebuilt{Pending: len(i.Tasks())}
	i.strikes = append(i.strikes, Strike{Fault: FlushRedis, At: time.Now()})
	i.Redis.Flush(i.t)
	began := time.Now()
	for r.Took == 0 && time.Since(began) < 2*time.Minute {
		i.wait(tick, nil)
		if i.haveTasks() {
			r.Took = time.Since(began)
		}
	}
	i.t.Logf("FLUSHALL with %d tasks: all there again after %s", r.Pending, r.Took)
	i.receiver.Feel(well, i.endpoints...)
	return r
}

// calm is closed when the moods of the receiver are over.
func (w *world) calm() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		w.moods.Wait()
		close(over)
	}()
	return over
}

// haveTasks reports whether every delivery that is due has the task of its generation. The rows are read first: a task that
// ended in between only makes it look again. Members of a batch have none, and neither has what waits in Postgres.
func (w *world) haveTasks() bool {
	rows, err := w.DB.QueryContext(w.t.Context(), `SELECT d.id || ':' || d.generation FROM deliveries d WHERE d.state = 'pending' AND NOT d.parked
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
	tasks := w.Tasks()
	for _, id := range due {
		if !tasks[id] {
			return false
		}
	}
	return true
}

// report prints the table of a run.
func report(out io.Writer, p Plan, v Verdict, revived int, flush *rebuilt, took time.Duration) {
	fmt.Fprintf(out, "\nseed %d, %d events, %s\n\n", p.Seed, p.Events, took.Round(time.Second))
	fmt.Fprintf(out, "| fault | times | lost | duplicates | allowed | held at the crashes | recovery p50 | recovery max |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range v.byName() {
		r := v.ByFault[f]
		name := string(f)
		if name == "" {
			name = "(none)"
		}
		held := ""
		if f.kills() {
			held = fmt.Sprint(r.Held)
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %s | %s | %s |\n", name, r.Times, r.Lost, r.Duplicates, r.Allowed, held,
			seconds(quantile(r.Recovery, 0.5)), seconds(quantile(r.Recovery, 1)))
	}
	fmt.Fprintln(out)
	if flush != nil {
		fmt.Fprintf(out, "FLUSHALL with %d tasks: all re-enqueued after %s\n", flush.Pending, seconds(flush.Took))
	}
	if revived > 0 {
		fmt.Fprintf(out, "processes that ended by themselves and were started again: %d\n", revived)
	}
	for _, problem := range v.Problems {
		fmt.Fprintf(out, "FAULT: %s\n", problem)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
