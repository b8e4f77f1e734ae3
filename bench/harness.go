package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/internal/testkit/gateway"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/jobs"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// pollInterval is what the gateway and raw Asynq poll at alike: WEBHOOK_POLL_INTERVAL and TaskCheckInterval.
	pollInterval = 10 * time.Millisecond
	lanes        = 8
	maxAttempts  = 15
	// maxBatch is how many events the bench commits in a transaction where that is not what is measured.
	maxBatch = 500
)

// harness is a gateway without its API: the bench commits the rows of events, and tells the producer of each commit, as
// the processes that make events do.
type harness struct {
	*gateway.Gateway
	t        testkit.TB
	store    *store.Store
	service  *endpoints.Service
	tasks    *jobs.Client
	producer *outbox.Producer
	enqueued atomic.Int64 // tasks that the producer has put into Redis
	receiver *receiver
}

// shop is an endpoint and the merchant that has it alone.
type shop struct {
	merchant string
	endpoint models.Endpoint
}

// must ends the bench when err is not nil.
func must(t testkit.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newHarness(t testkit.TB, r *receiver, env ...string) *harness {
	t.Helper()
	// The endpoints of every benchmark are on one host and answer as one receiver can: its limit is not what is measured.
	h := gateway.New(t, gateway.Options{Env: append([]string{
		fmt.Sprintf("WEBHOOK_LANES=%d", lanes), "WEBHOOK_POLL_INTERVAL=" + pollInterval.String(),
		"WEBHOOK_HOST_MAX_IN_FLIGHT=4096",
	}, env...)})
	h.DB.SetMaxOpenConns(32)
	h.DB.SetMaxIdleConns(32)
	w := &harness{Gateway: h, t: t, receiver: r}
	unused := config.Chain{ // a configuration names one; nothing here asks it
		Name: "unused", ChainID: 1, RPCURLs: []config.URL{"http://127.0.0.1:1"}, Test: true,
		Finality: config.Finality{Depth: 1}, PollInterval: time.Second, BlockTime: time.Second,
		Native: config.Native{Symbol: "ETH", Decimals: 18},
	}
	cfg, err := config.Load(config.Options{Process: config.ProcessQuickstart, Chains: []config.Chain{unused},
		Environ: []string{
			"ENV=" + config.Test, "DATABASE_URL=" + h.DatabaseURL, "REDIS_URL=" + h.Redis.URL, "MASTER_KEYS=" +
				gateway.MasterKeys,
			"OPERATOR_TOKEN=" + gateway.OperatorToken, "WEBHOOK_ALLOW=127.0.0.0/8", fmt.Sprintf("WEBHOOK_LANES=%d", lanes),
		}})
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	w.store, err = wiring.Store(t.Context(), cfg, log)
	must(t, err)
	t.Cleanup(func() { must(t, w.store.Close()) })
	v, err := wiring.Vault(cfg)
	must(t, err)
	client, err := wiring.Egress(cfg)
	must(t, err)
	t.Cleanup(client.Close)
	w.service, err = wiring.Endpoints(cfg, w.store, v, client, time.Now)
	must(t, err)
	redis, err := wiring.Redis(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, redis.Close()) })
	w.tasks, err = wiring.Jobs(cfg, redis, time.Now)
	must(t, err)
	w.producer, err = outbox.NewProducer(outbox.ProducerOptions{Enqueuer: counting{w}, Queue: 1 << 20, Logger: log,
		Now: time.Now})
	must(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.producer.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	return w
}

// counting counts what the producer enqueues.
type counting struct{ w *harness }

func (c counting) Enqueue(ctx context.Context, d models.Delivery, at time.Time) error {
	err := c.w.tasks.Enqueue(ctx, d, at)
	if err == nil {
		c.w.enqueued.Add(1)
	}
	return err
}

