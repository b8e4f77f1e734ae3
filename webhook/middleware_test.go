package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// eventBody is the body of an event whose id ends in n.
func eventBody(t testing.TB, n int) []byte {
	t.Helper()
	e := sample(webhook.PaymentConfirmed)
	e.ID = id("evt", strconv.Itoa(n))
	b, err := webhook.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is a signed POST at vectorTime.
func request(t testing.TB, webhookID string, body []byte) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/hooks", bytes.NewReader(body))
	webhook.Secrets{Current: secret(t, vectorSecret)}.SetHeaders(r.Header, webhookID, time.Unix(vectorTime, 0), 1, body)
	return r
}

func handler(t testing.TB, next http.HandlerFunc, edit func(*webhook.Options)) http.Handler {
	t.Helper()
	o := webhook.Options{Secrets: []webhook.Secret{secret(t, vectorSecret)}, Now: at(vectorTime)}
	if edit != nil {
		edit(&o)
	}
	h, err := webhook.Handler(next, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandlerPassesTheEvent(t *testing.T) {
	body := eventBody(t, 1)
	calls := 0
	h := handler(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		e, ok := webhook.FromContext(r.Context())
		m, okm := webhook.MessageFromContext(r.Context())
		if !ok || !okm || e.ID != id("evt", "1") || m.ID != e.ID || m.Batch {
			t.Errorf("context holds %+v, %+v", e, m)
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, body) || r.ContentLength != int64(len(body)) {
			t.Errorf("body: %v", err)
		}
		w.Header().Set("X-Shop", "yes")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusInternalServerError)
		w.Header().Set("X-Late", "no")
		io.WriteString(w, "thanks")
	}, nil)
	w := serve(h, request(t, id("evt", "1"), body))
	if w.Code != http.StatusAccepted || w.Body.String() != "thanks" || w.Header().Get("X-Shop") != "yes" ||
		w.Header().Get("X-Late") != "" {
		t.Errorf("answered %d %q %v", w.Code, w.Body, w.Header())
	}
	if w := serve(h, request(t, id("evt", "1"), body)); w.Code != http.StatusOK || calls != 1 {
		t.Errorf("duplicate: %d after %d calls", w.Code, calls)
	}
	if _, ok := webhook.FromContext(context.Background()); ok {
		t.Error("an empty context holds an event")
	}
	if _, ok := webhook.MessageFromContext(context.Background()); ok {
		t.Error("an empty context holds a message")
	}
}

// Every status of next: 2xx commits, anything else lets the retry through.
func TestHandlerSettlesByStatus(t *testing.T) {
	for status := 200; status <= 599; status++ {
		calls := 0
		h := handler(t, func(w http.ResponseWriter, _ *http.Request) { calls++; w.WriteHeader(status) }, nil)
		first, second := serve(h, request(t, id("evt", "1"), eventBody(t, 1))),
			serve(h, request(t, id("evt", "1"), eventBody(t, 1)))
		wantCalls, wantSecond := 2, status
		if status < 300 {
			wantCalls, wantSecond = 1, 200
		}
		if first.Code != status || second.Code != wantSecond || calls != wantCalls {
			t.Errorf("%d: answered %d then %d, %d calls", status, first.Code, second.Code, calls)
		}
	}
}

func TestHandlerReleasesOnPanic(t *testing.T) {
	calls := 0
	h := handler(t, func(http.ResponseWriter, *http.Request) {
		if calls++; calls == 1 {
			panic(http.ErrAbortHandler)
		}
	}, nil)
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the panic did not pass on")
			}
		}()
		serve(h, request(t, id("evt", "1"), eventBody(t, 1)))
	}()
	if w := serve(h, request(t, id("evt", "1"), eventBody(t, 1))); w.Code != 200 || calls != 2 {
		t.Errorf("after the panic: %d, %d calls", w.Code, calls)
	}
}

