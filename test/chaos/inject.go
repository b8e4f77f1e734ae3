package main

import (
	"os"
	"path/filepath"
	"time"
)

// breakpointPatience is how long a breakpoint may wait for its moment, once its load was ordered.
const breakpointPatience = 5 * time.Second

// beginPatience is how long a process may need to answer for its readiness after its start, on a busy machine.
const beginPatience = 30 * time.Second

// injector injects the faults of a plan.
type injector struct{ *harness }

// Do does one step. It returns when the trouble is over, except the receiver's, which goes on into later steps.
func (i *injector) Do(s Step) {
	if s.Fault.kills() {
		i.killAt(s)
	} else {
		i.load.Order(s.Payments)
		i.wait(s.After, nil)
		i.note(s.Fault)
		i.t.Logf("%s %s %s", time.Now().Format(time.TimeOnly), s.Fault, s.Variant)
		inject[s.Fault](i, s)
	}
	i.wait(s.Gap, nil)
}

// note remembers that a fault is about to be injected.
func (i *injector) note(f Fault) {
	s := Injection{Fault: f, At: time.Now()}
	if f.forgets() {
		s.Forgotten = i.inWork()
	}
	i.injections = append(i.injections, s)
}

var inject = map[Fault]func(*injector, Step){
	TermWorker: func(i *injector, s Step) {
		i.begun(s.Victim)
		i.Stop(s.Victim)
		i.tasks[s.Victim].Close()
		i.down[s.Victim] = time.Now().Add(s.Back)
	},
	KillAPI: func(i *injector, s Step) {
		i.up("api")
		i.restartLater("api", s.Back)
	},
	FlushRedis: func(i *injector, _ Step) { i.Redis.Flush(i.t) },
	EmptyRedis: func(i *injector, s Step) {
		dir, ok := i.Redis.Do(i.t, "CONFIG", "GET", "dir").([]any)
		if !ok || len(dir) != 2 {
			i.t.Fatal("Redis does not tell its directory")
		}
		i.Redis.Kill(i.t)
		if err := os.RemoveAll(filepath.Join(dir[1].(string), "appendonlydir")); err != nil {
			i.t.Fatal(err)
		}
		i.wait(s.Lasts, nil)
		i.Redis.Start(i.t)
	},
	KillRedis: func(i *injector, s Step) {
		i.Redis.Kill(i.t)
		i.wait(s.Lasts, nil)
		i.Redis.Start(i.t)
	},
	StallRedis: func(i *injector, s Step) {
		i.Redis.Pause(i.t)
		i.wait(s.Lasts, nil)
		i.Redis.Resume(i.t)
	},
	FillRedis: func(i *injector, s Step) {
		i.Redis.Do(i.t, "CONFIG", "SET", "maxmemory", "1") // whatever would need more is refused from now on
		i.wait(s.Lasts, nil)
		i.Redis.Do(i.t, "CONFIG", "SET", "maxmemory", "0")
	},
	CutRedis: func(i *injector, s Step) { i.cut(i.redis, s) },
	KillPostgres: func(i *injector, s Step) {
		i.must(i.Postgres.Kill())
		i.wait(s.Lasts, nil)
		i.must(i.Postgres.Start())
	},
	RestartPostgres: func(i *injector, s Step) {
		i.must(i.Postgres.Stop())
		i.wait(s.Lasts, nil)
		i.must(i.Postgres.Start())
	},
	LosePostgres: func(i *injector, s Step) {
		switch s.Variant {
		case "stopped":
			i.must(i.Postgres.Stop())
			i.wait(s.Lasts, nil)
			i.must(i.Postgres.Start())
		case "unreachable":
			everywhere(i.postgres, (*proxy).Refuse)
			i.wait(s.Lasts, nil)
			everywhere(i.postgres, (*proxy).Accept)
		default:
			everywhere(i.postgres, (*proxy).Silence)
			i.wait(s.Lasts, nil)
			everywhere(i.postgres, (*proxy).Speak)
		}
	},
	CutPostgres: func(i *injector, s Step) { i.cut(i.postgres, s) },
	FreezePostgres: func(i *injector, s Step) {
		i.Postgres.SetReadOnly(i.t, true)
		i.wait(s.Lasts, nil)
		i.Postgres.SetReadOnly(i.t, false)
	},
	EndBackends: func(i *injector, s Step) {
		for range 6 {
			i.must(i.Postgres.Exec("postgres", `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`))
			i.wait(s.Lasts/6, nil)
		}
	},
	FlapReceiver: func(i *injector, s Step) { i.disturb(flapping, s) },
	HangReceiver: func(i *injector, s Step) { i.disturb(hanging, s) },
	SlowReceiver: func(i *injector, s Step) { i.disturb(slow, s) },
}

func (i *injector) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// up waits until a process runs, if it is about to be started again.
func (i *injector) up(name string) {
	for {
		if _, down := i.down[name]; !down || i.t.Context().Err() != nil {
			return
		}
		i.wait(tick, nil)
	}
}

// begun waits until a process that may have been down answers: SIGTERM ends it in order from then on.
func (i *injector) begun(name string) {
	i.up(name)
	for deadline := time.Now().Add(beginPatience); !i.Answers(name) && time.Now().Before(deadline); {
		i.wait(tick, nil)
	}
}

// cut ends every connection of all processes a few times while the step lasts.
func (i *injector) cut(proxies map[string]*proxy, s Step) {
	for range 3 {
		everywhere(proxies, (*proxy).Cut)
		i.wait(s.Lasts/6, nil)
	}
}

// disturb changes the behaviour of some endpoints for a while.
func (i *injector) disturb(b behaviour, s Step) {
	names := i.some(s.Nth)
	i.receiver.Behave(b, names...)
	i.behaviours.Go(func() {
		select {
		case <-time.After(s.Lasts):
		case <-i.t.Context().Done():
		}
		i.receiver.Behave(healthy, names...)
	})
}

// killAt kills a worker at the n-th of the moments that the step names. When the moment does not come because too
// little is under way, more is ordered than was planned, and the next moment will do.
func (i *injector) killAt(s Step) {
	moment, victim := s.Variant, s.Victim
	i.up(victim)
	if moment == beforeAnswer || moment == afterAccepted {
		victim = "" // whoever sent it
	}
	var killed string
	hit := i.points.Set(moment, victim, s.Nth, func(whose string) {
		killed = whose
		i.signalKill(whose)
	})
	i.load.Order(s.Payments)
	if !i.wait(breakpointPatience, hit) {
		i.points.Clear()
		i.t.Logf("%s: %d of %q did not come within %s; the next one will do", s.Fault, s.Nth, moment, breakpointPatience)
		hit = i.points.Set(moment, victim, 1, func(whose string) {
			killed = whose
			i.signalKill(whose)
		})
		i.load.Order(makers)
		if !i.wait(12*breakpointPatience, hit) {
			i.points.Clear()
			i.t.Errorf("%s: %q never came", s.Fault, moment)
			return
		}
	}
	<-i.Process(killed).Done()
	work := i.restartLater(killed, s.Back)
	i.injections = append(i.injections, Injection{Fault: s.Fault, At: time.Now(), Crashed: work})
	i.t.Logf("%s %s %s, %s with %d in work", time.Now().Format(time.TimeOnly), s.Fault, s.Variant, killed,
		len(work.Active))
}
