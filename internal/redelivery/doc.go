// Package redelivery sends events once more: one delivery at a merchant's or an operator's wish, or everything that
// matches a replay job.
//
// It promises that what is sent again is the same body under the same webhook-id, in a delivery of its own with a
// budget of its own; that what waits anyway is only made due and never doubled; and that a replay job goes on where it
// was when its worker dies, because a step is one transaction. It makes no request: new deliveries go the way of any
// other, see internal/delivery.
package redelivery
