package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Code names a kind of problem for programs. Codes never change their meaning.
type Code string

// The kinds of problems.
const (
	CodeInvalidRequest        Code = "invalid_request"
	CodeInvalidJSON           Code = "invalid_json"
	CodeUnauthorized          Code = "unauthorized"
	CodeInsufficientScope     Code = "insufficient_scope"
	CodeMerchantPaused        Code = "merchant_paused"
	CodeNotFound              Code = "not_found"
	CodeMethodNotAllowed      Code = "method_not_allowed"
	CodeConflict              Code = "conflict"
	CodeOrderIDTaken          Code = "order_id_taken"
	CodeIdempotencyKeyReused  Code = "idempotency_key_reused"
	CodeIdempotencyInProgress Code = "idempotency_in_progress"
	CodePaymentNotCancelable  Code = "payment_not_cancelable"
	CodeEndpointDisabled      Code = "endpoint_disabled"
	CodeEndpointPaused        Code = "endpoint_paused"
	CodeEndpointReadOnly      Code = "endpoint_read_only"
	CodeLimitReached          Code = "limit_reached"
	CodeReplayRunning         Code = "replay_running"
	CodeSecretTooOld          Code = "secret_too_old"
	CodeNoAccountKey          Code = "no_account_key"
	CodeVersionMismatch       Code = "version_mismatch"
	CodeBodyTooLarge          Code = "body_too_large"
	CodeUnsupportedMediaType  Code = "unsupported_media_type"
	CodeUnprocessable         Code = "unprocessable"
	CodeRateLimited           Code = "rate_limited"
	CodeInternal              Code = "internal"
	CodeUnavailable           Code = "unavailable"
	CodeChainUnavailable      Code = "chain_unavailable"
)

// kinds is the one table from a code to its HTTP status and title, in the order of the reference page.
var kinds = []struct {
	code   Code
	status int
	title  string
}{
	{CodeInvalidRequest, http.StatusBadRequest, "The request is not valid"},
	{CodeInvalidJSON, http.StatusBadRequest, "The body is not valid JSON"},
	{CodeUnauthorized, http.StatusUnauthorized, "A valid API key is needed"},
	{CodeInsufficientScope, http.StatusForbidden, "The API key lacks a scope"},
	{CodeMerchantPaused, http.StatusForbidden, "The merchant is paused"},
	{CodeNotFound, http.StatusNotFound, "There is no such thing"},
	{CodeMethodNotAllowed, http.StatusMethodNotAllowed, "The route does not take this method"},
	{CodeConflict, http.StatusConflict, "The request contradicts what is there"},
	{CodeOrderIDTaken, http.StatusConflict, "The order_id belongs to another payment"},
	{CodeIdempotencyKeyReused, http.StatusConflict, "The Idempotency-Key was used for another request"},
	{CodeIdempotencyInProgress, http.StatusConflict, "A request with this Idempotency-Key is under way"},
	{CodePaymentNotCancelable, http.StatusConflict, "The payment cannot be canceled any more"},
	{CodeEndpointDisabled, http.StatusConflict, "The endpoint is disabled"},
	{CodeEndpointPaused, http.StatusConflict, "The endpoint was paused by the operator"},
	{CodeEndpointReadOnly, http.StatusConflict, "The endpoint belongs to the deployment"},
	{CodeLimitReached, http.StatusConflict, "A limit of the merchant is reached"},
	{CodeReplayRunning, http.StatusConflict, "A replay to the endpoint is running"},
	{CodeSecretTooOld, http.StatusConflict, "The endpoint's secret is too old"},
	{CodeNoAccountKey, http.StatusConflict, "The merchant has no account key yet"},
	{CodeVersionMismatch, http.StatusPreconditionFailed, "The resource has changed"},
	{CodeBodyTooLarge, http.StatusRequestEntityTooLarge, "The body is too large"},
	{CodeUnsupportedMediaType, http.StatusUnsupportedMediaType, "The body must be JSON"},
	{CodeUnprocessable, http.StatusUnprocessableEntity, "The request breaks a rule"},
	{CodeRateLimited, http.StatusTooManyRequests, "Too many requests"},
	{CodeInternal, http.StatusInternalServerError, "Something went wrong on our side"},
	{CodeUnavailable, http.StatusServiceUnavailable, "Not available right now"},
	{CodeChainUnavailable, http.StatusServiceUnavailable, "The chain is not available right now"},
}

