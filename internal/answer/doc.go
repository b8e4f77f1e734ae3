// Package answer says what the answer of a receiver means, or the lack of one: delivered, to be tried again, or never.
//
// [Judge] is the one table from an HTTP status or a failure of the network to its meaning. It is pure and reads no
// clock. It does not decide when a delivery is tried again or when its budget is used up: see internal/delivery.
package answer
