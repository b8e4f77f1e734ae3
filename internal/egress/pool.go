package egress

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// pool is the connections of one tenant with one set of TLS settings. It is renewed: a transport takes requests for
// MaxConnAge, and hands over to the next one little by little in the last fifth of that, so that not all connections
// are opened anew at the same moment. What is under way on the old one is finished there; its connections are closed
// when they are idle. A connection is never older than its transport.
type pool struct {
	key    poolKey
	dialer *dialer
	o      *Options

	mu                sync.Mutex
	now, next         *http.Transport
	renewing, renewed time.Time // when next begins to take requests, and when it takes all of them
}

func (p *pool) transport(at time.Time) *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.now == nil:
		p.begin(p.make(p.key.plain), at)
	case at.Before(p.renewing):
	case at.Before(p.renewed):
		if p.next == nil {
			p.next = p.make(p.key.plain)
		}
		if rand.Float64() < float64(at.Sub(p.renewing))/float64(p.renewed.Sub(p.renewing)) {
			return p.next
		}
	default:
		old, next := p.now, p.next
		if next == nil {
			next = p.make(p.key.plain)
		}
		began := at
		if p.next != nil {
			began = p.renewing // it has connections since then
		}
		p.begin(next, began)
		old.CloseIdleConnections()
		if !at.Before(p.renewed) { // nobody asked for a long time
			next.CloseIdleConnections()
			p.begin(p.make(p.key.plain), at)
		}
	}
	return p.now
}

func (p *pool) begin(t *http.Transport, at time.Time) {
	age := time.Duration(float64(p.o.MaxConnAge) * (0.9 + 0.2*rand.Float64()))
	p.now, p.next, p.renewing, p.renewed = t, nil, at.Add(age*4/5), at.Add(age)
}

// fresh is a transport for one request, which has no connection yet.
func (p *pool) fresh(plain bool) *http.Transport { return p.make(plain) }

func (p *pool) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range []*http.Transport{p.now, p.next} {
		if t != nil {
			t.CloseIdleConnections()
		}
	}
}

func (p *pool) make(plain bool) *http.Transport {
	d := p.dialer
	t := &http.Transport{
		DialContext:            d.dialPlain,
		DialTLSContext:         d.dialTLS,
		IdleConnTimeout:        p.o.IdleTimeout,
		MaxIdleConnsPerHost:    p.o.MaxIdleConnsPerHost,
		MaxResponseHeaderBytes: p.o.MaxHeaderBytes,
	}
	if plain {
		t.DialTLSContext = d.withoutHTTP2().dialTLS
		return t
	}
	t.ForceAttemptHTTP2 = true
	// An HTTP/2 connection that went silent would time out every request on it for ever: ask after it.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// pool finds or makes a pool. The one that was not used for longest makes way for a new one; requests that still run on
// it finish.
func (c *Client) pool(key poolKey, settings TLSSettings) (*pool, error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	if e, ok := c.pools[key]; ok {
		c.recent.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(*pool), nil
	}
	c.mu.Unlock()

	d, err := c.newDialer(key.who, settings)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	if e, ok := c.pools[key]; ok { // somebody else was faster
		c.mu.Unlock()
		return e.Value.(*pool), nil
	}
	made := &pool{key: key, dialer: d, o: &c.o}
	c.pools[key] = c.recent.PushFront(made)
	var evicted *pool
	if len(c.pools) > c.o.MaxPools {
		evicted = c.recent.Remove(c.recent.Back()).(*pool)
		delete(c.pools, evicted.key)
	}
	c.mu.Unlock()
	if evicted != nil {
		evicted.closeIdle()
	}
	return made, nil
}

const (
	// http1For is how long a host that asked for HTTP/1.1 is spoken to in it.
	http1For = time.Hour
	maxHosts = 4096
)

// hosts remembers names for a while.
type hosts struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (h *hosts) has(host string, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return at.Before(h.until[host])
}

func (h *hosts) add(host string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until == nil || len(h.until) >= maxHosts {
		h.until = make(map[string]time.Time)
	}
	h.until[host] = at.Add(http1For)
}
