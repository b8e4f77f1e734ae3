package telemetry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TracingOptions say where spans go.
type TracingOptions struct {
	// Endpoint is the base URL of an OTLP/HTTP collector (http://collector:4318). Empty: spans are made, never sent.
	Endpoint string
	// NewExporter makes what sends spans to Endpoint; see internal/telemetry/otlp. Needed where Endpoint is set.
	NewExporter NewExporter
	// Headers go with every export: name=value, comma-separated.
	Headers string
	// Service is the service name that spans carry.
	Service string
	// SampleRatio is the share of new traces that are recorded, 0 to 1.
	SampleRatio float64
	// Logger hears of batches that could not be sent; nil means slog's default.
	Logger *slog.Logger
}

// NewExporter makes an exporter that posts spans to url, with headers.
type NewExporter func(ctx context.Context, url string, headers map[string]string) (sdktrace.SpanExporter, error)

// Tracing makes spans. Without an exporter it only hands out trace and span ids, which costs next to nothing and keeps
// traceparent headers and trace_id in logs. A nil *Tracing does the same.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// NewTracing makes a Tracing. It connects to nothing: a collector that is away costs spans, not requests.
func NewTracing(ctx context.Context, o TracingOptions) (*Tracing, error) {
	if o.Endpoint == "" {
		return &Tracing{}, nil
	}
	if o.SampleRatio < 0 || o.SampleRatio > 1 {
		return nil, fmt.Errorf("sample ratio %v: want 0 to 1", o.SampleRatio)
	}
	headers, err := parseHeaders(o.Headers)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.NewExporter == nil {
		return nil, errors.New("this program cannot export traces")
	}
	exporter, err := o.NewExporter(ctx, strings.TrimRight(o.Endpoint, "/")+"/v1/traces", headers)
	if err != nil {
		return nil, errors.New("trace exporter: " + Scrub(err.Error()))
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(loggingExporter{exporter, o.Logger}),
		sdktrace.WithSampler(sampler(o.SampleRatio)),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", o.Service))),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/ctrip-gateway/ctrip")}, nil
}

// sampler records a share of the traces, and decides by the id of the trace alone: every process decides the same, and
// nobody who calls us can make us record.
func sampler(ratio float64) sdktrace.Sampler {
	share := sdktrace.TraceIDRatioBased(ratio)
	return sdktrace.ParentBased(share, sdktrace.WithRemoteParentSampled(share), sdktrace.WithRemoteParentNotSampled(share))
}

// loggingExporter says through our logger what the library would write to standard error by itself.
type loggingExporter struct {
	sdktrace.SpanExporter
	logger *slog.Logger
}

func (e loggingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.logger.WarnContext(ctx, "trace.export_failed", "spans", len(spans), "error", Scrub(err.Error()))
	}
	return nil
}

func parseHeaders(s string) (map[string]string, error) {
	headers := map[string]string{}
	for i, pair := range strings.Split(s, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		name, value, found := strings.Cut(pair, "=")
		if !found || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("trace headers: entry %d is not name=value", i+1)
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return headers, nil
}

// Shutdown sends the spans that still wait, and stops. ctx bounds how long that may take.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil || t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("shut down tracing: %w", err)
	}
	return nil
}

// Span is one timed piece of work. A nil *Span is fine to end.
type Span struct{ span trace.Span }

// Start begins a span under the one in ctx, or a new trace. Attributes are for the exporter; they pass the same guard
// as log lines.
func (t *Tracing) Start(ctx context.Context, name string, attrs ...slog.Attr) (context.Context, *Span) {
	if t == nil || t.tracer == nil {
		return withFreshSpan(ctx), nil
	}
	ctx, span := t.tracer.Start(ctx, name)
	if span.IsRecording() {
		span.SetAttributes(attributes(attrs)...)
	}
	return ctx, &Span{span}
}

// Set adds attributes to the span.
func (s *Span) Set(attrs ...slog.Attr) {
	if s != nil && s.span.IsRecording() {
		s.span.SetAttributes(attributes(attrs)...)
	}
}

// End finishes the span; an error marks it as failed.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetStatus(codes.Error, Scrub(err.Error()))
	}
	s.span.End()
}

func attributes(attrs []slog.Attr) []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, len(attrs))
	for _, a := range attrs {
		a.Value = a.Value.Resolve()
		switch a = guard(nil, a); a.Value.Kind() {
		case slog.KindInt64:
			list = append(list, attribute.Int64(a.Key, a.Value.Int64()))
		case slog.KindBool:
			list = append(list, attribute.Bool(a.Key, a.Value.Bool()))
		case slog.KindFloat64:
			list = append(list, attribute.Float64(a.Key, a.Value.Float64()))
		default:
			list = append(list, attribute.String(a.Key, a.Value.String()))
		}
	}
	return list
}

// Traceparent is the W3C header for a request made inside ctx: 00-<trace id>-<span id>-<flags>. Without a span in ctx
// it names a trace of its own.
func Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		sc = trace.SpanContextFromContext(withFreshSpan(ctx))
	}
	traceID, spanID := sc.TraceID(), sc.SpanID()
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, traceID[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, spanID[:])
	return string(append(b, '-', '0', '0'+byte(sc.TraceFlags()&trace.FlagsSampled)))
}

// CauseOf is the header for what is recorded because of the work in ctx, so that what follows joins its trace; nothing
// outside a trace.
func CauseOf(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	return Traceparent(ctx)
}

// TraceID is the trace of ctx as 32 hex digits, or nothing outside one.
func TraceID(ctx context.Context) string {
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		return sc.TraceID().String()
	}
	return ""
}

// WithTraceparent continues the trace that a traceparent header names, from a request or from a stored event. A header
// that is missing or malformed changes nothing.
func WithTraceparent(ctx context.Context, header string) context.Context {
	// version 00 is 55 bytes; a later version may say more behind a dash.
	if len(header) < 55 || header[:2] == "ff" || (header[:2] == "00" && len(header) != 55) ||
		(len(header) > 55 && header[55] != '-') {
		return ctx
	}
	if header[2] != '-' || header[35] != '-' || header[52] != '-' || strings.ToLower(header[:55]) != header[:55] {
		return ctx
	}
	var version, flags [1]byte
	var c trace.SpanContextConfig
	for _, part := range []struct {
		into []byte
		text string
	}{{version[:], header[:2]}, {c.TraceID[:], header[3:35]}, {c.SpanID[:], header[36:52]}, {flags[:], header[53:55]}} {
		if _, err := hex.Decode(part.into, []byte(part.text)); err != nil {
			return ctx
		}
	}
	c.TraceFlags, c.Remote = trace.TraceFlags(flags[0])&trace.FlagsSampled, true
	if sc := trace.NewSpanContext(c); sc.IsValid() {
		return trace.ContextWithRemoteSpanContext(ctx, sc)
	}
	return ctx
}

// withFreshSpan puts a span id into ctx that records nothing, in the trace of ctx or a new one.
func withFreshSpan(ctx context.Context) context.Context {
	sc := trace.SpanContextFromContext(ctx)
	traceID := sc.TraceID()
	for !traceID.IsValid() {
		binary.BigEndian.PutUint64(traceID[:8], rand.Uint64())
		binary.BigEndian.PutUint64(traceID[8:], rand.Uint64())
	}
	var spanID trace.SpanID
	for !spanID.IsValid() {
		binary.BigEndian.PutUint64(spanID[:], rand.Uint64())
	}
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: sc.TraceFlags(),
	}))
}
