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

// Request is one POST to a merchant.
type Request struct {
	Tenant  Tenant
	URL     string
	Header  http.Header   // sent as it is; not changed
	Body    []byte        // must not be changed, even afterwards: a receiver may answer before it has read all of it
	Timeout time.Duration // for everything together; 0 means Options.Timeout
	TLS     TLSSettings
}

// Response is what came back. Beside an error it holds what is known of the way there: RemoteIP and Timings.
type Response struct {
	Status        int    // 0 when there was no status line
	Proto         string // "HTTP/1.1", "HTTP/2.0"
	Header        http.Header
	Body          []byte // the beginning, decompressed
	BodyTruncated bool   // there was more
	BodyErr       error  // the body broke off, as Do would say it; the status stands all the same
	RemoteIP      netip.Addr
	Timings       Timings
}

// Timings are durations from the start of their own step, except FirstByte and Total, which count from the start of the
// request. DNS, Connect and TLS are 0 on a connection that was used before.
type Timings struct {
	DNS, Connect, TLS, FirstByte, Total time.Duration
	Reused                              bool
}

type attemptKey struct{}

// attempt follows one request. Its hooks run in Do's goroutine, except firstByte.
type attempt struct {
	start     time.Time
	deadline  time.Time
	conn      *conn
	reused    bool
	firstByte atomic.Int64 // nanoseconds since start
	body      bytes.Reader
	trace     httptrace.ClientTrace
}

// Do sends one POST and reads the beginning of its answer, in the time given in all. It follows no redirect and sends
// nothing twice.
//
// The error is an *[Error], unless ctx was canceled (it wraps [context.Canceled]; whether the request arrived is then
// unknown) or the client is closed ([ErrClosed]). An answer with any status line is not an error.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = c.o.Timeout
	}
	a := &attempt{start: time.Now()}
	a.deadline = a.start.Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(a.deadline) {
		a.deadline = d
	}
	target, err := c.target(r.Tenant, r.URL)
	if err != nil {
		return Response{}, &Error{Kind: KindBlocked, Err: err, ByForm: true}
	}
	transport, err := c.transport(r.Tenant, r.TLS)
	if err != nil {
		if errors.Is(err, ErrClosed) {
			return Response{}, err
		}
		return Response{}, &Error{Kind: KindTLS, Err: err}
	}
	a.trace = httptrace.ClientTrace{GotConn: a.gotConn, GotFirstResponseByte: a.gotFirstByte}
	outer := ctx
	ctx, cancel := context.WithDeadline(httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), &a.trace),
		a.deadline)
	defer cancel()

	a.body.Reset(r.Body)
	req := target.request.WithContext(ctx)
	// a body that net/http knows goes out with the headers in one write
	req.Header, req.Body, req.ContentLength = onWire(r.Header), io.NopCloser(&a.body), int64(len(r.Body))
	// Used by net/http only when the receiver cannot have seen anything of the first try.
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
	if len(r.Body) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return a.response(), a.failure(outer, ctx, err)
	}
	out := a.response()
	out.Status, out.Proto, out.Header = answer.StatusCode, answer.Proto, answer.Header
	out.Body, out.BodyTruncated, err = c.readBody(answer.Body)
	if err != nil {
		out.BodyErr = a.failure(outer, ctx, err)
	}
	out.Timings.Total = time.Since(a.start)
	return out, nil
}

// readBody reads what fits. It reads to the end where it can, so that the connection can be used again.
func (c *Client) readBody(body io.ReadCloser) ([]byte, bool, error) {
	defer body.Close()
	buffer := c.bodies.Get().(*[]byte)
	defer c.bodies.Put(buffer)
	n := 0
	var err error
	for n < len(*buffer) && err == nil {
		var m int
		m, err = body.Read((*buffer)[n:])
		n += m
	}
	if err == io.EOF {
		err = nil
	}
	return excerpt((*buffer)[:min(n, c.o.MaxBodyBytes)]), n > c.o.MaxBodyBytes, err
}

// excerpt copies what goes out, because the buffer is used again.
func excerpt(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
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

func (a *attempt) response() Response {
	out := Response{Timings: Timings{FirstByte: time.Duration(a.firstByte.Load()), Total: time.Since(a.start),
		Reused: a.reused}}
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

// leaveToResend are the headers that net/http takes as leave to send a POST again by itself.
var leaveToResend = [...]string{"Idempotency-Key", "X-Idempotency-Key"}

// onWire returns the header to send: those two names in another letter case, which means the same to the receiver.
func onWire(h http.Header) http.Header {
	if h == nil {
		return http.Header{}
	}
	copied := false
	for _, name := range leaveToResend {
		values, ok := h[name]
		if !ok {
			continue
		}
		if !copied {
			h, copied = h.Clone(), true
		}
		delete(h, name)
		h[strings.ToLower(name)] = values
	}
	return h
}
