package admin

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

const (
	// pollInterval is how often the API is asked for new events. While it does not answer, the wait grows from minBackoff
	// to maxBackoff.
	pollInterval = 500 * time.Millisecond
	minBackoff   = time.Second
	maxBackoff   = 10 * time.Second
	// forwardTimeout is how long the receiver may take: as long as an endpoint's greatest timeout.
	forwardTimeout = 30 * time.Second
	// forwardRetry is the wait after the first failed try; it doubles.
	forwardRetry = time.Second
	eventPage    = 100
)

// ListenOptions say what to forward, and to whom.
type ListenOptions struct {
	API *client.Client // as the merchant
	// URL is the receiver's.
	URL string
	// AllowRemote lets it be on another machine.
	AllowRemote bool
	// Patterns are the event types, payment.* or *, that are forwarded.
	Patterns []string
	Secret   webhook.Secret
	// After is the event to begin behind; Since a time to begin at. Without either only what happens from now on counts.
	After string
	Since time.Time
	// Attempts is how often an event is tried at most.
	Attempts int
	Now      func() time.Time
	// OnStart is called when it is known where to begin: nothing that happens afterwards is missed. OnAttempt is called
	// after every try, OnUnavailable whenever the API did not answer.
	OnStart       func() error
	OnAttempt     func(Forwarded)
	OnUnavailable func(error)
}

// Forwarded is one try to hand an event to the receiver.
type Forwarded struct {
	EventID string            `json:"event_id"`
	Type    webhook.EventType `json:"type"`
	Attempt int               `json:"attempt"`
	OK      bool              `json:"ok"`     // a status of 200 to 299
	Status  int               `json:"status"` // 0 when nothing came back
	Error   string            `json:"error"`
	Millis  int64             `json:"duration_ms"`
	// RetryIn is how long until the next try; 0 after the last one.
	RetryIn time.Duration `json:"-"`
}

// Listener tails a merchant's events and POSTs each to a receiver as the gateway would: the stored bytes, both
// signatures, a fresh timestamp, the event's id. It keeps no state: where it begins is said each time.
type Listener struct {
	o    ListenOptions
	http *http.Client
}

