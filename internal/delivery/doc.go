// Package delivery carries an event to an endpoint: one attempt and its verdict.
//
// A [Sender] makes attempts. It promises that a request is only made for a delivery that is pending, due and of the
// task's generation; that every request that was made is on record before its task is done; that a success counts from
// any generation and a failure only from the current one; that [Judge] is the one table from an answer to its meaning;
// and that one endpoint never takes more than its share of the requests in flight. It does not know Asynq: it gets a
// [Task] and answers with an [Outcome], and jobs does the rest.
//
// It serves jobs. It does not choose when to enqueue: see internal/outbox. It does not change endpoints: see
// internal/endpoints.
package delivery
