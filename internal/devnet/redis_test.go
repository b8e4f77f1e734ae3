package devnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/ctrip-gateway/ctrip/internal/devnet"
)

func startRedis(t *testing.T) *devnet.Redis {
	t.Helper()
	known := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, append(outlivingClose(), known)...) })
	server, err := devnet.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return server
}

// eventually polls what has no signal to wait on.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestRedisExpiresByTheClock(t *testing.T) {
	server := startRedis(t)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	ctx := within(t, 30*time.Second)
	began := time.Now()
	client.Set(ctx, "short", "x", 150*time.Millisecond)
	client.Set(ctx, "long", "x", time.Hour)
	client.Set(ctx, "at", "x", 0)
	client.PExpireAt(ctx, "at", began.Add(150*time.Millisecond))
	client.HSet(ctx, "ever", "a", "b")
	if n := client.Exists(ctx, "short", "long", "at").Val(); n != 3 && time.Since(began) < 100*time.Millisecond {
		t.Fatalf("%d of 3 keys exist", n)
	}
	eventually(t, "keys expire", func() bool { return client.Exists(ctx, "short", "at").Val() == 0 })
	if took := time.Since(began); took < 140*time.Millisecond {
		t.Errorf("expired after %s, want 150ms", took)
	}
	if ttl := client.TTL(ctx, "long").Val(); ttl > time.Hour || ttl < 59*time.Minute {
		t.Errorf("long expires in %s", ttl)
	}
	if n := client.Exists(ctx, "ever").Val(); n != 1 {
		t.Error("a key without expiry is gone")
	}
	// A lock is free again by itself.
	lock := func() bool { return client.SetNX(ctx, "lock", "me", 100*time.Millisecond).Val() }
	if !lock() || lock() {
		t.Fatal("the lock does not lock")
	}
	eventually(t, "lock expires", lock)
	if now := client.Time(ctx).Val(); time.Since(now).Abs() > 2*time.Second {
		t.Errorf("TIME is %s", now)
	}
}

func TestRedisAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if server, err := devnet.StartRedis(taken.Addr().String()); err == nil {
		server.Close()
		t.Error("started on a port in use")
	}
}

func TestRedisCarriesAsynq(t *testing.T) {
	server := startRedis(t)
	connection := asynq.RedisClientOpt{Addr: server.Addr()}
	client, inspector := asynq.NewClient(connection), asynq.NewInspector(connection)
	defer client.Close()
	defer inspector.Close()

	handled := make(chan string, 16)
	var failures atomic.Int32
	worker := asynq.NewServer(connection, asynq.Config{
		Concurrency: 4, Queues: map[string]int{"hooks": 1},
		TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 20 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 50 * time.Millisecond },
		LogLevel:       asynq.FatalLevel,
	})
	err := worker.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
		switch string(task.Payload()) {
		case "once more":
			if failures.Add(1) <= 2 {
				return errors.New("try again")
			}
		case "never":
			return asynq.SkipRetry
		}
		handled <- string(task.Payload())
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer worker.Shutdown()

	enqueue := func(payload string, options ...asynq.Option) error {
		_, err := client.Enqueue(asynq.NewTask("t", []byte(payload)), append(options, asynq.Queue("hooks"))...)
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	receive := func(want string) {
		t.Helper()
		select {
		case got := <-handled:
			if got != want {
				t.Errorf("handled %q, want %q", got, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%q was not handled", want)
		}
	}

	must(enqueue("plain"))
	receive("plain")

	began := time.Now()
	must(enqueue("later", asynq.ProcessIn(1500*time.Millisecond)))
	receive("later")
	if took := time.Since(began); took < 450*time.Millisecond { // asynq cuts times to whole seconds
		t.Errorf("a task for later ran after %s", took)
	}

	must(enqueue("once more", asynq.MaxRetry(5)))
	receive("once more")
	if failures.Load() != 3 {
		t.Errorf("ran %d times, want 3", failures.Load())
	}

	must(enqueue("taken", asynq.TaskID("d1"), asynq.ProcessIn(time.Hour)))
	if err := enqueue("taken", asynq.TaskID("d1")); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("second enqueue with one id: %v", err)
	}
	must(inspector.RunTask("hooks", "d1"))
	receive("taken")

	must(enqueue("kept", asynq.TaskID("d2"), asynq.Retention(time.Hour)))
	receive("kept")
	eventually(t, "the task is kept as completed", func() bool {
		info, err := inspector.GetTaskInfo("hooks", "d2")
		return err == nil && info.State == asynq.TaskStateCompleted
	})

	unique := func() error { // in a queue that no worker serves
		_, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue("idle"), asynq.Unique(time.Second))
		return err
	}
	must(unique())
	if err := unique(); !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("second unique task: %v", err)
	}
	eventually(t, "the uniqueness lock runs out", func() bool { return unique() == nil })

	must(enqueue("never", asynq.TaskID("d3")))
	eventually(t, "the task is archived", func() bool {
		info, err := inspector.GetTaskInfo("hooks", "d3")
		return err == nil && info.State == asynq.TaskStateArchived
	})
	servers, err := inspector.Servers()
	must(err)
	if len(servers) != 1 {
		t.Errorf("%d servers announce themselves", len(servers))
	}

	t.Run("asynqmon", func(t *testing.T) {
		monitor := asynqmon.New(asynqmon.Options{RootPath: "/queues", RedisConnOpt: connection})
		defer monitor.Close()
		for path, want := range map[string]string{
			"/queues/api/queues":                      `"archived":1`,
			"/queues/api/queues/hooks":                `"queue":"hooks"`,
			"/queues/api/queues/hooks/archived_tasks": `"id":"d3"`,
			"/queues/api/queues/hooks/tasks/d3":       `"state":"archived"`,
			"/queues/api/servers":                     `"hooks":1`,
			"/queues/api/queue_stats":                 `"hooks"`,
			"/queues/api/redis_info":                  `"address"`,
		} {
			answer := httptest.NewRecorder()
			monitor.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
			if answer.Code != 200 || !json.Valid(answer.Body.Bytes()) || !strings.Contains(answer.Body.String(), want) {
				t.Errorf("%s: %d %.300s", path, answer.Code, answer.Body)
			}
		}
	})
}
