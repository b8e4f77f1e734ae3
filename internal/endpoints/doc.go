// Package endpoints is what merchants and operators do with webhook endpoints: make, change, enable, disable, pause and
// delete them, rotate their secrets and the gateway's own signing keys, pause deliveries, and send test events.
//
// A [Service] promises that every operation writes through the transaction of its caller, its audit line included, so
// that what belongs to it (the answer kept for an idempotency key) is committed with it; that every secret is sealed by
// the vault before it is stored; and that no endpoint has a URL which the rules for outgoing requests refuse by its
// form. An operation whose request cannot be met returns models.FieldErrors or one of the errors of this package.
//
// It also opens an endpoint for whoever sends to it ([Service.Open]). It makes no request itself: see
// internal/delivery. Sending an event once more is the work of internal/redelivery.
package endpoints
