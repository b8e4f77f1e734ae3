package answer

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
)

// Class says what an answer means. It is the label of the metrics and what merchants see as last_class.
type Class string

// The classes.
const (
	Delivered    Class = "delivered"     // 2xx
	Redirected   Class = "redirected"    // 3xx, which is never followed
	AuthRejected Class = "auth_rejected" // 401, 403, 407
	Rejected     Class = "rejected"      // any other 4xx
	Gone         Class = "gone"          // 410
	Throttled    Class = "throttled"     // 429, and 503 with Retry-After
	ServerError  Class = "server_error"  // 5xx, and what is not a status
	Timeout      Class = "timeout"       // no answer in time
	Connect      Class = "connect"       // no connection
	DNS          Class = "dns"           // no address
	Reset        Class = "reset"         // the connection broke off
	Protocol     Class = "protocol"      // what came back is not HTTP
	TLS          Class = "tls"           // no secure connection
	Blocked      Class = "blocked"       // the address may not be sent to
)

// Classes lists every class, in the order of the table.
func Classes() []Class {
	return []Class{
		Delivered, Redirected, AuthRejected, Rejected, Gone, Throttled, ServerError, Timeout, Connect, DNS, Reset, Protocol,
		TLS, Blocked,
	}
}

// Action is what follows from a verdict.
type Action string

// Done ends the delivery well, Retry spends an attempt and tries again, Die ends the delivery.
const (
	Done  Action = "delivered"
	Retry Action = "retry"
	Die   Action = "dead"
)

// Caps on what a receiver may ask for with Retry-After.
const (
	MaxRetryAfter = 24 * time.Hour // for the delivery that was answered
	MaxGate       = time.Hour      // for all others of the endpoint: one delivery must not silence it for a day
)

// Verdict is what an answer, or the lack of one, means.
type Verdict struct {
	Class  Class
	Action Action
	// RetryAfter is the least delay that the receiver asked for, at most MaxRetryAfter; 0 when it asked for none.
	RetryAfter time.Duration
	// DisableEndpoint is set when the receiver said that nothing will ever be there again.
	DisableEndpoint bool
	// SplitsBatch is set when the receiver cannot take this body, but perhaps the events of a batch one by one: any 4xx
	// that is not about who asks, how often, how slowly, or whether anything is there at all.
	SplitsBatch bool
}

// Gate is how long nothing may be sent to the endpoint at all.
func (v Verdict) Gate() time.Duration { return min(v.RetryAfter, MaxGate) }

// kinds is the half of the table for requests that got no answer.
var kinds = map[egress.Kind]Class{
	egress.KindTimeout: Timeout, egress.KindConnect: Connect, egress.KindDNS: DNS, egress.KindReset: Reset,
	egress.KindProtocol: Protocol, egress.KindTLS: TLS, egress.KindBlocked: Blocked,
}

// Judge is the one table from an answer to its meaning. status is that of the answer, 0 when there was none; the status
// line is the verdict even if err tells of a body that broke off. retryAfter is the header as received, now what its
// dates are compared with. An error that is not an [*egress.Error] counts as a protocol failure.
func Judge(status int, retryAfter string, err error, now time.Time) Verdict {
	if status == 0 {
		return judgeFailure(err)
	}
	asked, hasRetryAfter := parseRetryAfter(retryAfter, now)
	switch {
	case status >= 200 && status <= 299:
		return Verdict{Class: Delivered, Action: Done}
	case status >= 300 && status <= 399:
		return Verdict{Class: Redirected, Action: Retry}
	case status == http.StatusGone:
		return Verdict{Class: Gone, Action: Die, DisableEndpoint: true}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && hasRetryAfter:
		return Verdict{Class: Throttled, Action: Retry, RetryAfter: asked}
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return Verdict{Class: AuthRejected, Action: Retry}
	case status >= 400 && status <= 499:
		return Verdict{Class: Rejected, Action: Retry, SplitsBatch: status != http.StatusRequestTimeout}
	}
	return Verdict{Class: ServerError, Action: Retry}
}

func judgeFailure(err error) Verdict {
	var e *egress.Error
	if !errors.As(err, &e) {
		return Verdict{Class: Protocol, Action: Retry}
	}
	class, ok := kinds[e.Kind]
	if !ok {
		class = Protocol
	}
	if class == Blocked && e.ByForm { // nothing that a resolver says can change it
		return Verdict{Class: Blocked, Action: Die}
	}
	return Verdict{Class: class, Action: Retry}
}

// parseRetryAfter reads a Retry-After header, whole seconds or an HTTP date, as a delay from now of 0 to
// [MaxRetryAfter]. It reports false for anything else.
func parseRetryAfter(header string, now time.Time) (time.Duration, bool) {
	header = strings.Trim(header, " \t")
	if header == "" {
		return 0, false
	}
	if strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil || seconds > int64(MaxRetryAfter/time.Second) { // too large a number is a long time
			return MaxRetryAfter, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(header)
	if err != nil {
		return 0, false
	}
	if !date.After(now) {
		return 0, true
	}
	if date.After(now.Add(MaxRetryAfter)) {
		return MaxRetryAfter, true
	}
	return date.Sub(now), true
}