func TestHandlerClaimed(t *testing.T) {
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan int)
	h := handler(t, func(http.ResponseWriter, *http.Request) { close(entered); <-leave },
		func(o *webhook.Options) { o.RetryAfter = 1500 * time.Millisecond })
	// The sender hangs up while the handler works: the claim is settled all the same.
	ctx, hangUp := context.WithCancel(context.Background())
	r := request(t, id("evt", "1"), eventBody(t, 1)).WithContext(ctx)
	go func() { left <- serve(h, r).Code }()
	<-entered
	if w := serve(h, request(t, id("evt", "1"), eventBody(t, 1))); w.Code != 503 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("while handled: %d %v", w.Code, w.Header())
	}
	hangUp()
	close(leave)
	if code := <-left; code != 200 {
		t.Errorf("the first was answered %d", code)
	}
	if w := serve(h, request(t, id("evt", "1"), eventBody(t, 1))); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestHandlerBatch(t *testing.T) {
	batch, err := webhook.EncodeBatch([][]byte{eventBody(t, 1), eventBody(t, 2), eventBody(t, 3)})
	if err != nil {
		t.Fatal(err)
	}
	bat := id("bat", "1")
	var seen []string
	fail := ""
	h := handler(t, func(w http.ResponseWriter, r *http.Request) {
		e, _ := webhook.FromContext(r.Context())
		m, _ := webhook.MessageFromContext(r.Context())
		body, _ := io.ReadAll(r.Body)
		if direct, err := webhook.Decode(body); err != nil || direct.ID != e.ID || m.ID != bat && m.ID != e.ID {
			t.Errorf("%s: body %s, message %s", e.ID, body, m.ID)
		}
		if strings.HasSuffix(e.ID, fail) {
			http.Error(w, "no", http.StatusTeapot)
			return
		}
		seen = append(seen, e.ID[len(e.ID)-1:])
		io.WriteString(w, "not shown for a batch")
	}, nil)
	for _, step := range []struct {
		id   string
		body []byte
		fail string
		code int
		seen string
	}{
		{id("evt", "2"), eventBody(t, 2), "none", 200, "2"},
		{bat, batch, "3", 418, "21"},     // 2 was handled alone, 1 now, 3 fails
		{bat, batch, "none", 200, "213"}, // only 3 is left
		{bat, batch, "none", 200, "213"},
		{id("evt", "3"), eventBody(t, 3), "none", 200, "213"},
	} {
		fail = step.fail
		w := serve(h, request(t, step.id, step.body))
		if w.Code != step.code || strings.Join(seen, "") != step.seen {
			t.Fatalf("%+v: answered %d, seen %v", step.id, w.Code, seen)
		}
	}
}

