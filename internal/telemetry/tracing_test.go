package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/telemetry/otlp"
)

var validHeader = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$`)

func TestTraceparentWithoutExporter(t *testing.T) {
	tracing, err := NewTracing(context.Background(), TracingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tr := range map[string]*Tracing{"nil": nil, "no endpoint": tracing} {
		bare, other := Traceparent(context.Background()), Traceparent(context.Background())
		if !validHeader.MatchString(bare) || bare == other {
			t.Errorf("%s: outside a span %q then %q", name, bare, other)
		}
		outer, span := tr.Start(context.Background(), "outer")
		inner, child := tr.Start(outer, "inner", slog.String("a", "b"))
		first, second := Traceparent(outer), Traceparent(outer)
		if first != second {
			t.Errorf("%s: one span, two headers", name)
		}
		if !validHeader.MatchString(first) || first == Traceparent(inner) || TraceID(outer) != TraceID(inner) {
			t.Errorf("%s: %s then %s", name, first, Traceparent(inner))
		}
		child.Set(slog.Int("n", 1))
		child.End(errors.New("failed"))
		span.End(nil)
		if err := tr.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestTraceparentRoundTrip(t *testing.T) {
	const header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx := WithTraceparent(context.Background(), header)
	if Traceparent(ctx) != header || TraceID(ctx) != "4bf92f3577b34da6a3ce929d0e0e4736" {
		t.Errorf("got %s", Traceparent(ctx))
	}
	var tracing *Tracing
	ctx, _ = tracing.Start(ctx, "work")
	if got := Traceparent(ctx); got[:36] != header[:36] || got == header || got[53:] != "01" {
		t.Errorf("a child of %s is %s", header, got)
	}
	if later := WithTraceparent(context.Background(), "cc"+header[2:]+"-more"); TraceID(later) == "" {
		t.Error("a later version is refused")
	}
	for _, bad := range []string{
		"", "00", header[:54], header + "0", header + "-x", "ff" + header[2:], strings.ToUpper(header), strings.Replace(header, "-", "_", 1),
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"0g" + header[2:], header[:53] + "zz",
	} {
		if id := TraceID(WithTraceparent(context.Background(), bad)); id != "" {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestTraceparentIsAlwaysValid(t *testing.T) {
	headers := rapid.OneOf(rapid.String(),
		rapid.StringMatching(`[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[a-z]{0,5})?`))
	rapid.Check(t, func(r *rapid.T) {
		header := headers.Draw(r, "header")
		if got := Traceparent(WithTraceparent(context.Background(), header)); !validHeader.MatchString(got) {
			r.Fatalf("%q gives %q", header, got)
		}
	})
}

func TestSpansReachTheCollector(t *testing.T) {
	type export struct {
		path, header string
		body         []byte
	}
	exports := make(chan export, 4)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			body = z
		}
		content, err := io.ReadAll(body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		exports <- export{r.URL.Path, r.Header.Get("X-Collector"), content}
	}))
	defer collector.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tracing, err := NewTracing(ctx, TracingOptions{
		Endpoint: collector.URL + "/", NewExporter: otlp.New, Headers: "x-collector=yes, other = 1",
		Service: "ctrip-worker", SampleRatio: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	spanCtx, span := tracing.Start(ctx, "delivery.attempt", slog.String("class", "delivered"),
		slog.String("secret", "hunter2"))
	span.Set(slog.Int("attempt", 3), slog.Bool("late", true), slog.Float64("share", .5))
	if header := Traceparent(spanCtx); !strings.HasSuffix(header, "-01") || !validHeader.MatchString(header) {
		t.Errorf("header %s", header)
	}
	span.End(errors.New("whsec_hunter2"))
	if err := tracing.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	var got export
	select {
	case got = <-exports:
	case <-ctx.Done():
		t.Fatal("nothing was exported")
	}
	if got.path != "/v1/traces" || got.header != "yes" {
		t.Errorf("exported to %s with %q", got.path, got.header)
	}
	for _, want := range []string{"delivery.attempt", "delivered", "ctrip-worker", "attempt"} {
		if !bytes.Contains(got.body, []byte(want)) {
			t.Errorf("%s was not exported", want)
		}
	}
	if bytes.Contains(got.body, []byte("hunter2")) {
		t.Error("a secret was exported")
	}
}

func TestTracingSurvivesABrokenCollector(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer broken.Close()
	var out bytes.Buffer
	logger, err := NewLogger(LogOptions{Writer: &out})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tracing, err := NewTracing(ctx, TracingOptions{
		Endpoint: broken.URL, NewExporter: otlp.New, SampleRatio: 1, Logger: logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tracing.Start(ctx, "work")
	span.End(nil)
	if err := tracing.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if !strings.Contains(out.String(), "trace.export_failed") {
		t.Errorf("nothing was said: %s", out.String())
	}
}

func TestTracingOptions(t *testing.T) {
	for _, o := range []TracingOptions{
		{Endpoint: "http://127.0.0.1:1", NewExporter: otlp.New, SampleRatio: 2},
		{Endpoint: "http://127.0.0.1:1", NewExporter: otlp.New, SampleRatio: 1, Headers: "hunter2"},
		{Endpoint: "http://hunter2@127.0.0.1:1", SampleRatio: 1},
	} {
		if _, err := NewTracing(context.Background(), o); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func BenchmarkStartWithoutExporter(b *testing.B) {
	var tracing *Tracing
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		inner, span := tracing.Start(ctx, "work")
		_ = Traceparent(inner)
		span.End(nil)
	}
}
