package webhook

import (
	"container/list"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// RateLimit is a token bucket per source address: PerSecond requests on average, Burst at once. PerSecond 0 is no
// limit. A source is an IPv4 address or an IPv6 /64.
type RateLimit struct {
	PerSecond float64
	Burst     int // 0 means PerSecond, rounded up
}

const maxSources = 10_000 // buckets held; beyond it the one unused longest is forgotten

type limiter struct {
	rate, burst float64
	now         func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*list.Element
	used    *list.List // of *bucket, used longest ago first
}

type bucket struct {
	source netip.Prefix
	tokens float64
	at     time.Time
}

func newLimiter(r RateLimit, now func() time.Time) *limiter {
	if r.PerSecond == 0 {
		return nil
	}
	burst := float64(r.Burst)
	if burst == 0 {
		burst = math.Ceil(r.PerSecond)
	}
	return &limiter{rate: r.PerSecond, burst: burst, now: now, sources: map[netip.Prefix]*list.Element{}, used: list.New()}
}

// take spends a token of the source; without one it says how long the next takes. A nil limiter lets everything
// through.
func (l *limiter) take(addr netip.Addr) (wait time.Duration) {
	if l == nil {
		return 0
	}
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	source, err := addr.WithZone("").Prefix(bits)
	if err != nil { // only the invalid address: all of those share a bucket
		source = netip.Prefix{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.bucket(source, now)
	b.tokens = min(l.burst, b.tokens+max(now.Sub(b.at).Seconds(), 0)*l.rate)
	b.at = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1 - b.tokens) / l.rate * float64(time.Second))
}

func (l *limiter) bucket(source netip.Prefix, now time.Time) *bucket {
	if e, ok := l.sources[source]; ok {
		l.used.MoveToBack(e)
		return e.Value.(*bucket)
	}
	if len(l.sources) >= maxSources {
		oldest := l.used.Front()
		delete(l.sources, oldest.Value.(*bucket).source)
		l.used.Remove(oldest)
	}
	b := &bucket{source: source, tokens: l.burst, at: now}
	l.sources[source] = l.used.PushBack(b)
	return b
}

// remoteAddr is the address that connected, an IPv4 one as such even when it came mapped into IPv6.
func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

func contains(allow []netip.Prefix, addr netip.Addr) bool {
	for _, p := range allow {
		if p.Contains(addr.WithZone("")) {
			return true
		}
	}
	return false
}
