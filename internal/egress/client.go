package egress

import (
	"container/list"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"sync"
	"time"
)

// Options of a [Client]. The zero value is the strictest client over the system's resolver, except that it permits
// http.
type Options struct {
	Allow        []Rule // what WEBHOOK_ALLOW allows
	RequireHTTPS bool   // production: no plain http, not even to allowed addresses

	Resolver Resolver // default net.DefaultResolver
	// Proxy is EGRESS_PROXY: http, https or socks5, perhaps with a user. Every connection goes through it, by CONNECT.
	Proxy *url.URL

	Timeout time.Duration // for a request in all, where the request does not say; default 10 s
	// how long an unused connection is kept; default 4 s, because many receivers close after 5 s
	IdleTimeout         time.Duration
	MaxBodyBytes        int   // of an answer's body, after decompression; default 16 KiB
	MaxHeaderBytes      int64 // of an answer's headers; default 32 KiB
	MaxIdleConnsPerHost int   // default 1024, the most requests that one receiver usually has in flight
	// merchants with TLS settings whose connections are kept at the same time; default 1024
	MaxPools int
	// MaxConnAge is how long a connection takes new requests; by then it is replaced, so that the name is looked up and
	// its addresses are checked again. Default 60 s, give or take a tenth.
	MaxConnAge time.Duration

	RootCAs *x509.CertPool   // default the system's
	Now     func() time.Time // judges the validity of certificates; default time.Now
}

var proxySchemes = map[string]bool{"http": true, "https": true, "socks5": true}

const (
	defaultTimeout  = 10 * time.Second
	defaultIdle     = 4 * time.Second
	defaultBody     = 16 << 10
	defaultHeader   = 32 << 10
	defaultIdleHost = 1024
	defaultPools    = 1024
	defaultAge      = time.Minute
	maxTargets      = 16384 // checked URLs that are remembered
)

// Client sends requests to merchants. It is safe for concurrent use and should be shared: connections are kept per
// Client.
type Client struct {
	policy   policy
	resolver Resolver
	o        Options

	wantHTTP1 hosts
	bodies    sync.Pool // *[]byte of MaxBodyBytes+1

	mu      sync.Mutex
	closed  bool
	pools   map[poolKey]*list.Element // of *pool, most recently used first
	recent  list.List
	targets map[targetKey]*target
}

type poolKey struct {
	who   Tenant
	tls   [sha256.Size]byte
	plain bool // HTTP/1.1 only
}

type targetKey struct {
	who Tenant
	raw string
}

// New makes a Client. It fails when the options contradict themselves.
func New(o Options) (*Client, error) {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Timeout < 0 || o.IdleTimeout < 0 || o.MaxBodyBytes < 0 || o.MaxHeaderBytes < 0 || o.MaxIdleConnsPerHost < 0 ||
		o.MaxPools < 0 || o.MaxConnAge < 0 {
		return nil, errors.New("egress: negative limit")
	}
	if o.Proxy != nil && (!proxySchemes[o.Proxy.Scheme] || o.Proxy.Hostname() == "") {
		return nil, errors.New("egress: the proxy is not an http, https or socks5 URL")
	}
	orElse(&o.Timeout, defaultTimeout)
	orElse(&o.IdleTimeout, defaultIdle)
	orElse(&o.MaxBodyBytes, defaultBody)
	orElse(&o.MaxHeaderBytes, defaultHeader)
	orElse(&o.MaxIdleConnsPerHost, defaultIdleHost)
	orElse(&o.MaxPools, defaultPools)
	orElse(&o.MaxConnAge, defaultAge)
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Client{
		policy:   policy{rules: append([]Rule(nil), o.Allow...), requireHTTPS: o.RequireHTTPS},
		resolver: o.Resolver, o: o,
		pools: make(map[poolKey]*list.Element), targets: make(map[targetKey]*target),
	}
	c.bodies.New = func() any { b := make([]byte, o.MaxBodyBytes+1); return &b }
	return c, nil
}

func orElse[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

// CheckURL applies, without resolving anything, every rule that the URL of an endpoint must obey, and returns its
// normal form: host in lower-case ASCII without a final dot, default port dropped. The error is a *[URLError].
func (c *Client) CheckURL(who Tenant, raw string) (string, error) {
	t, err := c.policy.checkURL(who, raw)
	if err != nil {
		return "", err
	}
	return t.text, nil
}

// Close closes the connections that are idle and refuses further requests. Requests that run go on; their connections
// are closed within the idle timeout.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	old := c.pools
	c.pools = make(map[poolKey]*list.Element)
	c.recent.Init()
	c.mu.Unlock()
	for _, e := range old {
		e.Value.(*pool).closeIdle()
	}
}

// target checks a URL, or remembers that it did: the rules of a Client never change.
func (c *Client) target(who Tenant, raw string) (*target, error) {
	key := targetKey{who, raw}
	c.mu.Lock()
	t, ok := c.targets[key]
	c.mu.Unlock()
	if ok {
		return t, nil
	}
	t, err := c.policy.checkURL(who, raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.targets) >= maxTargets {
		clear(c.targets)
	}
	c.targets[key] = t
	return t, nil
}

func (c *Client) newDialer(who Tenant, settings TLSSettings) (*dialer, error) {
	config, err := settings.config(c.o.RootCAs, c.o.Now)
	if err != nil {
		return nil, err
	}
	return &dialer{
		who: who, policy: &c.policy, resolver: c.resolver, proxy: c.o.Proxy, roots: c.o.RootCAs, tls: config,
		timeout: c.o.Timeout, maxHeader: c.o.MaxHeaderBytes,
	}, nil
}
