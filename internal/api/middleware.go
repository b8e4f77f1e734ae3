package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/headers"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

const requestIDHeader = "X-Request-Id"

// Keys under which a request's context keeps what the log line tells.
const (
	requestIDKey = "request_id"
	problemKey   = "problem"
	merchantKey  = "merchant_id"
	apiKeyKey    = "key_id"
)

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)

// requestID takes the caller's X-Request-Id if it is harmless, or makes one, and answers with it.
func (s *Server) requestID(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Request().Header.Get(requestIDHeader)
		if !saneRequestID.MatchString(id) || strings.HasPrefix(id, "ck_") {
			id = models.NewID("req", s.now())
		}
		c.Set(requestIDKey, id)
		c.Response().Header().Set(requestIDHeader, id)
		return next(c)
	}
}

// trace begins the trace of a request, or joins the one that its caller names: the events that it makes, and their
// webhooks, belong to it. The route is known when the request was answered.
func (s *Server) trace(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		ctx, span := s.tracing.Start(telemetry.WithTraceparent(r.Context(), r.Header.Get("Traceparent")), "api.request",
			slog.Any("request_id", c.Get(requestIDKey)))
		c.SetRequest(r.WithContext(ctx))
		err := next(c)
		span.Set(slog.String("method", models.Clip(r.Method)), slog.String("route", c.Path()),
			slog.Int("status", c.Response().Status))
		span.End(nil)
		return err
	}
}

// count counts every request by its route, never by its path. It runs around accessLog, which has every error answered.
func (s *Server) count(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := s.now()
		err := next(c)
		s.metrics.Request(c.Path(), c.Request().Method, c.Response().Status, s.now().Sub(started))
		return err
	}
}

// accessLog writes one line for every request, after it was answered. The path appears for API routes only, because
// others carry tokens in theirs; queries, bodies and headers never do.
func (s *Server) accessLog(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := s.now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		r, w := c.Request(), c.Response()
		attrs := []slog.Attr{
			slog.Any("request_id", c.Get(requestIDKey)), slog.String("method", models.Clip(r.Method)),
			slog.String("route", c.Path()),
			slog.Int("status", w.Status), slog.Int64("bytes", w.Size),
			slog.Float64("duration_ms", float64(s.now().Sub(started).Microseconds())/1000),
			slog.String("remote_ip", c.RealIP()), slog.String("user_agent", models.Clip(r.UserAgent())),
		}
		if strings.HasPrefix(c.Path(), "/api/") {
			attrs = append(attrs, slog.String("path", models.Clip(r.URL.Path)))
		}
		for _, key := range []string{merchantKey, apiKeyKey} {
			if v := c.Get(key); v != nil {
				attrs = append(attrs, slog.Any(key, v))
			}
		}
		level := slog.LevelInfo
		if p, ok := c.Get(problemKey).(*Problem); ok {
			attrs = append(attrs, slog.String("code", string(p.Code)))
			if p.cause != nil {
				attrs = append(attrs, slog.String("error", p.cause.Error()))
			}
			if p.Status == http.StatusInternalServerError {
				level = slog.LevelError
			}
		}
		s.log.LogAttrs(r.Context(), level, "request.served", attrs...)
		return nil
	}
}

// recover turns a panic into a 500, and its stack into a log line.
func (s *Server) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if e, ok := v.(error); ok && errors.Is(e, http.ErrAbortHandler) {
				panic(v)
			}
			s.log.LogAttrs(c.Request().Context(), slog.LevelError, "request.panicked",
				slog.Any("request_id", c.Get(requestIDKey)), slog.String("error", fmt.Sprint(v)),
				slog.String("stack", string(debug.Stack())))
			err = Internal(fmt.Errorf("panic: %v", v))
		}()
		return next(c)
	}
}

// secure sets the security headers. Pages set a wider policy for themselves.
func (s *Server) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		headers.Public(c.Response().Header(), headers.NoContent, s.https)
		return next(c)
	}
}

// textPath answers 404 to a path that holds NUL or is not UTF-8: nothing has such a name, and no database takes it.
// Mounted pages say so in their own words.
func (s *Server) textPath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		mounted := func(prefix string) bool { return strings.HasPrefix(path, prefix) }
		if !models.IsText(path) && !slices.ContainsFunc(s.mounted, mounted) {
			return NewProblem(CodeNotFound, "Nothing has this path: it holds NUL, or is not UTF-8.")
		}
		return next(c)
	}
}

// crossOrigin lets the pages of some origins call the API from a browser; without origins, none. The operator's routes
// and everything that a session opens stay closed.
func crossOrigin(origins []string) echo.MiddlewareFunc {
	if len(origins) == 0 {
		return func(next echo.HandlerFunc) echo.HandlerFunc { return next }
	}
	return middleware.CORSWithConfig(middleware.CORSConfig{
		Skipper:      func(c echo.Context) bool { return !strings.HasPrefix(c.Request().URL.Path, "/api/v1/") },
		AllowOrigins: origins, AllowMethods: []string{"GET", "POST", "PATCH", "DELETE"},
		AllowHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", requestIDHeader},
		ExposeHeaders: []string{requestIDHeader, "ETag", "Idempotency-Replayed", "Retry-After", "RateLimit-Limit",
			"RateLimit-Remaining", "RateLimit-Reset"},
		MaxAge: 600,
	})
}

// maxBody is the largest request body in bytes.
const maxBody = 64 << 10

// maxLogoBody is the largest body with a logo in it, which is base64 there.
const maxLogoBody = access.MaxLogo*4/3 + 8<<10

// bodyLimit cuts bodies off after as many bytes as an operation takes; reading further is an error that becomes a 413.
func bodyLimit(operation string) echo.MiddlewareFunc {
	limit := int64(maxBody)
	if operation == "updateMerchant" {
		limit = maxLogoBody
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if r.ContentLength > limit {
				return &http.MaxBytesError{Limit: limit}
			}
			r.Body = http.MaxBytesReader(c.Response(), r.Body, limit)
			return next(c)
		}
	}
}

// validate holds a request against its operation in the OpenAPI file before the handler sees it.
func (s *Server) validate(op *openapi.Operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			params := make(map[string]string)
			for i, name := range c.ParamNames() {
				params[name] = c.ParamValues()[i]
			}
			if err := s.spec.Check(c.Request(), op, params); err != nil {
				return err
			}
			return next(c)
		}
	}
}

// answerError is where every error becomes the answer: the one place that writes problems.
func (s *Server) answerError(err error, c echo.Context) {
	p := *problemOf(err)
	p.RequestID, _ = c.Get(requestIDKey).(string)
	c.Set(problemKey, &p)
	if c.Response().Committed {
		return
	}
	if c.Request().Method == http.MethodHead {
		_ = c.NoContent(p.Status)
		return
	}
	if err := p.write(c.Response()); err != nil {
		s.log.LogAttrs(c.Request().Context(), slog.LevelDebug, "request.unanswered", slog.String("error", err.Error()))
	}
}

// deadline bounds the time of one request in all; 0 does not.
func deadline(d time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if d <= 0 {
				return next(c)
			}
			ctx, cancel := context.WithTimeout(c.Request().Context(), d)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
}
