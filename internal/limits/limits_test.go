package limits

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func TestBuckets(t *testing.T) {
	var b Buckets
	now := noon
	for i := range 5 {
		if q := b.Take("a", 2, 5, now); q.Wait != 0 || q.Left != 4-i || q.Limit != 5 {
			t.Fatalf("request %d: %+v", i, q)
		}
	}
	if q := b.Take("a", 2, 5, now); q.Wait != 500*time.Millisecond {
		t.Fatalf("an empty bucket: %+v", q)
	}
	if q := b.Take("b", 2, 5, now); q.Wait != 0 {
		t.Errorf("another key: %+v", q)
	}
	now = now.Add(500 * time.Millisecond)
	if q := b.Take("a", 2, 5, now); q.Wait != 0 || q.Left != 0 {
		t.Errorf("after the wait: %+v", q)
	}
	if q := b.Take("a", 2, 5, now.Add(time.Hour)); q.Left != 4 {
		t.Errorf("an hour later: %+v", q)
	}
}

// TestBucketsAreBounded: however many keys come, few are remembered, and those that keep coming are among them.
func TestBucketsAreBounded(t *testing.T) {
	var b Buckets
	b.Take("busy", 0.001, 1, noon)
	for i := range 5 * maxKeys {
		b.Take(fmt.Sprint(i), 1, 1, noon)
		if i%1000 == 0 && b.Take("busy", 0.001, 1, noon).Wait == 0 {
			t.Fatalf("forgotten after %d others", i)
		}
	}
	if n := len(b.recent) + len(b.before); n > 2*maxKeys {
		t.Errorf("%d keys", n)
	}
}

// TestAddresses: an IPv6 subscriber is their 64 bits, an IPv4 address itself however it is written.
func TestAddresses(t *testing.T) {
	for a, b := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8:1:2::3]:5": "2001:db8:1:2:ffff::1",
		"[fe80::1%eth0]:5": "fe80::2", "": "pipe",
	} {
		if network(a) != network(b) {
			t.Errorf("%s is %s, %s is %s", a, network(a), b, network(b))
		}
	}
	for a, b := range map[string]string{"192.0.2.1": "192.0.2.2", "2001:db8:1:2::3": "2001:db8:1:3::3"} {
		if network(a) == network(b) {
			t.Errorf("%s and %s are one", a, b)
		}
	}
	limited := &Addresses{PerSecond: 1, Burst: 1}
	if limited.Take("192.0.2.1:1", noon) != 0 || limited.Take("192.0.2.1:2", noon) == 0 ||
		limited.Take("192.0.2.2:1", noon) != 0 {
		t.Error("not one request for each address")
	}
	for range 100 {
		if new(Addresses).Take("192.0.2.1:1", noon) != 0 {
			t.Fatal("limited without a limit")
		}
	}
}

type broken struct{ asked int }

func (b *broken) TakeToken(context.Context, string, float64, int) (int, time.Duration, error) {
	b.asked++
	return 0, 0, errors.New("no connection")
}

// TestMerchantsWithoutTheSharedStore: while it is away a process has buckets of its own of the same size, and does not
// ask for every request.
func TestMerchantsWithoutTheSharedStore(t *testing.T) {
	shared := &broken{}
	m := NewMerchants(Options{Shared: shared, PerSecond: 10, Burst: 50, Now: func() time.Time { return noon },
		Logger: slog.New(slog.DiscardHandler)})
	own := 1
	for _, c := range []struct {
		merchant models.Merchant
		burst    int
	}{{models.Merchant{ID: "mer_1"}, 50}, {models.Merchant{ID: "mer_2", RatePerSecond: &own}, 5}} {
		for i := range c.burst {
			if q := m.Take(t.Context(), c.merchant); q.Wait != 0 || q.Limit != c.burst {
				t.Fatalf("%s, request %d: %+v", c.merchant.ID, i, q)
			}
		}
		if q := m.Take(t.Context(), c.merchant); q.Wait == 0 {
			t.Errorf("%s has more than their burst: %+v", c.merchant.ID, q)
		}
	}
	if shared.asked > 2 {
		t.Errorf("asked %d times", shared.asked)
	}
}
