package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
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
	// Tries are the requests that were made, in order, when there was more than one; see [Client.Do].
	Tries []Try
}

// Timings are durations from the start of their own step, except FirstByte and Total, which count from the start of the
// request. DNS, Connect and TLS are 0 on a connection that was used before.
type Timings struct {
	DNS, Connect, TLS, FirstByte, Total time.Duration
	Reused                              bool
}

// Do sends one POST and reads the beginning of its answer, in the time given in all. It follows no redirect.
//
// It sends the request a second time, on a fresh connection, when a kept connection ended before any byte of an answer,
// when the receiver said that it did not look at the first, and over HTTP/1.1 when the receiver asked for that; never
// after a timeout. It opens at most three connections.
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
	a.plain = c.wantHTTP1.has(target.request.URL.Host, a.start)
	pool, err := c.pool(poolKey{r.Tenant, r.TLS.key(), a.plain}, r.TLS)
	if err != nil {
		return Response{}, poolError(err)
	}
	a.trace = httptrace.ClientTrace{GotConn: a.gotConn, GotFirstResponseByte: a.gotFirstByte}
	outer := ctx
	ctx, cancel := context.WithDeadline(httptrace.WithClientTrace(context.WithValue(ctx, attemptKey{}, a), &a.trace),
		a.deadline)
	defer cancel()

	a.body.Reset(r.Body)
	header := onWire(r.Header)
	answer, err := pool.transport(a.start).RoundTrip(a.request(ctx, target, header, r.Body, &a.body))
	if err != nil {
		err = a.failure(outer, ctx, err)
		if again := a.again(err); again != never {
			if again == overHTTP1 {
				c.wantHTTP1.add(target.request.URL.Host, a.start)
			}
			fresh := pool.fresh(a.plain || again == overHTTP1)
			defer fresh.CloseIdleConnections()
			a.nextTry(err)
			if answer, err = fresh.RoundTrip(a.request(ctx, target, header, r.Body, bytes.NewReader(r.Body))); err != nil {
				err = a.failure(outer, ctx, err)
			}
		}
	}
	if err != nil {
		return a.response(err), err
	}
	return c.read(outer, ctx, a, answer)
}

func poolError(err error) error {
	if errors.Is(err, ErrClosed) {
		return err
	}
	return &Error{Kind: KindTLS, Err: err}
}

// read makes a Response of an answer.
func (c *Client) read(outer, ctx context.Context, a *attempt, answer *http.Response) (Response, error) {
	out := a.response(nil)
	out.Status, out.Proto, out.Header = answer.StatusCode, answer.Proto, answer.Header
	var err error
	if out.Body, out.BodyTruncated, err = c.readBody(answer.Body); err != nil {
		out.BodyErr = a.failure(outer, ctx, err)
	}
	out.Timings.Total = time.Since(a.start)
	if c.o.Proxy != nil {
		if err := fromProxy(answer); err != nil {
			out.Status, out.Header, out.Body, out.BodyErr = 0, nil, nil, nil
			return out, &Error{Kind: KindConnect, Err: err}
		}
	}
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
