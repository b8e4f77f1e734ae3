package limits

import (
	"math"
	"net"
	"net/netip"
	"sync"
	"time"
)

// maxKeys bounds how many keys a Buckets remembers, twice: in use of late, and before.
const maxKeys = 50_000

// Buckets are token buckets by key, in this process.
type Buckets struct {
	mu             sync.Mutex
	recent, before map[string]bucket
}

type bucket struct {
	left float64
	at   time.Time
}

// Quota is what is left of a bucket after a request.
type Quota struct {
	Limit, Left int
	Wait        time.Duration // before the next request; 0 when this one may go on
}

// Take takes a token out of the bucket of a key, which holds burst and fills at perSecond, or says how long to wait.
func (b *Buckets) Take(key string, perSecond float64, burst int, now time.Time) Quota {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, known := b.recent[key]
	if !known {
		if k, known = b.before[key]; !known {
			k = bucket{float64(burst), now}
		}
		if b.recent == nil || len(b.recent) >= maxKeys { // who was not seen since is forgotten, and starts full
			b.before, b.recent = b.recent, make(map[string]bucket)
		}
	}
	if now.After(k.at) {
		k.left, k.at = k.left+perSecond*now.Sub(k.at).Seconds(), now
	}
	k.left = min(k.left, float64(burst))
	q := Quota{Limit: burst}
	if k.left >= 1 {
		k.left--
		q.Left = int(k.left)
	} else {
		q.Wait = max(time.Duration(math.Ceil((1-k.left)/perSecond*float64(time.Second))), time.Nanosecond)
	}
	b.recent[key] = k
	return q
}

// Addresses are buckets of callers by the network that they come from.
type Addresses struct {
	// PerSecond and Burst are those of each; a PerSecond of 0 sets no limit.
	PerSecond float64
	Burst     int
	buckets   Buckets
}

// Take takes a request of whoever is at remote, HOST or HOST:PORT, or says how long they have to wait.
func (a *Addresses) Take(remote string, now time.Time) (wait time.Duration) {
	if a.PerSecond == 0 {
		return 0
	}
	return a.buckets.Take(network(remote), a.PerSecond, a.Burst, now).Wait
}

// network is what one caller has: an IPv4 address, or the 64 bits that a subscriber of IPv6 is given.
func network(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return "unknown" // all of them share one bucket
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}
