package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// largestAnswer bounds what is read of an answer, in bytes: a page of 100 events has at most 6.4 MiB.
const largestAnswer = 16 << 20

// request is one operation, however often it is sent.
type request struct {
	method, path string
	header       http.Header
	body         []byte
	into         *Answer
}

// request prepares an operation: the options win over what is set here.
func (c *Client) request(method, path string, query url.Values, body any, options []Option) (*request, error) {
	r := &request{method: method, path: path, header: http.Header{
		"Authorization": {"Bearer " + c.key}, "User-Agent": {c.agent}, "Accept": {"application/json"},
	}}
	if len(query) > 0 {
		r.path += "?" + query.Encode()
	}
	if body != nil {
		var err error
		if r.body, err = json.Marshal(body); err != nil {
			return nil, err
		}
		r.header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		r.header.Set("Idempotency-Key", "go-"+rand.Text())
	}
	for _, o := range options {
		o(r)
	}
	return r, nil
}

// again reports whether a request may be sent again when it is not known whether it was carried out.
func (r *request) again() bool {
	return r.method == http.MethodGet || r.header.Get("Idempotency-Key") != ""
}

// call is one operation with a JSON answer.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any,
	options []Option) (T, error) {
	var out T
	r, err := c.request(method, path, query, body, options)
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", method, path, err)
	}
	var a Answer
	err = c.insist(ctx, r, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		res, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		a, err = take(res)
		if err == nil && a.Status >= 300 {
			err = problemOf(a.Status, a.Header, a.Body, time.Now())
		}
		return err
	})
	if r.into != nil && a.Status != 0 {
		*r.into = a
	}
	if err == nil && a.Status != http.StatusNoContent {
		if kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")); kind != "application/json" {
			return out, fmt.Errorf("%s %s: answered %d with %q, which is not the gateway's JSON", method, path, a.Status, kind)
		}
		err = json.Unmarshal(a.Body, &out)
	}
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return out, nil
}

// send sends a request once.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header = r.header.Clone()
	res, err := c.http.Do(req)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // the caller names method and path
	}
	return res, err
}

// take reads an answer to its end.
func take(res *http.Response) (Answer, error) {
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, largestAnswer+1))
	if err == nil && len(body) > largestAnswer {
		err = fmt.Errorf("the answer is larger than %d MiB", largestAnswer>>20)
	}
	if err != nil {
		return Answer{}, err
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// insist tries until it succeeds, further tries are of no use or not safe, or ctx would end before the next one.
func (c *Client) insist(ctx context.Context, r *request, try func(context.Context) error) error {
	for n := 0; ; n++ {
		err := try(ctx)
		if err == nil || n == c.retries || ctx.Err() != nil {
			return err
		}
		wait, ok := pause(r, err, n)
		if end, bounded := ctx.Deadline(); !ok || bounded && time.Until(end) < wait {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// pause decides whether a request that failed is sent again, and after how long. What was turned away unread may always
// be; what may have been carried out only if doing it twice is doing it once.
func pause(r *request, err error, n int) (time.Duration, bool) {
	wait := min(firstWait<<n, longestBackoff)
	wait = wait/2 + mathrand.N(wait) // ± half, so that many callers do not come back at once
	var p *Problem
	if !errors.As(err, &p) {
		return wait, r.again()
	}
	switch p.Status {
	case http.StatusTooManyRequests:
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		if !r.again() {
			return 0, false
		}
	case http.StatusConflict:
		if p.Code != "idempotency_in_progress" {
			return 0, false
		}
	default:
		return 0, false
	}
	return max(wait, p.RetryAfter), p.RetryAfter <= longestWait
}

// addParam adds an optional parameter to a query.
func addParam[T any](q url.Values, name string, value *T) {
	if value == nil {
		return
	}
	if t, ok := any(*value).(time.Time); ok {
		q.Set(name, t.UTC().Format(time.RFC3339Nano))
		return
	}
	q.Set(name, fmt.Sprint(*value))
}
