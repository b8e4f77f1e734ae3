package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// DefaultRetryAfter is what a sender is asked to wait while another request of the same event is being handled.
const DefaultRetryAfter = 2 * time.Second

// Options configure [Handler]. One of Secrets, Lookup and PublicKeys is required; zero values of the others mean the
// defaults.
type Options struct {
	Secrets []Secret // every live secret of the endpoint
	// Lookup finds the secrets at each request instead, for rotation without a restart or several endpoints.
	Lookup func(*http.Request) ([]Secret, error)
	// PublicKeys are the gateway's, of which a v1a signature is then accepted for the events of MerchantID: see
	// [WithPublicKeys].
	PublicKeys []PublicKey
	MerchantID string

	Tolerance  time.Duration // of webhook-timestamp, either way; DefaultTolerance
	MaxBody    int64         // bytes; MaxBatchBytes
	Guard      Guard         // a MemoryGuard with its defaults
	RetryAfter time.Duration // DefaultRetryAfter; sent in whole seconds, rounded up

	Allow []netip.Prefix // the gateway's egress addresses; empty allows every source
	Limit RateLimit      // per source; none
	// Source tells the address of the sender behind a trusted proxy. By default it is the one that connected.
	Source func(*http.Request) netip.Addr

	Logger *slog.Logger // refused requests at Warn, faults of the guard or Lookup at Error; by default nowhere
	Now    func() time.Time
}

type receiver struct {
	opts  Options
	next  http.Handler
	limit *limiter
}

type (
	eventKey   struct{}
	messageKey struct{}
)

// Handler verifies webhook requests and hands each event that was not handled before to next, with [FromContext] and a
// body that holds the event's bytes. The members of a batch come one by one, as if each had been sent alone.
//
// next says with its status whether it handled the event: a 2xx commits the event to the guard, everything else, and a
// panic, releases it so that the gateway's retry is handled anew. The answer is held back until the guard knows; when
// the guard cannot commit, the event was handled all the same, and next's answer is given so that it does not come
// again. Answers of its own: 200 for what was handled before; 503 with Retry-After while another request handles it,
// while the guard does not answer, and when the request's context ended before next ran; 400 for a malformed request;
// 401 for a missing, wrong or stale signature; 403 for a source not allowed; 405 for another method than POST; 413 for
// too large a body; 429 with Retry-After above the limit; 500 when Lookup failed. A batch is answered 200 when every
// event is handled, otherwise with next's first failure, where it stops; what it has handled stays so.
func Handler(next http.Handler, o Options) (http.Handler, error) {
	if next == nil {
		return nil, errors.New("webhook: handler: next is nil")
	}
	if len(o.PublicKeys) > 0 && o.MerchantID == "" {
		return nil, errors.New("webhook: handler: PublicKeys need a MerchantID, for they sign the events of every merchant")
	}
	if o.Lookup == nil {
		secrets, err := usable(o.Secrets)
		if err != nil && len(o.PublicKeys) == 0 {
			return nil, err
		}
		o.Lookup = func(*http.Request) ([]Secret, error) { return secrets, nil }
	}
	rate := o.Limit.PerSecond
	if o.Tolerance < 0 || o.MaxBody < 0 || o.RetryAfter < 0 || o.Limit.Burst < 0 || rate < 0 || math.IsNaN(rate) ||
		math.IsInf(rate, 0) {
		return nil, errors.New("webhook: handler: an option is negative or not a number")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tolerance == 0 {
		o.Tolerance = DefaultTolerance
	}
	if o.MaxBody == 0 {
		o.MaxBody = MaxBatchBytes
	}
	if o.RetryAfter == 0 {
		o.RetryAfter = DefaultRetryAfter
	}
	if o.Guard == nil {
		guard, err := NewMemoryGuard(GuardOptions{Now: o.Now})
		if err != nil {
			return nil, err
		}
		o.Guard = guard
	}
	if o.Source == nil {
		o.Source = remoteAddr
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &receiver{opts: o, next: next, limit: newLimiter(o.Limit, o.Now)}, nil
}

// FromContext returns the event that [Handler] verified.
func FromContext(ctx context.Context) (Event, bool) {
	e, ok := ctx.Value(eventKey{}).(Event)
	return e, ok
}

// MessageFromContext returns the whole verified request that the event of [FromContext] came in.
func MessageFromContext(ctx context.Context) (Message, bool) {
	m, ok := ctx.Value(messageKey{}).(Message)
	return m, ok
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !rc.admit(w, r) {
		return
	}
	m, ok := rc.verify(w, r)
	if !ok {
		return
	}
	ctx := context.WithValue(r.Context(), messageKey{}, m)
	busy := false
	for i, e := range m.Events {
		if ctx.Err() != nil { // the sender hung up or a deadline passed: an answer that is still read must not be a 2xx
			retryLater(w, http.StatusServiceUnavailable, "the request was given up", rc.opts.RetryAfter)
			return
		}
		claim, err := rc.opts.Guard.Claim(ctx, e.ID)
		if err != nil {
			rc.opts.Logger.ErrorContext(ctx, "webhook.guard_failed", "event_id", e.ID, "step", "claim", "error", err)
			retryLater(w, http.StatusServiceUnavailable, "replay guard unavailable", rc.opts.RetryAfter)
			return
		}
		switch claim.State {
		case ClaimDone:
			continue
		case ClaimBusy:
			busy = true
			continue
		}
		answer := rc.handle(r.WithContext(context.WithValue(ctx, eventKey{}, e)), claim, m.bodies[i])
		if !m.Batch || !answer.ok() {
			answer.copyTo(w)
			return
		}
	}
	if busy {
		retryLater(w, http.StatusServiceUnavailable, "being handled by another request", rc.opts.RetryAfter)
		return
	}
	w.WriteHeader(http.StatusOK)
}

// admit checks what can be checked before reading a byte of the body.
func (rc *receiver) admit(w http.ResponseWriter, r *http.Request) bool {
	source := rc.opts.Source(r).Unmap()
	if len(rc.opts.Allow) > 0 && !contains(rc.opts.Allow, source) {
		rc.refuse(w, r, http.StatusForbidden, "source not allowed", nil)
		return false
	}
	if wait := rc.limit.take(source); wait > 0 {
		retryLater(w, http.StatusTooManyRequests, "too many requests", wait)
		return false
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		rc.refuse(w, r, http.StatusMethodNotAllowed, "only POST is accepted", nil)
		return false
	}
	return true
}

func (rc *receiver) verify(w http.ResponseWriter, r *http.Request) (Message, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, rc.opts.MaxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			rc.refuse(w, r, http.StatusRequestEntityTooLarge, "body too large", err)
		} else {
			rc.refuse(w, r, http.StatusBadRequest, "body could not be read", err)
		}
		return Message{}, false
	}
	secrets, err := rc.opts.Lookup(r)
	if err == nil && len(rc.opts.PublicKeys) == 0 {
		_, err = usable(secrets)
	}
	if err != nil {
		rc.opts.Logger.ErrorContext(r.Context(), "webhook.secrets_failed", "error", err)
		http.Error(w, "secrets unavailable", http.StatusInternalServerError)
		return Message{}, false
	}
	m, err := VerifyMessage(r.Header, body, secrets, WithTolerance(rc.opts.Tolerance), WithNow(rc.opts.Now),
		WithPublicKeys(rc.opts.MerchantID, rc.opts.PublicKeys...))
	switch {
	case err == nil:
		return m, true
	case errors.Is(err, ErrMalformed), errors.Is(err, ErrIDMismatch):
		rc.refuse(w, r, http.StatusBadRequest, "malformed webhook request", err)
	default:
		rc.refuse(w, r, http.StatusUnauthorized, "signature not accepted", err)
	}
	return Message{}, false
}

