package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// errorTranslator is the table from the errors of the packages below to problems. The first row that fits counts.
var errorTranslator = []struct {
	is         []error
	code       Code
	detail     string
	retryAfter time.Duration
	logged     bool // the error itself goes into the log line, because the code alone does not tell an operator enough
}{
	{is: []error{store.ErrLockTimeout}, code: CodeIdempotencyInProgress, retryAfter: time.Second, logged: true,
		detail: "Another request with this Idempotency-Key, or for this order_id, is not over yet."},
	{is: []error{store.ErrRestoreUnfinished}, code: CodeRestoreUnfinished, retryAfter: 30 * time.Second, logged: true,
		detail: "The gateway's database was restored from a backup, and its operator has not made it ready for new " +
			"payments yet."},
	{is: []error{payments.ErrChainUnavailable}, code: CodeChainUnavailable, retryAfter: 30 * time.Second, logged: true,
		detail: "No new block of this chain has been recorded for a while, so a payment on it could not be watched."},
	{is: []error{payments.ErrNoAccountKey}, code: CodeNoAccountKey, detail: "The operator of this gateway sets it."},
	{is: []error{payments.ErrMerchantPaused}, code: CodeMerchantPaused,
		detail: "The operator of this gateway has paused the merchant."},
	{is: []error{payments.ErrTooManyOpen}, code: CodeLimitReached,
		detail: "The merchant has as many open payments as it may have."},
	{is: []error{redelivery.ErrEndpointDisabled}, code: CodeEndpointDisabled,
		detail: "Enable it first; what is held for it is then sent."},
	{is: []error{endpoints.ErrModeIsFinal}, code: CodeModeIsFinal,
		detail: "The mode can only be narrowed, from both. Make another endpoint."},
	{is: []error{redelivery.ErrOtherMode}, code: CodeConflict,
		detail: "The endpoint takes no events of this mode any more."},
	{is: []error{endpoints.ErrBatchWaits}, code: CodeConflict,
		detail: "A batch for the endpoint is being sent. Change the mode when that is over."},
	{is: []error{endpoints.ErrPaused}, code: CodeEndpointPaused,
		detail: "Only the operator of this gateway can resume it, and it cannot be deleted until then."},
	{is: []error{endpoints.ErrDefault}, code: CodeEndpointReadOnly,
		detail: "Make an endpoint of your own, and this one goes."},
	{is: []error{endpoints.ErrSecretTooOld}, code: CodeSecretTooOld,
		detail: "Rotate it; then the endpoint can be changed again."},
	{is: []error{endpoints.ErrLimit, access.ErrKeyLimit}, code: CodeLimitReached,
		detail: "The merchant has as many of these as it may have."},
	{is: []error{models.ErrConflict}, code: CodeConflict, logged: true,
		detail: "Somebody else has changed it meanwhile. Read it again and decide anew."},
	{is: []error{models.ErrNotFound}, code: CodeNotFound, logged: true},
	{is: []error{context.Canceled, context.DeadlineExceeded}, code: CodeUnavailable, retryAfter: time.Second, logged: true,
		detail: "The request took too long."},
}

// problemOf turns an error into the problem that the merchant sees. What it does not know is [Internal].
func problemOf(err error) *Problem {
	if p := carried(err); p != nil {
		return p
	}
	for _, t := range errorTranslator {
		if !slices.ContainsFunc(t.is, func(target error) bool { return errors.Is(err, target) }) {
			continue
		}
		p := NewProblem(t.code, t.detail)
		if t.retryAfter > 0 {
			p.RetryAfter(t.retryAfter)
		}
		if t.logged {
			p.cause = err
		}
		return p
	}
	var routing *echo.HTTPError
	switch {
	case store.IsUnavailable(err):
		return NewProblem(CodeUnavailable, "The gateway cannot reach its database. Repeat the request, with the same "+
			"Idempotency-Key.").
			RetryAfter(time.Second).Because(err)
	case store.IsBadText(err):
		return NewProblem(CodeInvalidRequest, "A text of the request holds NUL, or is not UTF-8.").Because(err)
	case errors.As(err, &routing):
		return problemOfRouting(routing, err)
	}
	return Internal(err)
}

