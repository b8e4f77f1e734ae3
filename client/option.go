package client

import (
	"net/http"
)

// Option changes one request.
type Option func(*request)

// Answer is what came back, as it came. Body is the API's own JSON.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// ETag is the version of the resource, for [IfMatch].
func (a Answer) ETag() string { return a.Header.Get("ETag") }

// Replayed reports whether this is the kept answer to an earlier request with the same Idempotency-Key.
func (a Answer) Replayed() bool { return a.Header.Get("Idempotency-Replayed") == "true" }

// IdempotencyKey names a POST, so that it is done once although the program that sends it may die and begin anew: an
// order's number, for example. The gateway knows it for 24 hours.
func IdempotencyKey(key string) Option {
	return func(r *request) { r.header.Set("Idempotency-Key", key) }
}

// IfMatch changes a resource only if its version is still this one: the [Answer.ETag] of an earlier answer. Otherwise
// the [Problem] has the code version_mismatch.
func IfMatch(etag string) Option {
	return func(r *request) { r.header.Set("If-Match", etag) }
}

// WithChildren lets [Client.RevokeAPIKey] end the keys as well that the key made, and those that they made.
func WithChildren() Option {
	return func(r *request) { r.path += "?with_children=true" }
}

// RequestID is found in the gateway's log and in a problem document; the gateway makes one without it.
func RequestID(id string) Option {
	return func(r *request) { r.header.Set("X-Request-Id", id) }
}

// Into keeps the answer, of a success as well as of a problem. After a failure of the network it is as it was.
func Into(a *Answer) Option {
	return func(r *request) { r.into = a }
}
