// Package delivery carries an event to an endpoint: one attempt and its verdict, and the deeds on endpoints and
// deliveries that merchants and operators order.
//
// A [Sender] makes attempts. It promises that a request is only made for a delivery that is pending, due and of the
// task's generation; that every request that was made is on record before its task is done; that a success counts from
// any generation and a failure only from the current one; that [Judge] is the one table from an answer to its meaning;
// and that one endpoint never takes more than its share of the requests in flight. It does not know Asynq: it gets a
// [Task] and answers with an [Outcome], and jobs does the rest.
//
// A [Service] makes, changes and removes endpoints, rotates their secrets and orders redeliveries, each through the
// transaction of its caller and with its audit line. Every secret is sealed by the vault before it is stored.
//
// It serves jobs (attempts), internal/api, internal/admin and internal/web (deeds). It does not choose when to enqueue:
// see internal/outbox.
package delivery
