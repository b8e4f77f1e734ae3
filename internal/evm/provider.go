package evm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

// maxAnswer bounds an HTTP answer, in bytes; fifty of the largest blocks fit.
const maxAnswer = 64 << 20

// provider is one node, or whatever stands before several.
type provider struct {
	url, host string
	name      string // the host, numbered where several URLs have the same
	secrets   []string
	http      *http.Transport // nil for WebSocket
	dialled   atomic.Uint64   // connections made so far
	pace      pacer
	now       func() time.Time

	mu          sync.Mutex
	client      *rpc.Client
	verified    bool   // the client was found to be on our chain,
	checked     uint64 // when so many connections had been dialled
	failures    int    // since it last answered well
	downUntil   time.Time
	pauses      int // that it asked for since it last answered well
	pausedUntil time.Time
	learned     map[trait]lesson
	tagNumber   uint64    // where its tag is,
	tagSince    time.Time // and since when
	toldAt      time.Time // when it was last named for its tag
}

func newProvider(raw string, rate float64, now func() time.Time) (*provider, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return nil, errors.New("an RPC URL does not parse")
	}
	pr := &provider{
		url: raw, host: u.Host, secrets: secretsOf(u), pace: pacer{perSecond: rate}, now: now,
		learned: make(map[trait]lesson),
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		pr.http = http.DefaultTransport.(*http.Transport).Clone()
		pr.http.MaxIdleConnsPerHost = 16
		dial := pr.http.DialContext
		pr.http.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err == nil {
				pr.dialled.Add(1)
			}
			return conn, err
		}
	case "ws", "wss":
	default:
		return nil, fmt.Errorf("the RPC URL of %s is neither http(s) nor ws(s)", u.Host)
	}
	return pr, nil
}

// connect returns a client whose every connection so far was found to be on our chain. The library reconnects by
// itself, over HTTP and WebSocket, so connections are counted and the question is put again after each.
func (pr *provider) connect(ctx context.Context, chainID uint64, timeout time.Duration) (*rpc.Client, error) {
	pr.mu.Lock()
	client, fresh := pr.client, pr.verified && pr.checked == pr.dialled.Load()
	pr.mu.Unlock()
	if client != nil && fresh {
		return client, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if client == nil {
		var err error
		if client, err = pr.dial(ctx); err != nil {
			return nil, err
		}
	}
	var id quantity
	if err := pr.heed(client.CallContext(ctx, &id, "eth_chainId")); err != nil {
		return nil, err
	}
	if uint64(id) != chainID {
		pr.drop()
		return nil, fmt.Errorf("%w: chain id %d, want %d", ErrWrongChain, uint64(id), chainID)
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.verified, pr.checked = true, pr.dialled.Load()
	return client, nil
}

// dial makes the client, once.
func (pr *provider) dial(ctx context.Context) (*rpc.Client, error) {
	var option rpc.ClientOption
	if pr.http != nil {
		option = rpc.WithHTTPClient(&http.Client{Transport: watched{pr.http, pr}})
	} else {
		option = rpc.WithHTTPAuth(func(http.Header) error { // runs once a WebSocket handshake
			pr.dialled.Add(1)
			return nil
		})
	}
	client, err := rpc.DialOptions(ctx, pr.url, option)
	if err != nil {
		return nil, err
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.client != nil { // somebody else was faster
		client.Close()
		return pr.client, nil
	}
	pr.client, pr.verified = client, false
	return client, nil
}

// drop closes the connections, so that the next question checks the chain id again.
func (pr *provider) drop() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.client != nil {
		pr.client.Close()
		pr.client = nil
	}
	if pr.http != nil {
		pr.http.CloseIdleConnections()
	}
}

// failed notes a failure: the provider is asked only when no other answers, for longer each time. It reports whether
// the provider was well until now.
func (pr *provider) failed(now time.Time) (first bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.failures++
	pr.downUntil = now.Add(min(cooldown<<min(pr.failures-1, 8), maxCooldown))
	return pr.failures == 1
}

// answered notes that the provider is well.
func (pr *provider) answered() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.failures, pr.downUntil, pr.pauses = 0, time.Time{}, 0
}

func (pr *provider) cooling(now time.Time) bool {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return now.Before(pr.downUntil) || now.Before(pr.pausedUntil)
}

// watched reads Retry-After, and cuts answers off at maxAnswer; what is cut off no longer decodes.
type watched struct {
	http.RoundTripper
	pr *provider
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.pr.retryAfter(res)
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, maxAnswer), res.Body}
	return res, nil
}
