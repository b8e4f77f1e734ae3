package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/models"
)

// requestContext is what the middleware has learned of a request. The generated handlers are given nothing but a
// context, so it travels there, from [handlers.authenticate] to [callerOf], and nowhere else.
type requestContext struct {
	merchant         models.Merchant
	key              models.APIKey
	ip, method, path string
	bodyHash         string        // hex SHA-256 of the body as received and of what the key may do
	csv              bool          // the answer is wanted as CSV where there is one
	share            *limits.Share // of the database, while the request uses it
}

type requestContextKey struct{}

// callerOf returns the requestContext of an authenticated request.
func callerOf(ctx context.Context) requestContext {
	return ctx.Value(requestContextKey{}).(requestContext)
}

// actor is who asks, for the audit log.
func (x requestContext) actor() models.Actor { return models.Actor{Name: "key:" + x.key.ID, IP: x.ip} }

// authenticate stands before every operation: a live key, its scopes, and its rate.
func (h *handlers) authenticate(scopes []string) []echo.MiddlewareFunc {
	if forOperator(scopes) {
		return []echo.MiddlewareFunc{h.authenticateOperator(scopes)}
	}
	return []echo.MiddlewareFunc{func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			presented, ok := bearer(r.Header)
			if !ok {
				h.metrics.AuthFailure()
				return NewProblem(CodeUnauthorized, "Send the API key as `Authorization: Bearer ck_…`.")
			}
			key, merchant, err := h.access.Authenticate(r.Context(), presented)
			if errors.Is(err, access.ErrUnauthenticated) {
				h.metrics.AuthFailure()
				return NewProblem(CodeUnauthorized, "The API key is unknown, expired or revoked.").Because(err)
			} else if err != nil {
				return err
			}
			c.Set(merchantKey, merchant.ID)
			c.Set(apiKeyKey, key.ID)
			left := h.limiter.take(key.ID, merchant.RatePerSecond)
			all := h.merchants.Take(r.Context(), merchant)
			if all.Wait == 0 && all.Left < left.remaining {
				left.remaining = all.Left
			}
			left.setHeaders(c.Response().Header())
			if all.Wait > 0 {
				return NewProblem(CodeRateLimited, "The keys and sessions of this merchant have made too many requests.").
					RetryAfter(all.Wait)
			}
			if left.wait > 0 {
				return NewProblem(CodeRateLimited, "This API key has made too many requests.").RetryAfter(left.wait)
			}
			for _, s := range scopes {
				if !key.Allows(models.Scope(s)) {
					return NewProblem(CodeInsufficientScope, "This request needs the scope "+s+".")
				}
			}
			x := requestContext{merchant: merchant, key: key, ip: c.RealIP(), method: r.Method, path: r.URL.Path,
				csv: wantsCSV(r.Header.Get("Accept"))}
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestContextKey{}, x)))
			return next(c)
		}
	}}
}

// sharePatience is how long a request waits for others of its merchant.
const sharePatience = 10 * time.Second

// shared takes the merchant's share of the database when the request has come whole, and gives it back before the first
// byte of the answer: whoever sends slowly, or reads slowly, holds none meanwhile. The operator's routes need none.
func (h *handlers) shared(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		x, ok := r.Context().Value(requestContextKey{}).(requestContext)
		if !ok {
			return next(c)
		}
		var err error
		if x.share, err = h.share(r.Context(), x.merchant); err != nil {
			return err
		}
		defer x.share.Leave()
		c.Response().Before(x.share.Leave)
		c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestContextKey{}, x)))
		return next(c)
	}
}

// share takes a merchant's share of the database for a request, and waits for it a while.
func (h *handlers) share(ctx context.Context, m models.Merchant) (*limits.Share, error) {
	waiting, cancel := context.WithTimeout(ctx, sharePatience)
	defer cancel()
	x, err := h.shares.Take(waiting, m.ID)
	if err != nil && ctx.Err() == nil {
		return nil, NewProblem(CodeRateLimited, "As many requests of this merchant as are answered at once are being "+
			"answered.").RetryAfter(time.Second).Because(err)
	}
	return x, err
}

// bearer is what a request presents; the scheme may be in any case (RFC 9110).
func bearer(h http.Header) (string, bool) {
	scheme, token, ok := strings.Cut(h.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// hashBody notes the hash of the body and of what the key may do, which tells two requests with one Idempotency-Key
// apart: a key is never answered what only another one may ask for.
func hashBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !slices.Contains([]string{"POST", "PATCH", "PUT"}, r.Method) {
			return next(c)
		}
		body, err := openapi.ReadBody(r)
		if err != nil {
			return err
		}
		if x, ok := r.Context().Value(requestContextKey{}).(requestContext); ok {
			sum := sha256.Sum256(fmt.Appendf(body[:len(body):len(body)], "\x00%v %v", x.key.Test, x.key.Scopes))
			x.bodyHash = hex.EncodeToString(sum[:])
			r = r.WithContext(context.WithValue(r.Context(), requestContextKey{}, x))
		}
		c.SetRequest(r)
		return next(c)
	}
}

// limiter gives each API key a bucket. Buckets that are full again are forgotten.
type limiter struct {
	rate  rate.Limit
	burst int
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	swept   time.Time
}

// sweepBuckets is how often full buckets are dropped.
const sweepBuckets = time.Minute

func newLimiter(perSecond float64, burst int, now func() time.Time) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, now: now, buckets: make(map[string]*rate.Limiter)}
}

// quota is what a key has left.
type quota struct {
	limit, remaining int           // requests at once
	full             time.Duration // until all of limit is there again
	wait             time.Duration // before the next request; 0 when this one may go on
}

// setHeaders tells the caller, in the words of the IETF's draft on RateLimit headers.
func (q quota) setHeaders(h http.Header) {
	h.Set("RateLimit-Limit", strconv.Itoa(q.limit))
	h.Set("RateLimit-Remaining", strconv.Itoa(q.remaining))
	h.Set("RateLimit-Reset", strconv.Itoa(int(math.Ceil(q.full.Seconds()))))
}

// take takes one request out of a key's bucket, or says how long to wait. own is the merchant's limit, if it has one.
func (l *limiter) take(keyID string, own *int) quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.swept) > sweepBuckets {
		for id, b := range l.buckets {
			if b.TokensAt(now) >= float64(b.Burst()) {
				delete(l.buckets, id)
			}
		}
		l.swept = now
	}
	perSecond, burst := l.rate, l.burst
	if own != nil { // with as much at once in proportion
		perSecond = rate.Limit(*own)
		burst = max(1, int(float64(perSecond)*float64(l.burst)/float64(l.rate)))
	}
	b, ok := l.buckets[keyID]
	if !ok {
		b = rate.NewLimiter(perSecond, burst)
		l.buckets[keyID] = b
	} else if b.Limit() != perSecond || b.Burst() != burst { // the operator has changed it
		b.SetLimitAt(now, perSecond)
		b.SetBurstAt(now, burst)
	}
	q := quota{limit: b.Burst()}
	reservation := b.ReserveN(now, 1)
	if q.wait = reservation.DelayFrom(now); q.wait > 0 {
		reservation.CancelAt(now)
	}
	tokens := max(b.TokensAt(now), 0)
	q.remaining = int(tokens)
	q.full = time.Duration((float64(q.limit) - tokens) / float64(b.Limit()) * float64(time.Second))
	return q
}
