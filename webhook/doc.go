// Package webhook is the wire between the gateway and a merchant's server: how a request is signed, how it is verified,
// what an event looks like, and a middleware for receivers. It needs nothing but the standard library.
//
// It promises that [Verify] accepts a request only when one of the given secrets signed exactly these bytes under this
// id within the tolerance, that comparing takes the same time whether or not a signature fits, that [Encode] gives the
// bytes the JSON Schemas describe ([Schema]), and that a [Secret] never prints itself.
//
// It does not send anything, stores nothing beyond the in-memory [MemoryGuard], and does not decide what an answer
// means to the sender.
//
// A receiver in Go wraps its handler in [Handler], or calls [Verify] on the raw body before parsing it. Delivery is at
// least once and in any order: dedupe by [Event].ID (for a batch, by the id of each member) and order the events of one
// payment by data.payment.sequence. Amounts are strings of base units up to 2^256−1: read them with math/big, never
// into a float or an int64.
//
// Receivers in other languages use the official Standard Webhooks library of that language with [Secret.RevealStandard]
// as the secret, or compare X-Webhook-Signature with the hex HMAC-SHA256 of the raw body.
package webhook
