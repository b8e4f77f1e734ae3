package openapi

import (
	"strings"

	"github.com/ctrip-gateway/ctrip/models"
)

// Reason says which demand of the file a request does not meet.
type Reason string

// The reasons of an [Error].
const (
	ReasonInvalid   Reason = "invalid"    // a parameter or the body does not fit
	ReasonJSON      Reason = "json"       // the body is not valid JSON
	ReasonMediaType Reason = "media type" // the body does not say that it is plain JSON
)

// Error tells why a request does not fit the file.
type Error struct {
	Reason Reason
	Detail string              // what happened, for the merchant; "" where Fields say it
	Fields []models.FieldError // the first [MaxListed] faulty fields, sorted by name, one message each
	Count  int                 // of all faulty fields
	Cause  error               // for the log alone
}

// Error says the detail, or what is wrong with each field.
func (e *Error) Error() string {
	if e.Detail != "" {
		return "openapi: " + e.Detail
	}
	return "openapi: " + strings.TrimSuffix(models.FieldErrors(e.Fields).Error(), ".")
}

// Unwrap returns the cause, nil where there is none.
func (e *Error) Unwrap() error { return e.Cause }

func invalid(detail string) *Error { return &Error{Reason: ReasonInvalid, Detail: detail} }