func TestHandlerBatchWithClaimedMember(t *testing.T) {
	guard, err := webhook.NewMemoryGuard(webhook.GuardOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := guard.Claim(t.Context(), id("evt", "1"))
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	h := handler(t, func(http.ResponseWriter, *http.Request) { calls++ }, func(o *webhook.Options) { o.Guard = guard })
	batch, err := webhook.EncodeBatch([][]byte{eventBody(t, 1), eventBody(t, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if w := serve(h, request(t, id("bat", "1"), batch)); w.Code != 503 || w.Header().Get("Retry-After") == "" ||
		calls != 1 {
		t.Errorf("answered %d, %d calls", w.Code, calls)
	}
	if err := guard.Release(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if w := serve(h, request(t, id("bat", "1"), batch)); w.Code != 200 || calls != 2 {
		t.Errorf("answered %d, %d calls", w.Code, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	three, err := webhook.EncodeBatch([][]byte{eventBody(t, 3)})
	if err != nil {
		t.Fatal(err)
	}
	// Handled for nobody; and where somebody does read the answer, such as behind a middleware with a deadline, it is not
	// a 2xx.
	if w := serve(h, request(t, id("bat", "2"), three).WithContext(ctx)); calls != 2 || w.Code != 503 ||
		w.Header().Get("Retry-After") == "" {
		t.Errorf("for a sender that had gone: answered %d, %d calls", w.Code, calls)
	}
	if w := serve(h, request(t, id("bat", "2"), three)); w.Code != 200 || calls != 3 {
		t.Errorf("it came again: answered %d, %d calls", w.Code, calls)
	}
}

func TestHandlerRefuses(t *testing.T) {
	body := eventBody(t, 1)
	evt := id("evt", "1")
	for _, c := range []struct {
		name string
		edit func(*webhook.Options)
		req  func() *http.Request
		code int
	}{
		{"GET", nil, func() *http.Request { r := request(t, evt, body); r.Method = "GET"; return r }, 405},
		{"unsigned", nil, func() *http.Request { r := request(t, evt, body); r.Header = http.Header{}; return r }, 401},
		{"only the old scheme", nil, func() *http.Request { r := request(t, evt, body); r.Header.Del("webhook-signature"); return r }, 401},
		{"signed with another secret", func(o *webhook.Options) { o.Secrets = []webhook.Secret{secret(t, vectorOther)} }, func() *http.Request { return request(t, evt, body) }, 401},
		{"stale", func(o *webhook.Options) { o.Now = at(vectorTime + 301) }, func() *http.Request { return request(t, evt, body) }, 401},
		{"stale for its tolerance", func(o *webhook.Options) { o.Now, o.Tolerance = at(vectorTime+11), 10*time.Second }, func() *http.Request { return request(t, evt, body) }, 401},
		{"id of another", nil, func() *http.Request { return request(t, id("evt", "2"), body) }, 400},
		{"not JSON", nil, func() *http.Request { return request(t, evt, []byte("x")) }, 400},
		{"too large", func(o *webhook.Options) { o.MaxBody = int64(len(body)) - 1 }, func() *http.Request { return request(t, evt, body) }, 413},
		{"256 KiB and one", nil, func() *http.Request { return request(t, evt, bytes.Repeat([]byte(" "), 256<<10+1)) }, 413},
		{"cut off", nil, func() *http.Request {
			r := request(t, evt, body)
			r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:9]), errReader{}))
			return r
		}, 400},
		{"source not allowed", func(o *webhook.Options) { o.Allow = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }, func() *http.Request { return request(t, evt, body) }, 403},
		{"source unreadable", func(o *webhook.Options) { o.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, func() *http.Request { r := request(t, evt, body); r.RemoteAddr = "@"; return r }, 403},
		{"lookup failed", func(o *webhook.Options) {
			o.Lookup = func(*http.Request) ([]webhook.Secret, error) { return nil, errors.New("down") }
		}, func() *http.Request { return request(t, evt, body) }, 500},
		{"lookup found none", func(o *webhook.Options) {
			o.Lookup = func(*http.Request) ([]webhook.Secret, error) { return []webhook.Secret{{}}, nil }
		}, func() *http.Request { return request(t, evt, body) }, 500},
		{"guard down", func(o *webhook.Options) { o.Guard = brokenGuard{} }, func() *http.Request { return request(t, evt, body) }, 503},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log strings.Builder
			h := handler(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }, func(o *webhook.Options) {
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				if c.edit != nil {
					c.edit(o)
				}
			})
			w := serve(h, c.req())
			if w.Code != c.code {
				t.Errorf("answered %d, want %d: %s", w.Code, c.code, w.Body)
			}
			if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("Retry-After: %v", w.Header())
			}
			if !strings.Contains(log.String(), "msg=webhook.") {
				t.Errorf("nothing logged: %q", log.String())
			}
			if strings.Contains(log.String(), "MfKQ9r8G") {
				t.Error("the log shows the secret")
			}
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type brokenGuard struct{}

func (brokenGuard) Claim(context.Context, string) (webhook.Claim, error) {
	return webhook.Claim{}, errors.New("down")
}
func (brokenGuard) Commit(context.Context, webhook.Claim) error  { return errors.New("down") }
func (brokenGuard) Release(context.Context, webhook.Claim) error { return errors.New("down") }

// flakyGuard loses its store after the claim.
type flakyGuard struct {
	brokenGuard
	steps *[]string
}

func (g flakyGuard) Claim(_ context.Context, id string) (webhook.Claim, error) {
	*g.steps = append(*g.steps, "claim")
	return webhook.Claim{ID: id, State: webhook.ClaimWon}, nil
}

func (g flakyGuard) Commit(ctx context.Context, c webhook.Claim) error {
	*g.steps = append(*g.steps, "commit")
	return errors.Join(ctx.Err(), g.brokenGuard.Commit(ctx, c))
}

// stepWriter notes when the answer leaves.
type stepWriter struct {
	*httptest.ResponseRecorder
	steps *[]string
}

func (w stepWriter) WriteHeader(status int) {
	*w.steps = append(*w.steps, fmt.Sprint("answer ", status))
	w.ResponseRecorder.WriteHeader(status)
}

func TestHandlerCommitsBeforeAnswering(t *testing.T) {
	var steps []string
	var log strings.Builder
	h := handler(t, func(w http.ResponseWriter, _ *http.Request) {
		steps = append(steps, "handle")
		w.WriteHeader(204)
	}, func(o *webhook.Options) {
		o.Guard, o.Logger = flakyGuard{steps: &steps}, slog.New(slog.NewTextHandler(&log, nil))
	})
	h.ServeHTTP(stepWriter{httptest.NewRecorder(), &steps}, request(t, id("evt", "1"), eventBody(t, 1)))
	if want := []string{"claim", "handle", "commit", "answer 204"}; !slices.Equal(steps, want) {
		t.Errorf("got %v, want %v", steps, want)
	}
	if !strings.Contains(log.String(), "step=commit") {
		t.Errorf("the failed commit was not logged: %s", log.String())
	}
}

func TestHandlerOptions(t *testing.T) {
	next := http.NotFoundHandler()
	s := []webhook.Secret{secret(t, vectorSecret)}
	for name, o := range map[string]webhook.Options{
		"no secrets":         {},
		"zero secret":        {Secrets: []webhook.Secret{{}}},
		"negative tolerance": {Secrets: s, Tolerance: -1},
		"negative body":      {Secrets: s, MaxBody: -1},
		"negative wait":      {Secrets: s, RetryAfter: -1},
		"negative rate":      {Secrets: s, Limit: webhook.RateLimit{PerSecond: -1}},
		"negative burst":     {Secrets: s, Limit: webhook.RateLimit{PerSecond: 1, Burst: -1}},
	} {
		if _, err := webhook.Handler(next, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := webhook.Handler(nil, webhook.Options{Secrets: s}); err == nil {
		t.Error("no next: accepted")
	}
}
