package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// BenchmarkCreatePayment has 64 clients create payments, each with an order, metadata and an Idempotency-Key, on
// Postgres, with an endpoint that asks for everything. It tells allocations and processor time of this process.
func BenchmarkCreatePayment(b *testing.B) {
	const clients = 64
	s := storetest.Postgres(b)
	c := newCounter(b, s, func(o *Options) { o.Limits.Rate, o.Limits.Burst = 1e6, 1e6 })
	id, key := c.merchant(b, "a", false)
	m, err := s.Merchant(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	m.MaxOpenPayments = new(1 << 30)
	if err := s.InTx(b.Context(), func(tx *store.Tx) error { return tx.SaveMerchant(b.Context(), m) }); err != nil {
		b.Fatal(err)
	}
	hook := `{"url":"https://shop.example/hooks"}`
	if w := c.bare(key, "POST", "/api/v1/webhook_endpoints", hook, "hooks"); w.Code != http.StatusCreated {
		b.Fatal(w.Body)
	}
	create := func(i int) {
		body := fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1000000000000000000","order_id":"order-%d",`+
			`"metadata":{"cart":"%d"}}`, i, i)
		if w := c.bare(key, "POST", "/api/v1/payments", body, fmt.Sprintf("key-%d", i)); w.Code != http.StatusCreated {
			b.Error(w.Code, w.Body)
		}
	}
	create(0)
	var next atomic.Int64
	var all sync.WaitGroup
	b.ReportAllocs()
	var from, to syscall.Rusage
	runtime.GC()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &from); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range clients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				create(int(i))
			}
		})
	}
	all.Wait()
	b.StopTimer()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &to); err != nil {
		b.Fatal(err)
	}
	cpu := time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
	b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/payment")
}

// bare asks without holding the answer against the OpenAPI file.
func (c *counter) bare(key, method, path, body, idempotencyKey string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", idempotencyKey)
	w := httptest.NewRecorder()
	c.Server.ServeHTTP(w, r)
	return w
}