// handle runs next on one claimed event and settles the claim, also when next panics. Settling outlives the request: a
// sender that hung up must not leave the claim behind.
func (rc *receiver) handle(r *http.Request, claim Claim, body []byte) *answer {
	a := &answer{header: http.Header{}}
	ctx := context.WithoutCancel(r.Context())
	handled := false
	defer func() {
		step, settle := "release", rc.opts.Guard.Release
		if handled {
			step, settle = "commit", rc.opts.Guard.Commit
		}
		if err := settle(ctx, claim); err != nil {
			rc.opts.Logger.ErrorContext(ctx, "webhook.guard_failed", "event_id", claim.ID, "step", step, "error", err)
		}
	}()
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	rc.next.ServeHTTP(a, r)
	handled = a.ok()
	return a
}

func (rc *receiver) refuse(w http.ResponseWriter, r *http.Request, status int, text string, err error) {
	rc.opts.Logger.WarnContext(r.Context(), "webhook.refused", "status", status, "reason", text, "source",
		rc.opts.Source(r).String(), "error", err)
	http.Error(w, text, status)
}

func retryLater(w http.ResponseWriter, status int, text string, wait time.Duration) {
	seconds := max((wait+time.Second-1)/time.Second, 1)
	w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	http.Error(w, text, status)
}

// answer holds back what next says until the guard has recorded it.
type answer struct {
	header http.Header
	status int
	sent   http.Header // the header as it was when the status was written
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 { // 1xx are not the answer
		a.status, a.sent = status, a.header.Clone()
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) ok() bool { return a.status == 0 || a.status < 300 }

func (a *answer) copyTo(w http.ResponseWriter) {
	a.WriteHeader(http.StatusOK)
	maps.Copy(w.Header(), a.sent)
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes())
}
