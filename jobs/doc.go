// Package jobs is everything that says Asynq: the task send_webhook, its client, the servers that work on it, the
// archive of dead letters and the dashboard.
//
// It promises that a task holds ids and nothing else, that its id is "<delivery_id>:<generation>" so that enqueueing
// twice is enqueueing once, that first tries and retries have lanes (queues) of their own and one handler, that a task
// is only acked when the record says so, and that whatever Redis loses is found by what it answers to
// [Client.MissingTasks], [Client.ExpiredLeases] and [Client.RedisIncarnation]. Asynq's own counters decide nothing: the
// budget of attempts is in the database.
//
// It heeds what is known about Asynq v0.26: the connection of the servers detaches contexts, because Asynq hands its
// syncer contexts that are already canceled; a command that fails waits a moment, because Asynq's dequeue loop does
// not; errors are compared with errors.Is; MaxRetry is out of reach, because the last retry is archived even when
// nothing failed; nothing that Asynq calls outside its recover can panic. Two of its scripts, known by their SHA-1, are
// answered here: a dequeue takes several tasks at once, and dones that meet are told together.
//
// It serves internal/outbox (as outbox.Tasks) and internal/app. It judges no answer and writes no SQL: see
// internal/delivery.
package jobs