// shops makes n merchants with one endpoint each, which lead to the receiver and answer after delay.
func (w *harness) shops(n int, delay time.Duration) []shop {
	w.t.Helper()
	url := w.receiver.endpoint(delay)
	var all []shop
	must(w.t, w.store.InTx(w.t.Context(), func(tx *store.Tx) error {
		all = nil
		for range n {
			now := time.Now().UTC()
			m := models.Merchant{ID: models.NewID(models.PrefixMerchant, now), Name: "shop", CreatedAt: now, UpdatedAt: now}
			if err := tx.InsertMerchant(w.t.Context(), m); err != nil {
				return err
			}
			e, _, err := w.service.Create(w.t.Context(), tx, models.System, m.ID, endpoints.Settings{URL: &url}, nil)
			if err != nil {
				return err
			}
			all = append(all, shop{m.ID, e})
		}
		return nil
	}))
	return all
}

// event makes a payment.created of a merchant.
func event(merchant string) (models.Event, error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	nonce, err := webhook.NewNonce(nil)
	if err != nil {
		return models.Event{}, err
	}
	order, checkout := "order-1234567", "https://pay.shop.example/checkout/0123456789abcdef0123456789abcdef"
	e := models.Event{ID: models.NewID(models.PrefixEvent, now), MerchantID: merchant,
		Type: string(webhook.PaymentCreated), CreatedAt: now}
	e.Body, err = webhook.Encode(webhook.Event{
		ID: e.ID, Type: webhook.PaymentCreated, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now),
		Timestamp: now.Unix(), Nonce: nonce, MerchantID: merchant,
		Data: webhook.Data{Payment: &webhook.Payment{
			ID: models.NewID("pay", now), Sequence: 1, OrderID: &order, Status: "pending", Chain: "ethereum", ChainID: 1,
			Address: "0x52908400098527886E0F7030069857D2E4169EE7", DerivationPath: "m/44'/60'/0'/0/1234",
			Amount: "1000000000000000000", AmountDecimal: "1.0", AmountReceived: "0", AmountConfirmed: "0",
			AmountReceivedDecimal: "0", UpdatedAt: webhook.At(now),
			RequiredConfirmations: 64, CreatedAt: webhook.At(now), ExpiresAt: webhook.At(now.Add(time.Hour)),
			CheckoutURL: &checkout,
		}},
	})
	return e, err
}

// load is what a run delivers: made before the clock runs.
type load struct {
	deliveries []models.Delivery
	maxBatch   int      // events of one transaction
	rows       []string // so many events each, as insertRows takes them
}

// bodySize is how many bytes the body of an event has.
func bodySize(t testkit.TB) int {
	t.Helper()
	e, err := event(models.NewID(models.PrefixMerchant, time.Now()))
	must(t, err)
	return len(e.Body)
}

func (w *harness) load(shops []shop, n, maxBatch int) *load {
	w.t.Helper()
	type row struct {
		ID       string `json:"id"`
		Delivery string `json:"delivery"`
		Endpoint string `json:"endpoint"`
		Merchant string `json:"merchant"`
		Type     string `json:"type"`
		Body     string `json:"body"`
	}
	l := &load{maxBatch: maxBatch}
	var rows []row
	for i := range n {
		s := shops[i%len(shops)]
		e, err := event(s.merchant)
		must(w.t, err)
		d := outbox.NewDelivery(e, s.endpoint, maxAttempts, e.CreatedAt)
		l.deliveries = append(l.deliveries, d)
		rows = append(rows, row{e.ID, d.ID, d.EndpointID, d.MerchantID, e.Type, string(e.Body)})
		if len(rows) == maxBatch || i == n-1 {
			b, err := json.Marshal(rows)
			must(w.t, err)
			l.rows, rows = append(l.rows, string(b)), nil
		}
	}
	return l
}

// insertRows writes what [outbox.Publish] does, in one statement that is its own transaction, so that the making of
// events takes little from what is measured.
const insertRows = `WITH r AS (
	SELECT * FROM json_to_recordset($1::json) AS r(id text, delivery text, endpoint text, merchant text, type text, body text)
), e AS (
	INSERT INTO events (id, merchant_id, type, sequence, body, created_at)
	SELECT id, merchant, type, 1, convert_to(body, 'UTF8'), now() FROM r
)
INSERT INTO deliveries (id, event_id, endpoint_id, merchant_id, event_type, state, generation, max_attempts, next_attempt_at, sweep_after, created_at, updated_at)
SELECT delivery, id, endpoint, merchant, type, 'pending', 1, $2, now(), now() + interval '10 s', now(), now() FROM r`

