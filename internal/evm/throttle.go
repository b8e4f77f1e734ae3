package evm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/rpc"
)

const (
	// shortPause is how long a question waits for a provider that asked for a pause; a longer pause fails it.
	shortPause = 2 * time.Second
	// firstPause follows a 429 without Retry-After; it doubles up to maxPause.
	firstPause = time.Second
	maxPause   = time.Minute
	// maxRetryAfter bounds what a provider can ask for.
	maxRetryAfter = time.Hour
)

// throttledError says that a provider has asked to be left alone.
type throttledError struct {
	until time.Time
	err   error // what it answered; nil when it was not asked
}

func (e *throttledError) Error() string { return e.words() }

func (e *throttledError) words() string {
	return fmt.Sprintf("the provider limits our calls and is not asked before %s UTC (lower rpc_rate in the chains file, "+
		"or take a plan with a higher limit)", e.until.UTC().Format(time.TimeOnly))
}

func (e *throttledError) Unwrap() error { return e.err }

// rateLimited reports whether an error says that we ask too often.
func rateLimited(err error) bool {
	var status rpc.HTTPError
	if errors.As(err, &status) {
		return status.StatusCode == http.StatusTooManyRequests
	}
	var e rpc.Error
	if !errors.As(err, &e) {
		return false
	}
	if e.ErrorCode() == http.StatusTooManyRequests {
		return true
	}
	text := strings.ToLower(e.Error())
	for _, words := range []string{
		"rate limit", "rate-limit", "ratelimit", "rate exceeded", "too many requests", "request limit", "requests per second",
		"per second", "request count exceeded", "compute units", "credits", "quota", "throttl", "over capacity",
	} {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}

// heed turns an error that says that we ask too often into a [throttledError], and remembers the pause.
func (pr *provider) heed(err error) error {
	if err == nil || !rateLimited(err) {
		return err
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	now := pr.now()
	if !now.Before(pr.pausedUntil) { // the transport has not seen a Retry-After
		pr.pause(now, min(firstPause<<min(pr.pauses, 8), maxPause))
	}
	return &throttledError{until: pr.pausedUntil, err: err}
}

// pause lets nobody ask the provider for a while, and a little longer, so that processes do not come back at once.
func (pr *provider) pause(now time.Time, d time.Duration) {
	pr.pauses++
	pr.pausedUntil = now.Add(d + rand.N(d/5+1))
}

// retryAfter reads the header of an answer that turned a request away, in both its forms: seconds, or a date.
func (pr *provider) retryAfter(res *http.Response) {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return
	}
	now := pr.now()
	var d time.Duration
	header := strings.TrimSpace(res.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds > 0 {
		d = time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	} else if at, err := http.ParseTime(header); err == nil {
		d = min(at.Sub(now), maxRetryAfter)
	}
	if d <= 0 {
		return
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.pause(now, d)
}

// paused is the time before which the provider must not be asked, zero when it may be.
func (pr *provider) paused(now time.Time) time.Time {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if now.Before(pr.pausedUntil) {
		return pr.pausedUntil
	}
	return time.Time{}
}

// awaitPause waits out a short pause; a longer one is an error.
func (pr *provider) awaitPause(ctx context.Context) error {
	now := pr.now()
	until := pr.paused(now)
	if until.IsZero() {
		return nil
	}
	if until.Sub(now) > shortPause {
		return &throttledError{until: until}
	}
	return sleep(ctx, until.Sub(now))
}

// pacer spaces the calls to a provider. What was not used for a second may be used at once.
type pacer struct {
	perSecond float64 // 0 for no limit

	mu   sync.Mutex
	next time.Time // when the calls made so far are paid for
}

// wait returns when n more calls may be made.
func (p *pacer) wait(ctx context.Context, n int) error {
	if p.perSecond <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if earliest := now.Add(-time.Second); p.next.Before(earliest) {
		p.next = earliest
	}
	p.next = p.next.Add(time.Duration(float64(n) / p.perSecond * float64(time.Second)))
	d := p.next.Sub(now)
	p.mu.Unlock()
	return sleep(ctx, d)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
