// Package payments moves payments. Whoever wants one to change, the API or a scanner, comes here; the row, its event
// and the deliveries of that event are written in one transaction, or not at all.
//
// It promises that what a payment is follows from its transfers and the time of its chain alone ([Decide] is a pure
// function of both), so that a block read twice, a reorg or a crash cannot leave it half way; and that an event's body
// is checked against its schema before it is stored. It does not read chains (internal/scanner) and sends nothing
// (internal/delivery).
package payments
