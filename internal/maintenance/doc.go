// Package maintenance is the upkeep that workers do beside sending: it forms batches for the endpoints that asked for
// them, deletes what is over and old, and watches what nobody asks about until it is too late.
//
// A [Batcher] promises that an event is in one batch at most, however many Batchers there are. [Retention] promises
// never to touch what still waits to be sent, payments, or the audit log. A [Watch] tells of secrets that grow old, of
// endpoints that reject signatures, and of an audit log that is not as it was written. Any number of each may run
// beside the others. None of them makes a request: see internal/delivery.
package maintenance