// commit writes transaction i of a load, tells the producer of it, and returns its deliveries and when it was
// committed.
func (w *harness) commit(ctx context.Context, l *load, i int) ([]models.Delivery, time.Time, error) {
	if _, err := w.DB.ExecContext(ctx, insertRows, l.rows[i], maxAttempts); err != nil {
		return nil, time.Time{}, err
	}
	at := time.Now()
	ds := l.deliveries[i*l.maxBatch : min((i+1)*l.maxBatch, len(l.deliveries))]
	w.producer.Offer(ds)
	return ds, at, nil
}

// commitAll writes all of a load, one transaction after the other.
func (w *harness) commitAll(l *load) {
	w.t.Helper()
	for i := range l.rows {
		_, _, err := w.commit(w.t.Context(), l, i)
		must(w.t, err)
	}
}

// offer commits a load at so many transactions a second. It returns when each delivery but the first warm ones was
// committed, by the id of its event, and the rate that came of it.
func (w *harness) offer(l *load, warm, rate int) (*stamps, float64) {
	w.t.Helper()
	from := newStamps()
	real := pace(w.t, len(l.rows), rate, func(i int) error {
		ds, at, err := w.commit(w.t.Context(), l, i)
		if i >= warm {
			for _, d := range ds {
				from.set(d.EventID, at)
			}
		}
		return err
	})
	return from, real
}

// waitDelivered returns when nothing is left to do: the receiver has n requests, no delivery is pending, and no task is
// queued or worked on in Redis.
func (w *harness) waitDelivered(n int) {
	w.t.Helper()
	w.receiver.wait(n, 5*time.Minute)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var pending bool
		must(w.t, w.DB.QueryRowContext(w.t.Context(),
			"SELECT EXISTS (SELECT 1 FROM deliveries WHERE state = 'pending')").Scan(&pending))
		if !pending {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatal("deliveries stay pending")
		}
	}
	waitIdle(w.t, w.Redis)
}

// check holds the record against a load that was committed after start, when the clock has stopped: every event
// delivered, by one attempt and one request.
func (w *harness) check(l *load, start time.Time) {
	w.t.Helper()
	var delivered, attempts int
	must(w.t, w.DB.QueryRowContext(w.t.Context(),
		"SELECT count(*), coalesce(sum(attempts), 0) FROM deliveries WHERE state = 'delivered' AND created_at >= $1",
		start).Scan(&delivered, &attempts))
	seen, requests := w.receiver.sights()
	for _, d := range l.deliveries {
		if _, ok := seen[d.EventID]; !ok {
			w.t.Fatalf("%s was never received", d.EventID)
		}
	}
	if n := len(l.deliveries); delivered != n || attempts != n || requests != n {
		w.t.Fatalf("%d events, %d delivered by %d attempts and %d requests", n, delivered, attempts, requests)
	}
}

// idle counts what Asynq has queued or in work, over all queues.
const idle = `local n = 0
for _, q in ipairs(redis.call('SMEMBERS', 'asynq:queues')) do
  n = n + redis.call('LLEN', 'asynq:{'..q..'}:pending') + redis.call('LLEN', 'asynq:{'..q..'}:active')
end
return n`

// waitIdle waits until Asynq has nothing queued and nothing in work.
func waitIdle(t testkit.TB, redis *testkit.RedisServer) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if redis.Do(t, "EVAL", idle, "0") == int64(0) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("tasks stay in Redis")
		}
	}
}

// inParallel calls f for 0…n-1 from so many goroutines.
func inParallel(t testkit.TB, n, goroutines int, f func(i int) error) {
	t.Helper()
	var all sync.WaitGroup
	errs := make([]error, goroutines)
	for g := range goroutines {
		all.Go(func() {
			for i := g; i < n && errs[g] == nil; i += goroutines {
				errs[g] = f(i)
			}
		})
	}
	all.Wait()
	must(t, errors.Join(errs...))
}

// workerFor makes a worker have so many first tries in flight: of WEBHOOK_CONCURRENCY, five eighths are theirs.
func workerFor(inFlight int) string {
	return "WEBHOOK_CONCURRENCY=" + strconv.Itoa((inFlight*8+4)/5)
}
