// Package events makes the events that the gateway stores and sends: the envelope with its id, time and nonce, the
// data, and the bytes.
//
// It promises that no body leaves it that does not fit the JSON Schema of its type or is larger than 64 KiB, so that a
// receiver can rely on the published schemas, and that every event has an id and a nonce of its own. It does not decide
// when an event is due, and writes nothing: internal/payments and internal/endpoints decide, internal/outbox publishes.
package events
