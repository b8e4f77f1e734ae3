package jobs_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// BenchmarkWorker compares a whole delivery (load, sign, POST, judge, commit, ack) with Asynq delivering the same POST
// without a record. Both share the receiver, whose allocations are in both figures; the target is that durable
// allocates at most 120 times more than raw.
func BenchmarkWorker(b *testing.B) {
	b.Run("raw", benchRaw)
	b.Run("durable", benchDurable)
}

// receiverFor answers 204 and closes done at the n-th request.
func receiverFor(b *testing.B, n int) (url string, done chan struct{}) {
	done = make(chan struct{})
	var got atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
		if got.Add(1) == int64(n) {
			close(done)
		}
	}))
	b.Cleanup(srv.Close)
	return srv.URL, done
}

func measure(b *testing.B, work func()) {
	var before, after runtime.MemStats
	var from, to syscall.Rusage
	runtime.ReadMemStats(&before)
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &from))
	b.ResetTimer()
	work()
	b.StopTimer()
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &to))
	runtime.ReadMemStats(&after)
	cpu := time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/delivery")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(b.N), "mallocs/delivery")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

const benchConcurrency = 64

func benchRaw(b *testing.B) {
	server := testkit.Redis(b, testkit.RedisOptions{AppendOnly: true})
	url, done := receiverFor(b, b.N)
	opt := asynq.RedisClientOpt{Addr: server.Addr, PoolSize: 128}
	client := asynq.NewClient(opt)
	defer client.Close()
	for i := range b.N {
		payload := []byte(`{"delivery_id":"dlv_` + strconv.Itoa(i) +
			`","generation":1,"event_type":"payment.created","merchant_id":"mer_x","endpoint_id":"we_x"}`)
		_, err := client.Enqueue(asynq.NewTask("raw", payload), asynq.Queue("raw"))
		check(b, err)
	}
	secret, err := webhook.NewSecret(nil)
	check(b, err)
	body := bytes.Repeat([]byte("x"), 600)
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	h := func(ctx context.Context, _ *asynq.Task) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		webhook.Secrets{Current: secret}.SetHeaders(req.Header, "evt_x", time.Now(), 1, body)
		res, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res.Body.Close()
	}
	srv := asynq.NewServer(opt, asynq.Config{Concurrency: benchConcurrency, Queues: map[string]int{"raw": 1},
		TaskCheckInterval: 10 * time.Millisecond, LogLevel: asynq.FatalLevel})
	measure(b, func() {
		check(b, srv.Start(asynq.HandlerFunc(h)))
		<-done
	})
	srv.Shutdown()
}

func benchDurable(b *testing.B) {
	server := testkit.Redis(b, testkit.RedisOptions{AppendOnly: true})
	s := storetest.Postgres(b)
	w := deliverytest.New(b, s)
	url, done := receiverFor(b, b.N)
	redis, err := jobs.Connect(config.Redis{Mode: config.RedisSingle, Addrs: []string{server.Addr}}, 128)
	check(b, err)
	defer redis.Close()
	client, err := jobs.NewClient(jobs.ClientOptions{Redis: redis, Lanes: 1, Now: time.Now})
	check(b, err)
	m := w.Merchant()
	w.Endpoint(m, url)
	for left := b.N; left > 0; left -= 500 {
		for _, d := range w.Publish(m, min(left, 500)) {
			check(b, client.Enqueue(b.Context(), d, time.Now()))
		}
	}
	sender := w.Sender(func(o *delivery.SenderOptions) { o.MaxInFlight, o.HostInFlight = 1024, 1024 })
	srv, err := jobs.NewServer(jobs.ServerOptions{Redis: redis, Client: client, Sender: sender, Concurrency: 256 * 4 / 3,
		Logger: w.Logger})
	check(b, err)
	var stop func()
	measure(b, func() {
		stop = deliverytest.Run(b, srv.Run)
		<-done
	})
	stop()
}
