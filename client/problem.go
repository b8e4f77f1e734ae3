package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an answer that is not a success: an RFC 9457 document. Get at it with errors.As.
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Code is the kind of problem for programs, such as not_found or order_id_taken; it never changes. It is empty when
	// what answered was not the gateway but something in front of it.
	Code string `json:"code"`
	// Detail says what happened this time.
	Detail string `json:"detail"`
	// RequestID finds the request in the gateway's log.
	RequestID string `json:"request_id"`
	// PaymentID, ReplayID and EndpointID are what stands in the way: the payment that has the order_id, the replay that is
	// running, the endpoint that the operator paused. They are empty for other problems.
	PaymentID  string `json:"payment_id"`
	ReplayID   string `json:"replay_id"`
	EndpointID string `json:"endpoint_id"`
	// Errors are all faulty fields.
	Errors []FieldError `json:"errors"`
	// RetryAfter is how long the gateway asks to wait, 0 when it does not say.
	RetryAfter time.Duration `json:"-"`
}

// FieldError is one faulty field of a request.
type FieldError struct {
	// Field is its path in the body (metadata.cart, events[1]), or the name of a parameter or header.
	Field   string `json:"field"`
	Message string `json:"message"`
	Example string `json:"example"` // a good value, where there is one
}

// Error is one line: the code, what happened, every faulty field, and the request id.
func (p *Problem) Error() string {
	var b strings.Builder
	kind := p.Code
	if kind == "" {
		kind = strconv.Itoa(p.Status)
	}
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	fmt.Fprintf(&b, "%s: %s", kind, text)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, " %s %s;", e.Field, e.Message)
	}
	out := strings.TrimSuffix(b.String(), ";")
	if p.RequestID != "" {
		out += " (" + p.RequestID + ")"
	}
	return out
}

// excerpt is how much of a foreign answer a problem shows, in bytes.
const excerpt = 200

// problemOf reads a problem document, or describes an answer that is none.
func problemOf(status int, h http.Header, body []byte, now time.Time) *Problem {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		text := strings.ToValidUTF8(strings.Join(strings.Fields(string(body[:min(len(body), excerpt)])), " "), "")
		p = &Problem{Title: http.StatusText(status), Detail: "what answered is not the gateway: " + text}
	}
	p.Status = status
	if p.RequestID == "" {
		p.RequestID = h.Get("X-Request-Id")
	}
	p.RetryAfter = retryAfter(h.Get("Retry-After"), now)
	return p
}

// retryAfter reads seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 1<<31 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}