// carried is the problem of an error that says more than its kind: fields, an id or a limit. It is nil for others.
func carried(err error) *Problem {
	var p *Problem
	var mismatch *openapi.Error
	var tooLarge *http.MaxBytesError
	var broken models.FieldErrors
	var taken *payments.OrderTakenError
	var keeps *payments.NotReplaceableError
	var uncancelable *payments.NotCancelableError
	var running *redelivery.ReplayRunningError
	var paused *endpoints.PausedHostError
	var provider *operate.ProviderError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &mismatch):
		return problemOfMismatch(mismatch)
	case errors.As(err, &tooLarge):
		return NewProblem(CodeBodyTooLarge, fmt.Sprintf("A body has at most %d bytes.", tooLarge.Limit))
	case errors.As(err, &broken):
		return Unprocessable(fieldErrors(broken)...)
	case errors.As(err, &taken):
		p := NewProblem(CodeOrderIDTaken, fmt.Sprintf("The order_id belongs to payment %s.", taken.PaymentID))
		p.PaymentID = taken.PaymentID
		return p
	case errors.As(err, &keeps):
		p := NewProblem(CodePaymentNotReplaceable, sentence(keeps))
		p.PaymentID = keeps.PaymentID
		return p
	case errors.As(err, &provider):
		return NewProblem(CodeChainUnavailable, sentence(provider)).RetryAfter(30 * time.Second).Because(err)
	case errors.Is(err, operate.ErrLiveChain):
		return Unprocessable(FieldError{Field: "yes", Message: "is required: the chain is not marked test, and what was " +
			"paid on it is taken back", Example: "true"})
	case errors.Is(err, operate.ErrNotHalted), errors.Is(err, payments.ErrSettled):
		return NewProblem(CodeConflict, sentence(err))
	case errors.As(err, &uncancelable):
		return NewProblem(CodePaymentNotCancelable, sentence(uncancelable))
	case errors.As(err, &paused):
		p := NewProblem(CodeEndpointPaused, fmt.Sprintf("The operator of this gateway has paused your %s at %s. "+
			"Until they resume it, it stays at that host, and no other endpoint of yours goes there.",
			strings.TrimSpace("endpoint "+paused.EndpointID), paused.Host))
		p.EndpointID = paused.EndpointID
		return p
	case errors.As(err, &running):
		p := NewProblem(CodeReplayRunning, fmt.Sprintf("Replay %s is still running: wait for its end or cancel it.",
			running.ID))
		p.ReplayID = running.ID
		return p
	}
	return nil
}

// sentence is what an error says, as a sentence.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// problemOfMismatch is the problem of a request that does not fit the OpenAPI file.
func problemOfMismatch(e *openapi.Error) *Problem {
	switch {
	case e.Reason == openapi.ReasonJSON:
		return NewProblem(CodeInvalidJSON, e.Detail)
	case e.Reason == openapi.ReasonMediaType:
		return NewProblem(CodeUnsupportedMediaType, e.Detail)
	case len(e.Fields) > 0:
		return withFields(CodeInvalidRequest, fieldErrors(e.Fields), e.Count)
	}
	return NewProblem(CodeInvalidRequest, e.Detail).Because(e.Cause)
}

// problemOfRouting is the problem of an error that the router made.
func problemOfRouting(e *echo.HTTPError, cause error) *Problem {
	switch e.Code {
	case http.StatusNotFound:
		return NewProblem(CodeNotFound, "No route has this path; see /docs.")
	case http.StatusMethodNotAllowed:
		return NewProblem(CodeMethodNotAllowed, "The Allow header lists the methods.")
	case http.StatusBadRequest:
		return NewProblem(CodeInvalidRequest, "").Because(cause)
	case http.StatusUnsupportedMediaType:
		return NewProblem(CodeUnsupportedMediaType, "").Because(cause)
	}
	return Internal(cause)
}

func fieldErrors(fields []models.FieldError) []FieldError {
	shown := make([]FieldError, len(fields))
	for i, f := range fields {
		shown[i] = FieldError(f)
	}
	return shown
}