// FieldError is one faulty field of a request.
type FieldError struct {
	// Field is its path in the body (metadata.cart, events[1]), or the name of a parameter or header.
	Field   string `json:"field"`
	Message string `json:"message"`
	Example string `json:"example,omitempty"` // a good value
}

// Problem is an error as the merchant sees it: an RFC 9457 document. Handlers return it as an error, and the server
// adds the request id and writes it.
type Problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Code      Code         `json:"code"`
	Detail    string       `json:"detail,omitempty"`
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"`

	retryAfter time.Duration
	cause      error
}

// NewProblem returns a problem of a kind in [Code]'s list; detail says what happened this time, and may be empty.
func NewProblem(code Code, detail string) *Problem {
	for _, k := range kinds {
		if k.code == code {
			return &Problem{Type: "/docs#problem-" + string(code), Title: k.title, Status: k.status, Code: code, Detail: detail}
		}
	}
	return NewProblem(CodeInternal, "").Because(fmt.Errorf("api: no kind of problem is called %q", code))
}

// Invalid is a 400 for fields or parameters that do not match the OpenAPI file.
func Invalid(faults ...FieldError) *Problem { return withFaults(CodeInvalidRequest, faults) }

// Unprocessable is a 422 for fields that are well formed and break a rule.
func Unprocessable(faults ...FieldError) *Problem { return withFaults(CodeUnprocessable, faults) }

// NotFound is a 404 for a thing that is not there or belongs to another merchant, which are told the same way.
func NotFound(what string) *Problem {
	return NewProblem(CodeNotFound, "No "+what+" with this id belongs to the merchant of this key.")
}

// Internal is a 500 that shows nothing of its cause, which goes to the log.
func Internal(cause error) *Problem {
	return NewProblem(CodeInternal, "The request id finds what happened in the gateway's log.").Because(cause)
}

// maxFaults bounds the faulty fields that one problem lists.
const maxFaults = 100

func withFaults(code Code, faults []FieldError) *Problem {
	names := make([]string, 0, 5)
	for _, f := range faults[:min(len(faults), cap(names))] {
		names = append(names, f.Field)
	}
	if more := len(faults) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	p := NewProblem(code, "")
	switch len(faults) {
	case 0:
	case 1:
		p.Detail = "1 field is not as it should be: " + names[0] + "."
	default:
		p.Detail = fmt.Sprintf("%d fields are not as they should be: %s.", len(faults), strings.Join(names, ", "))
	}
	p.Errors = faults[:min(len(faults), maxFaults)]
	return p
}

// RetryAfter tells the merchant to wait; the header rounds up to whole seconds, at least one.
func (p *Problem) RetryAfter(d time.Duration) *Problem {
	p.retryAfter = max(d, time.Second)
	return p
}

// Because keeps the cause for the log; the merchant never sees it.
func (p *Problem) Because(cause error) *Problem {
	p.cause = cause
	return p
}

// Error says the code and the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return string(p.Code)
	}
	return string(p.Code) + ": " + p.Detail
}

// Unwrap returns the cause, if there is one.
func (p *Problem) Unwrap() error { return p.cause }

// write sends the document. The request id must be set.
func (p *Problem) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ctrip"`)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.retryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(p)
}

