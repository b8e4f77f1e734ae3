package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// slowWriter is a client that reads nothing of an answer before it is released.
type slowWriter struct {
	*httptest.ResponseRecorder
	once     sync.Once
	answered chan<- struct{}
	release  <-chan struct{}
}

func (w *slowWriter) Write(b []byte) (int, error) {
	w.once.Do(func() {
		w.answered <- struct{}{}
		<-w.release
	})
	return w.ResponseRecorder.Write(b)
}

// slowBody is a body of which the second half comes when it is released.
type slowBody struct {
	once  sync.Once
	asked chan<- struct{}
	rest  io.Reader
}

func (b *slowBody) Read(p []byte) (n int, err error) {
	b.once.Do(func() {
		b.asked <- struct{}{}
		n = copy(p, `{"chain":`)
	})
	if n > 0 {
		return n, nil
	}
	return b.rest.Read(p)
}

// TestSlowClientsHoldNoShare: however many requests of a merchant are half sent, and answers half read, to the API and
// to the portal, another one is answered at once.
func TestSlowClientsHoldNoShare(t *testing.T) {
	shares := limits.NewShares(0)
	var o Options
	c := newCounter(t, storetest.SQLite(t), func(given *Options) {
		given.Limits.Timeout, given.Shares = time.Minute, shares
		o = *given
	})
	mountPages(t, c.Server, o)
	merchant, live := c.merchant(t, "a", false)
	test := c.key(t, merchant, true)
	visitor := signIn(t, c.Server, live)
	for _, slow := range []struct{ name, method, path, kind string }{
		{"bodies", "POST", "/api/v1/payments", "application/json"},
		{"forms", "POST", "/portal/keys", "application/x-www-form-urlencoded"},
		{"lists", "GET", "/api/v1/payments", ""},
		{"exports", "GET", "/api/v1/deliveries", "text/csv"},
		{"problems", "GET", "/api/v1/payments/pay_0k3mzp7t4n9v5w2x8y6b3c1d0e", ""},
		{"pages", "GET", "/portal/payments", ""},
		{"exports of the portal", "GET", "/portal/payments.csv", ""},
	} {
		t.Run(slow.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			reached, release := make(chan struct{}, 100), make(chan struct{})
			pipe, rest := io.Pipe()
			var all sync.WaitGroup
			for range 2 * shares.Part() {
				var body io.Reader = http.NoBody
				if slow.method == "POST" {
					body = &slowBody{asked: reached, rest: pipe}
				}
				r := httptest.NewRequestWithContext(ctx, slow.method, slow.path, body)
				r.Header.Set("Authorization", "Bearer "+test)
				r.Header.Set("Content-Type", slow.kind)
				r.Header.Set("Accept", slow.kind)
				r.Header.Set("Cookie", visitor.cookie)
				r.Header.Set("Sec-Fetch-Site", "same-origin")
				w := &slowWriter{ResponseRecorder: httptest.NewRecorder(), answered: reached, release: release}
				all.Go(func() { c.Server.ServeHTTP(w, r) })
			}
			for range shares.Part() {
				<-reached
			}
			began := time.Now()
			for _, path := range []string{"/api/v1/merchant", "/portal/keys"} {
				w := ask(c, "GET", path, "", "Authorization", "Bearer "+live, "Cookie", visitor.cookie)
				if took := time.Since(began); w.Code != http.StatusOK || took > sharePatience/2 {
					t.Errorf("%s is answered %d after %v: %s", path, w.Code, took, strings.TrimSpace(w.Body.String()))
				}
			}
			cancel()
			close(release)
			_ = rest.CloseWithError(io.ErrUnexpectedEOF)
			all.Wait()
		})
	}
}
