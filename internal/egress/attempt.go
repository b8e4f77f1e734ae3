package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// Try is one of several requests that were made for one call of [Client.Do].
type Try struct {
	After    time.Duration // from the start of the call
	RemoteIP netip.Addr    // invalid when there was no connection
	Error    string        // as that of an [Error]; "" for the one that was answered
}

type attemptKey struct{}

// attempt follows one call of Do. Its hooks run in Do's goroutine, except firstByte and what dials count.
type attempt struct {
	start     time.Time
	deadline  time.Time
	conn      *conn
	reused    bool
	firstByte atomic.Int64 // nanoseconds since start
	body      bytes.Reader
	trace     httptrace.ClientTrace

	plain   bool // over HTTP/1.1 whatever the receiver offers
	began   time.Duration
	tries   []Try
	dials   atomic.Int32 // that net/http asked for
	sockets atomic.Int32 // that are open, being opened, or were open
}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// mayDial counts a dial and reports whether it may be made: net/http dials again for as long as a receiver completes
// handshakes and takes no request.
func (a *attempt) mayDial() bool { return a == nil || a.dials.Add(1) <= maxDials }

// mayConnect does the same for the connections of which a dial may need two, one in each family.
func (a *attempt) mayConnect() bool {
	if a == nil || a.sockets.Add(1) <= maxDials {
		return true
	}
	a.sockets.Add(-1)
	return false
}

// connected takes back what mayConnect counted for a connection that came to nothing.
func (a *attempt) connected(err error) {
	if a != nil && err != nil {
		a.sockets.Add(-1)
	}
}

// request makes the request of one try. net/http cannot rewind its body, so that it sends nothing twice by itself.
func (a *attempt) request(ctx context.Context, t *target, h http.Header, body []byte, r io.Reader) *http.Request {
	req := t.request.WithContext(ctx)
	// a body that net/http knows goes out with the headers in one write
	req.Header, req.Body, req.ContentLength = h, io.NopCloser(r), int64(len(body))
	if len(body) == 0 {
		req.Body = http.NoBody
	}
	return req
}

// reason is why a request is sent once more.
type reason int

const (
	never reason = iota
	onFreshConnection
	overHTTP1
)

// again says whether a request that failed is sent once more.
func (a *attempt) again(err error) reason {
	var failed *Error
	if !errors.As(err, &failed) || failed.Kind != KindReset || a.firstByte.Load() != 0 || a.dials.Load() >= maxDials {
		return never
	}
	text := failed.Err.Error()
	switch {
	case strings.Contains(text, "HTTP_1_1_REQUIRED"):
		if a.plain {
			return never
		}
		return overHTTP1
	case strings.Contains(text, "client connection lost"): // it went silent, which is a timeout
		return never
	case a.reused, strings.Contains(text, "REFUSED_STREAM"), strings.Contains(text, "graceful shutdown GOAWAY"),
		strings.Contains(text, "client conn could not be established"): // no receiver looked at it
		return onFreshConnection
	}
	return never
}

// nextTry puts a failed try on the list and begins another one.
func (a *attempt) nextTry(err error) {
	a.note(err)
	a.began, a.conn, a.reused = time.Since(a.start), nil, false
}

func (a *attempt) note(err error) {
	t := Try{After: a.began}
	if a.conn != nil {
		t.RemoteIP = a.conn.remote
	}
	if err != nil {
		t.Error = err.Error()
	}
	a.tries = append(a.tries, t)
}

// failure makes an error of net/http ours.
func (a *attempt) failure(outer, ctx context.Context, err error) error {
	if errors.Is(outer.Err(), context.Canceled) {
		return fmt.Errorf("egress: %w", context.Canceled)
	}
	if ctx.Err() != nil || !time.Now().Before(a.deadline) {
		// net/http may report the end of the time as a closed connection.
		if kind := Classify(err); kind != KindBlocked && kind != KindTLS {
			return &Error{Kind: KindTimeout, Err: context.DeadlineExceeded}
		}
	}
	return &Error{Kind: Classify(err), Err: err}
}

// response tells what is known of the way. err is that of the last try.
func (a *attempt) response(err error) Response {
	if len(a.tries) > 0 {
		a.note(err)
	}
	out := Response{Timings: Timings{FirstByte: time.Duration(a.firstByte.Load()), Total: time.Since(a.start),
		Reused: a.reused}, Tries: a.tries}
	if a.conn != nil {
		out.RemoteIP = a.conn.remote
		if !a.reused {
			out.Timings.DNS, out.Timings.Connect, out.Timings.TLS = a.conn.dns, a.conn.connect, a.conn.tls
		}
	}
	return out
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	raw := info.Conn
	if secure, ok := raw.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	a.conn, _ = raw.(*conn)
	a.reused = info.Reused
}

func (a *attempt) gotFirstByte() { a.firstByte.Store(int64(time.Since(a.start))) }