// NewListener checks the options. A receiver on another machine needs AllowRemote, because events tell of payments, and
// the secret of a listener is made for trying things out.
func NewListener(o ListenOptions) (*Listener, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is not an http or https URL", o.URL)
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if !o.AllowRemote && host != "localhost" && !strings.HasSuffix(host, ".localhost") && !isLoopback(host) {
		return nil, fmt.Errorf("%s is not on this machine", u.Host)
	}
	for _, p := range o.Patterns {
		if !webhook.ValidPattern(p) {
			return nil, fmt.Errorf("%q is no event type, nor payment.* or *", p)
		}
	}
	if o.Attempts < 1 {
		return nil, errors.New("an event is tried once at least")
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !o.AllowRemote {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if host, _, err := net.SplitHostPort(address); err != nil || !isLoopback(host) {
				return fmt.Errorf("%s is not on this machine", address)
			}
			return nil
		}
	}
	return &Listener{o: o, http: &http.Client{
		Timeout: forwardTimeout, Transport: &http.Transport{DialContext: dialer.DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Run forwards until ctx ends, and then returns nil. It goes on where it was when the API did not answer, and never
// passes over an event that it has not tried. Whatever the API refuses ends it.
func (l *Listener) Run(ctx context.Context) error {
	defer l.http.CloseIdleConnections()
	after, err := l.begin(ctx)
	if err == nil {
		err = l.o.OnStart()
	}
	for backoff := minBackoff; err == nil; {
		var page client.EventList
		page, err = l.o.API.ListEvents(ctx, client.ListEventsParams{After: &after, Limit: new(eventPage)})
		wait := pollInterval
		switch {
		case err == nil:
			backoff = minBackoff
			for i, body := range page.Data {
				if err = l.deliver(ctx, body, page.Positions[min(i, len(page.Positions)):]); err != nil {
					break
				}
			}
			if page.NextCursor != nil {
				after = *page.NextCursor
			}
			if len(page.Data) == eventPage {
				wait = 0
			}
		case isTemporary(err) && ctx.Err() == nil:
			l.o.OnUnavailable(err)
			err, wait, backoff = nil, backoff, min(2*backoff, maxBackoff)
		}
		if err == nil {
			err = pauseFor(ctx, wait)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// isTemporary reports whether the API may answer when it is asked later.
func isTemporary(err error) bool {
	var p *client.Problem
	return !errors.As(err, &p) || p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests ||
		p.Status == http.StatusRequestTimeout
}

func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// begin finds the event to begin behind: the newest one that is older than what is wanted.
func (l *Listener) begin(ctx context.Context) (string, error) {
	if l.o.After != "" {
		return l.o.After, nil
	}
	params := client.ListEventsParams{}
	if l.o.Since.IsZero() {
		params.Limit = new(1)
	}
	for body, err := range l.o.API.Events(ctx, params) {
		if err != nil {
			return "", err
		}
		e, err := headOf(body)
		if err != nil {
			return "", err
		}
		if l.o.Since.IsZero() || e.CreatedAt.Before(l.o.Since) {
			return e.ID, nil
		}
	}
	return "0", nil // the oldest that is kept
}

// eventHead is what a listener needs of an event.
type eventHead struct {
	ID        string            `json:"id"`
	Type      webhook.EventType `json:"type"`
	CreatedAt time.Time         `json:"created_at"`
	position  string            // as the header tells it
}

func headOf(body []byte) (eventHead, error) {
	var e eventHead
	if err := json.Unmarshal(body, &e); err != nil || !models.IsID(models.PrefixEvent, e.ID) {
		return e, errors.New("the gateway lists something that is no event")
	}
	return e, nil
}

// deliver tries an event, if it is wanted, until the receiver takes it or the attempts are spent.
func (l *Listener) deliver(ctx context.Context, body []byte, positions []int64) error {
	e, err := headOf(body)
	if err != nil {
		return err
	}
	if len(positions) > 0 {
		e.position = webhook.FormatPositions(positions[:1])
	}
	wanted := slices.ContainsFunc(l.o.Patterns, func(p string) bool { return webhook.Matches(p, e.Type) })
	if !wanted || e.CreatedAt.Before(l.o.Since) {
		return nil
	}
	for n, wait := 1, forwardRetry; ; n, wait = n+1, 2*wait {
		f := l.forward(ctx, e, n, body)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !f.OK && n < l.o.Attempts {
			f.RetryIn = wait
		}
		l.o.OnAttempt(f)
		if f.RetryIn == 0 {
			return nil
		}
		if err := pauseFor(ctx, wait); err != nil {
			return err
		}
	}
}

// forward is one try.
func (l *Listener) forward(ctx context.Context, e eventHead, attempt int, body []byte) Forwarded {
	f := Forwarded{EventID: e.ID, Type: e.Type, Attempt: attempt}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.o.URL, bytes.NewReader(body))
	if err != nil {
		f.Error = err.Error()
		return f
	}
	var trace [24]byte
	rand.Read(trace[:])
	began := l.o.Now()
	req.Header = delivery.Call{
		ID: e.ID, Body: body, Attempt: attempt, At: began, Secrets: webhook.Secrets{Current: l.o.Secret},
		Traceparent: "00-" + hex.EncodeToString(trace[:16]) + "-" + hex.EncodeToString(trace[16:]) + "-01",
		Positions:   e.position,
	}.Header()
	res, err := l.http.Do(req)
	f.Millis = l.o.Now().Sub(began).Milliseconds()
	if err != nil {
		f.Error = plainError(err)
		return f
	}
	_ = res.Body.Close() // the status is the verdict
	f.Status, f.OK = res.StatusCode, res.StatusCode/100 == 2
	return f
}

// plainError is a failure without method and URL, which whoever reads it knows.
func plainError(err error) string {
	var failed *url.Error
	if errors.As(err, &failed) {
		if failed.Timeout() {
			return fmt.Sprintf("no answer within %s", forwardTimeout)
		}
		err = failed.Err
	}
	return err.Error()
}
