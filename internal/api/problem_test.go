package api

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestEveryKind: one golden document for each kind of problem, with the headers that belong to it.
func TestEveryKind(t *testing.T) {
	s := testServer(t, io.Discard)
	s.echo.GET("/kind/:code", func(c echo.Context) error {
		return fmt.Errorf("handler: %w", NewProblem(Code(c.Param("code")),
			"").RetryAfter(1500*time.Millisecond).Because(errors.New("the insides")))
	})
	for _, k := range kinds {
		t.Run(string(k.code), func(t *testing.T) {
			w := ask(s, http.MethodGet, "/kind/"+string(k.code), "")
			golden(t, "kind_"+string(k.code), w)
			if got := w.Header().Get("Retry-After"); got != "2" {
				t.Errorf("Retry-After is %q", got)
			}
			if got := w.Header().Get("WWW-Authenticate"); (got != "") != (w.Code == http.StatusUnauthorized) {
				t.Errorf("WWW-Authenticate is %q", got)
			}
			if strings.Contains(w.Body.String(), "insides") {
				t.Error("the cause shows")
			}
		})
	}
}

func TestProblemOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Code
	}{
		{Unprocessable(FieldError{Field: "url", Message: "is not allowed"}), CodeUnprocessable},
		{fmt.Errorf("x: %w", NotFound("payment")), CodeNotFound},
		{fmt.Errorf("x: %w", models.ErrNotFound), CodeNotFound},
		{fmt.Errorf("x: %w", &http.MaxBytesError{Limit: 7}), CodeBodyTooLarge},
		{context.Canceled, CodeUnavailable},
		{fmt.Errorf("x: %w", driver.ErrBadConn), CodeUnavailable},
		{fmt.Errorf("x: %w", &pgconn.PgError{Code: "57P01"}), CodeUnavailable},
		{fmt.Errorf("x: %w", &pgconn.PgError{Code: "23505"}), CodeInternal},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), CodeUnavailable},
		{echo.ErrNotFound, CodeNotFound},
		{echo.ErrMethodNotAllowed, CodeMethodNotAllowed},
		{echo.NewHTTPError(http.StatusBadRequest, "x"), CodeInvalidRequest},
		{echo.ErrUnsupportedMediaType, CodeUnsupportedMediaType},
		{echo.ErrTeapot, CodeInternal},
		{errors.New("x"), CodeInternal},
		{NewProblem("no_such_code", ""), CodeInternal},
	} {
		if got := problemOf(c.err); got.Code != c.want {
			t.Errorf("%v became %s, want %s", c.err, got.Code, c.want)
		}
	}
}

func TestManyFields(t *testing.T) {
	fields := make([]FieldError, 250)
	for i := range fields {
		fields[i].Field = fmt.Sprint("f", i)
	}
	p := Invalid(fields...)
	if len(p.Errors) != openapi.MaxListed ||
		p.Detail != "250 fields are not as they should be: f0, f1, f2, f3, f4, and 245 more." {
		t.Errorf("%d errors, %s", len(p.Errors), p.Detail)
	}
}

func TestSavedAnswer(t *testing.T) {
	w := httptest.NewRecorder()
	body := []byte(`{"a":"<&>"}`)
	if err := (savedAnswer{status: 201, header: http.Header{"Idempotency-Replayed": {"true"}},
		body: body}).VisitCreatePaymentResponse(w); err != nil {
		t.Fatal(err)
	}
	if w.Code != 201 || w.Body.String() != string(body) || w.Header().Get("Idempotency-Replayed") != "true" ||
		w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}
