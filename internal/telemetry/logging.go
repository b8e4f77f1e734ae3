package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// LogOptions say how log lines look and where they go.
type LogOptions struct {
	// Writer takes the lines; nil means standard error.
	Writer io.Writer
	// Level is debug, info, warn or error; empty means info.
	Level string
	// Format is json or text; empty means json.
	Format string
	// Service, when given, stands in every line under "service".
	Service string
}

// NewLogger makes a logger whose lines carry UTC times and, inside a trace, the trace_id. Values under keys that name a
// secret, and secrets recognised by their shape, are written as [redacted].
func NewLogger(o LogOptions) (*slog.Logger, error) {
	var level slog.Level
	if o.Level != "" {
		if err := level.UnmarshalText([]byte(o.Level)); err != nil {
			return nil, fmt.Errorf("log level %q: want debug, info, warn or error", o.Level)
		}
	}
	w := o.Writer
	if w == nil {
		w = os.Stderr
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: guard}
	var handler slog.Handler
	switch o.Format {
	case "", "json":
		handler = slog.NewJSONHandler(w, options)
	case "text":
		handler = slog.NewTextHandler(w, options)
	default:
		return nil, fmt.Errorf("log format %q: want json or text", o.Format)
	}
	logger := slog.New(traceHandler{handler})
	if o.Service != "" {
		logger = logger.With("service", o.Service)
	}
	return logger, nil
}

// traceHandler adds the trace id of the context, so that a line can be found from a trace and the other way round.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := TraceID(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// guard is the last look at every attribute. Types redact themselves; this is for what was logged as a plain string.
func guard(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		return slog.Time(a.Key, a.Value.Time().UTC())
	}
	switch a.Value.Kind() {
	case slog.KindString:
		if secretKey(a.Key) && a.Value.String() != "" {
			return slog.String(a.Key, redacted)
		}
		return slog.String(a.Key, Scrub(a.Value.String()))
	case slog.KindTime:
		return slog.Time(a.Key, a.Value.Time().UTC())
	case slog.KindAny:
		if secretKey(a.Key) {
			return slog.String(a.Key, redacted)
		}
		switch v := a.Value.Any().(type) {
		case *slog.Source:
			return a
		case error:
			return slog.String(a.Key, Scrub(textOf(v, v.Error)))
		case []byte:
			return slog.String(a.Key, Scrub(string(v)))
		case []string:
			scrubbed := make([]string, len(v))
			for i, s := range v {
				scrubbed[i] = Scrub(s)
			}
			return slog.Any(a.Key, scrubbed)
		case fmt.Stringer:
			return slog.String(a.Key, Scrub(textOf(v, v.String)))
		}
	}
	return a
}

// textOf calls a value's own Error or String. A nil pointer may panic there, and a log line must not.
func textOf(v any, text func() string) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T(?)", v)
		}
	}()
	return text()
}

// secretKey reports whether a key names a secret: by its last word (client_secret, but not token_symbol), or as a
// whole.
func secretKey(key string) bool {
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	switch key {
	case "api_key", "apikey", "private_key", "client_key", "master_key", "master_keys", "set_cookie", "pin",
		"database_url", "redis_url":
		return true
	}
	last := key[strings.LastIndexAny(key, "_.")+1:]
	switch strings.TrimSuffix(last, "s") {
	case "secret", "token", "password", "passwd", "passphrase", "authorization", "cookie", "credential", "mnemonic",
		"xprv":
		return true
	}
	return false
}

var shapes = []struct {
	mark        string
	pattern     *regexp.Regexp
	replacement string
}{
	{"whsec_", regexp.MustCompile(`whsec_[A-Za-z0-9+/=_-]+`), "whsec_" + redacted},
	{"ck_", regexp.MustCompile(`\bck_(live|test)_[A-Za-z0-9_-]+`), "ck_${1}_" + redacted},
	{"earer ", regexp.MustCompile(`([Bb]earer )[^\s"',]+`), "${1}" + redacted},
	{"asic ", regexp.MustCompile(`\b([Bb]asic )[A-Za-z0-9+/=_-]{8,}`), "${1}" + redacted},
	{"prv", regexp.MustCompile(`\b[xtyzuvYZUV]prv[1-9A-HJ-NP-Za-km-z]{8,}`), redacted},
	{"://", regexp.MustCompile(`(://)[^\s/?#"']*@`), "${1}" + redacted + "@"},
	{"PRIVATE KEY", regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`),
		redacted},
}

// Scrub replaces what has the shape of a secret by [redacted]: endpoint secrets, API keys, bearer and basic
// credentials, passwords inside URLs, private keys. It is for texts that other people's code wrote, such as errors.
func Scrub(s string) string {
	for _, shape := range shapes {
		if strings.Contains(s, shape.mark) {
			s = shape.pattern.ReplaceAllString(s, shape.replacement)
		}
	}
	return s
}
