package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	rawQueue = "raw"
	rawType  = "send_webhook"
	rawPool  = 128 // connections to Redis, as many as the gateway's default
)

// rawTask is a payload of the size of ours.
type rawTask struct {
	DeliveryID string `json:"delivery_id"`
	Generation int    `json:"generation"`
	EventType  string `json:"event_type"`
	MerchantID string `json:"merchant_id"`
	EndpointID string `json:"endpoint_id"`
	EventID    string `json:"event_id"`
}

// poster signs and POSTs, as a plain program would: one client that keeps its connections.
type poster struct {
	url    string
	body   []byte
	secret webhook.Secrets
	client *http.Transport
}

func newPoster(url string, size, connections int) (*poster, error) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		return nil, err
	}
	return &poster{url, bytes.Repeat([]byte("x"), size), webhook.Secrets{Current: secret},
		&http.Transport{MaxIdleConnsPerHost: connections}}, nil
}

func (p *poster) post(ctx context.Context, id string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", webhook.ContentType)
	req.Header.Set("User-Agent", webhook.UserAgent)
	p.secret.SetHeaders(req.Header, id, time.Now(), 1, p.body)
	res, err := p.client.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// runRaw is the process of the raw Asynq baseline. It starts its servers at the first line of its input and ends with
// it.
func runRaw(args []string) error {
	f := flag.NewFlagSet("_raw", flag.ExitOnError)
	redis := f.String("redis", "", "host:port")
	url := f.String("url", "", "where to POST")
	servers := f.Int("servers", 1, "Asynq servers")
	concurrency := f.Int("concurrency", 64, "tasks in flight over all servers")
	poll := f.Duration("poll", 10*time.Millisecond, "TaskCheckInterval")
	size := f.Int("body", 1000, "bytes of a body")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, err := newPoster(*url, *size, *concurrency)
	if err != nil {
		return err
	}
	handler := asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		var what rawTask
		if err := json.Unmarshal(task.Payload(), &what); err != nil {
			return err
		}
		return p.post(ctx, what.EventID)
	})
	var all []*asynq.Server
	for range *servers {
		all = append(all, asynq.NewServer(asynq.RedisClientOpt{Addr: *redis, PoolSize: rawPool}, asynq.Config{
			Concurrency: *concurrency / *servers, Queues: map[string]int{rawQueue: 1}, TaskCheckInterval: *poll,
			LogLevel: asynq.FatalLevel,
		}))
	}
	in := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	for _, s := range all {
		if err := s.Start(handler); err != nil {
			return err
		}
	}
	fmt.Println("running")
	_, _ = io.Copy(io.Discard, in)
	for _, s := range all {
		s.Stop()
	}
	for _, s := range all {
		s.Shutdown()
	}
	return nil
}

// runBare is the process of the bare client: n signed POSTs, so many in flight. It prints the seconds that they took.
func runBare(args []string) error {
	f := flag.NewFlagSet("_bare", flag.ExitOnError)
	url := f.String("url", "", "where to POST")
	n := f.Int("n", 1000, "requests")
	concurrency := f.Int("concurrency", 64, "requests in flight")
	size := f.Int("body", 1000, "bytes of a body")
	if err := f.Parse(args); err != nil {
		return err
	}
	p, err := newPoster(*url, *size, *concurrency)
	if err != nil {
		return err
	}
	next := make(chan int, *n)
	for i := range *n {
		next <- i
	}
	close(next)
	failed := make(chan error, *concurrency)
	start := time.Now()
	var all sync.WaitGroup
	for range *concurrency {
		all.Go(func() {
			for i := range next {
				if err := p.post(context.Background(), "evt_"+strconv.Itoa(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Println(took.Seconds())
	return nil
}

// raw is the bench's side of raw Asynq, with a Redis of its own.
type raw struct {
	t        testkit.TB
	redis    *testkit.RedisServer
	receiver *receiver
	client   *asynq.Client
}

func newRaw(t testkit.TB, r *receiver) *raw {
	t.Helper()
	redis := testkit.Redis(t, testkit.RedisOptions{AppendOnly: true})
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: redis.Addr, PoolSize: rawPool})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return &raw{t, redis, r, client}
}

// enqueue puts one task into Redis.
func (r *raw) enqueue(eventID string) error {
	now := time.Now()
	body, err := json.Marshal(rawTask{models.NewID(models.PrefixDelivery, now), 1, string(webhook.PaymentCreated),
		models.NewID(models.PrefixMerchant, now), models.NewID(models.PrefixEndpoint, now), eventID})
	if err == nil {
		_, err = r.client.Enqueue(asynq.NewTask(rawType, body), asynq.Queue(rawQueue), asynq.MaxRetry(3))
	}
	return err
}

// start runs the servers' process.
func (r *raw) start(servers, concurrency int, poll, delay time.Duration, body int) *part {
	r.t.Helper()
	p := startPart(r.t, "_raw", "--redis", r.redis.Addr, "--url", r.receiver.endpoint(delay), "--servers",
		strconv.Itoa(servers),
		"--concurrency", strconv.Itoa(concurrency), "--poll", poll.String(), "--body", strconv.Itoa(body))
	p.line()
	return p
}

// drain is how many deliveries a second raw Asynq makes of n tasks that wait in Redis when its servers start (putting
// them there is not counted against it), and the processor time of its process.
func (r *raw) drain(n, servers, concurrency int, delay time.Duration, body int) (perSecond float64, cpu time.Duration) {
	r.t.Helper()
	inParallel(r.t, n, 64, func(i int) error { return r.enqueue("evt_raw_" + strconv.Itoa(i)) })
	r.receiver.reset()
	p := r.start(servers, concurrency, pollInterval, delay, body)
	start := time.Now()
	p.tell("go")
	r.receiver.wait(n, 5*time.Minute)
	waitIdle(r.t, r.redis)
	took := time.Since(start)
	p.stop()
	return float64(n) / took.Seconds(), p.child.CPU()
}

// rates adds what raw Asynq, the better of one and four servers, and the bare client do a second, receiver at 0 ms.
func (r *raw) rates(to *report, n, concurrency, body int) {
	r.t.Helper()
	one, _ := r.drain(n, 1, concurrency, 0, body)
	four, _ := r.drain(n, 4, concurrency, 0, body)
	to.add("raw_asynq_per_s", max(one, four))
	to.add("bare_per_s", bare(r.t, r.receiver, n, 64, body))
}

// bare is how many POSTs a second the bare client makes.
func bare(t testkit.TB, r *receiver, n, concurrency, body int) float64 {
	t.Helper()
	r.reset()
	p := startPart(t, "_bare", "--url", r.endpoint(0), "--n", strconv.Itoa(n), "--concurrency", strconv.Itoa(concurrency),
		"--body", strconv.Itoa(body))
	seconds, err := strconv.ParseFloat(p.line(), 64)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	return float64(n) / seconds
}
