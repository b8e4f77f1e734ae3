// Package sqlguard is a [webhook.Guard] in the receiver's own SQL database, by database/sql: PostgreSQL, MySQL, SQLite.
// It remembers over restarts and for any number of processes which events were handled.
//
// It promises that of all claims of one id at most one is won until it is released or runs out, that a committed id
// stays done until [Guard.Forget] drops it, and that a claim that ran out and was taken over by another cannot be
// released.
//
// The surest receiver does without claims: it inserts the id in the very transaction that has the event's effect, and
// answers 2xx when the id was there. [Insert] is that statement.
package sqlguard
