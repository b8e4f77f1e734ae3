// Package outbox decides which endpoint gets an event ([FanOut]), writes event and deliveries ([Publish]), and turns
// due rows into tasks: the record is in the database, the tasks are only its execution buffer.
//
// The [Producer] hears of every delivery row after its commit and enqueues it, without ever holding up whoever
// committed. The [Sweeper] finds what has no live task, for whatever reason, and enqueues it again under a new
// generation: rows that were never enqueued, tasks that Redis lost (one by one or all at once), tasks that were
// archived or deleted by hand, and tasks whose worker died.
//
// How the sweeper knows, and how soon:
//
//   - A row's sweep_after has come (10 s after a first try was due, 180 s after a retry was): its task is looked up; a
//     live one moves sweep_after on, anything else is enqueued again.
//   - Redis is another incarnation than before (emptied, replaced, restarted): every pending row is looked up at
//     once, in the next pass. What has no task there is enqueued for when the requests that are under way now have
//     ended: their workers are alive, and a loss of Redis makes no duplicates.
//   - The lease of a task ran out, which means that its worker is dead: Asynq leases a task for 30 s and renews that
//     every 5 s; 10 s after the end of the lease the row is enqueued again. What a killed worker held is usually tried
//     again within 45 s, without a heartbeat of our own and without a write per attempt. Asynq's own recovery needs up
//     to 120 s; the old task that it brings back then is stale: it makes sure that the newer one exists, and is done.
//
// A sweeper never repeats a request by itself: enqueueing twice under two generations costs one dropped task. Any
// number of sweepers may run. The package knows no Asynq: jobs implements [Tasks]. It serves cmd/api, cmd/scanner and
// cmd/worker (producer) and cmd/worker (sweeper).
package outbox