// problemOf is the one table from an error to a problem. What it does not know is [Internal].
func problemOf(err error) *Problem {
	var p *Problem
	var tooLarge *http.MaxBytesError
	var he *echo.HTTPError
	var faults models.Faults
	var taken *payments.OrderTakenError
	var running *delivery.ReplayRunningError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return NewProblem(CodeBodyTooLarge, fmt.Sprintf("A body has at most %d bytes.", tooLarge.Limit))
	case errors.As(err, &faults):
		return Unprocessable(fieldErrors(faults)...)
	case errors.As(err, &taken):
		return NewProblem(CodeOrderIDTaken, fmt.Sprintf("The order_id belongs to payment %s.", taken.PaymentID))
	case errors.Is(err, store.ErrBusy):
		return NewProblem(CodeIdempotencyInProgress, "Another request with this Idempotency-Key, or for this order_id, is not over yet.").RetryAfter(time.Second).Because(err)
	case errors.As(err, &running):
		return NewProblem(CodeReplayRunning, fmt.Sprintf("Replay %s is still running: wait for its end or cancel it.", running.ID))
	case errors.Is(err, payments.ErrChainUnavailable):
		return NewProblem(CodeChainUnavailable, "No new block of this chain has been recorded for a while, so a payment on it could not be watched.").RetryAfter(30 * time.Second).Because(err)
	case errors.Is(err, payments.ErrNotCancelable):
		return NewProblem(CodePaymentNotCancelable, "Only a pending payment that has received nothing can be canceled.")
	case errors.Is(err, payments.ErrNoAccountKey):
		return NewProblem(CodeNoAccountKey, "The operator of this gateway sets it.")
	case errors.Is(err, payments.ErrMerchantPaused):
		return NewProblem(CodeMerchantPaused, "The operator of this gateway has paused the merchant.")
	case errors.Is(err, payments.ErrTooManyOpen):
		return NewProblem(CodeLimitReached, "The merchant has as many open payments as it may have.")
	case errors.Is(err, delivery.ErrEndpointDisabled):
		return NewProblem(CodeEndpointDisabled, "Enable it first; what is held for it is then sent.")
	case errors.Is(err, delivery.ErrEndpointPaused):
		return NewProblem(CodeEndpointPaused, "Only the operator of this gateway can resume it.")
	case errors.Is(err, delivery.ErrDefaultEndpoint):
		return NewProblem(CodeEndpointReadOnly, "Make an endpoint of your own, and this one goes.")
	case errors.Is(err, delivery.ErrSecretTooOld):
		return NewProblem(CodeSecretTooOld, "Rotate it; then the endpoint can be changed again.")
	case errors.Is(err, delivery.ErrEndpointLimit), errors.Is(err, access.ErrKeyLimit):
		return NewProblem(CodeLimitReached, "The merchant has as many of these as it may have.")
	case errors.Is(err, models.ErrConflict):
		return NewProblem(CodeConflict, "Somebody else has changed it meanwhile. Read it again and decide anew.").Because(err)
	case errors.Is(err, models.ErrNotFound):
		return NewProblem(CodeNotFound, "").Because(err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return NewProblem(CodeUnavailable, "The request took too long.").RetryAfter(time.Second).Because(err)
	case store.Away(err):
		return NewProblem(CodeUnavailable, "The gateway cannot reach its database. Repeat the request, with the same Idempotency-Key.").RetryAfter(time.Second).Because(err)
	case errors.As(err, &he):
		switch he.Code {
		case http.StatusNotFound:
			return NewProblem(CodeNotFound, "No route has this path; see /docs.")
		case http.StatusMethodNotAllowed:
			return NewProblem(CodeMethodNotAllowed, "The Allow header lists the methods.")
		case http.StatusBadRequest:
			return NewProblem(CodeInvalidRequest, "").Because(err)
		case http.StatusUnsupportedMediaType:
			return NewProblem(CodeUnsupportedMediaType, "").Because(err)
		}
	}
	return Internal(err)
}

func fieldErrors(faults models.Faults) []FieldError {
	fields := make([]FieldError, len(faults))
	for i, f := range faults {
		fields[i] = FieldError(f)
	}
	return fields
}
