package store_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
)

// BenchmarkAudit has 64 writers append lines, one a transaction, to a log on Postgres, and tells how many lines a
// second that makes, until the last one is chained.
func BenchmarkAudit(b *testing.B) {
	const writers = 64
	s, err := store.Open(b.Context(), store.Options{DSN: testkit.Postgres(b), MaxConns: writers})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	ctx, stop := context.WithCancel(b.Context())
	var chain sync.WaitGroup
	chain.Go(func() {
		if err := s.RunAudit(ctx); err != nil {
			b.Error(err)
		}
	})
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				err := s.InTx(b.Context(), func(tx *store.Tx) error {
					return tx.Audit(b.Context(), models.AuditEntry{At: time.Now(), Actor: "key:key_1", Action: "test.line",
						Subject: "we_1", Merchant: "mer_1", Detail: map[string]string{"n": "1"}, IP: "192.0.2.1"})
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	written := b.Elapsed()
	if _, err := s.ChainAudit(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	stop()
	chain.Wait()
	b.ReportMetric(float64(b.N)/written.Seconds(), "written/s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
