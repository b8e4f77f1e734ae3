package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
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
	CodePaymentNotReplaceable Code = "payment_not_replaceable"
	CodeEndpointDisabled      Code = "endpoint_disabled"
	CodeEndpointPaused        Code = "endpoint_paused"
	CodeEndpointReadOnly      Code = "endpoint_read_only"
	CodeModeIsFinal           Code = "mode_is_final"
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
	CodeRestoreUnfinished     Code = "restore_unfinished"
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
	{CodePaymentNotReplaceable, http.StatusConflict, "The payment keeps its order"},
	{CodeEndpointDisabled, http.StatusConflict, "The endpoint is disabled"},
	{CodeEndpointPaused, http.StatusConflict, "The endpoint was paused by the operator"},
	{CodeEndpointReadOnly, http.StatusConflict, "The endpoint belongs to the deployment"},
	{CodeModeIsFinal, http.StatusConflict, "The mode of the endpoint cannot be changed so"},
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
	{CodeRestoreUnfinished, http.StatusServiceUnavailable, "The gateway was restored and is not ready yet"},
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
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      Code   `json:"code"`
	Detail    string `json:"detail,omitempty"`
	RequestID string `json:"request_id"`
	// What stands in the way, by its id.
	PaymentID  string       `json:"payment_id,omitempty"`
	ReplayID   string       `json:"replay_id,omitempty"`
	EndpointID string       `json:"endpoint_id,omitempty"`
	Errors     []FieldError `json:"errors,omitempty"`

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
func Invalid(fields ...FieldError) *Problem {
	return withFields(CodeInvalidRequest, fields, len(fields))
}

// Unprocessable is a 422 for fields that are well formed and break a rule.
func Unprocessable(fields ...FieldError) *Problem {
	return withFields(CodeUnprocessable, fields, len(fields))
}

// NotFound is a 404 for a thing that is not there or belongs to another merchant, which are told the same way.
func NotFound(what string) *Problem {
	return NewProblem(CodeNotFound, "No "+what+" with this id belongs to the merchant of this key.")
}

// Internal is a 500 that shows nothing of its cause, which goes to the log.
func Internal(cause error) *Problem {
	return NewProblem(CodeInternal, "The request id finds what happened in the gateway's log.").Because(cause)
}

// withFields is a problem about count fields, the first of which are given; it lists [openapi.MaxListed] of them at
// most.
func withFields(code Code, fields []FieldError, count int) *Problem {
	names := make([]string, 0, 5)
	for _, f := range fields[:min(len(fields), cap(names))] {
		names = append(names, f.Field)
	}
	if more := count - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	p := NewProblem(code, "")
	switch count {
	case 0:
	case 1:
		p.Detail = "1 field is not as it should be: " + names[0] + "."
	default:
		p.Detail = fmt.Sprintf("%d fields are not as they should be: %s.", count, strings.Join(names, ", "))
	}
	p.Errors = fields[:min(len(fields), openapi.MaxListed)]
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
