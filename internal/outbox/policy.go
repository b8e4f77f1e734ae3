package outbox

import (
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// Sweep says how long the sweeper leaves a delivery alone. Each delay is longer than a live task can need, because a
// row that is swept too early costs a second task, and one that is swept too late a delivery that nobody sends.
var Sweep = store.SweepDelays{
	Enqueued: enqueuedGrace,
	Retried:  180 * time.Second, // Asynq's own recovery of a task whose worker died takes up to 120 s
	Batched:  time.Hour,
	Resumed:  maxBatchWait + batchGrace,
	Deferred: time.Second,
	Least:    30 * time.Second,
	Most:     180 * time.Second,
}

const (
	// enqueuedGrace is how long a delivery that was never attempted is left to the producer.
	enqueuedGrace = 10 * time.Second
	// batchGrace is how long after the time of its batch a delivery is left to whoever forms it, before it is sent alone.
	batchGrace = enqueuedGrace
	// maxBatchWait is the longest wait for a batch that an endpoint may ask for.
	maxBatchWait = time.Minute
)

// Of the sweeper's passes.
const (
	defaultInterval = 2 * time.Second  // between two passes
	defaultTimeout  = 10 * time.Second // of a request, where neither the endpoint nor the deployment says anything
	defaultBatch    = 500              // rows that are taken at a time
	sweepWorkers    = 64
	// archiveGrace is how long after a death the worker that saw it has to archive the task.
	archiveGrace = 15 * time.Second
	archiveBatch = 200
	// probeLease is how long a half-open breaker waits for its probe: longer than the longest request, its commit and a
	// lost task together.
	probeLease = time.Minute
	// maxReleased is how many suspended deliveries of one endpoint are released in a pass.
	maxReleased = 10_000
	// settleSlack is how long after its timeout the verdict of a request is certainly on record.
	settleSlack = time.Second
)

// Of the producer.
const (
	defaultQueue   = 16_384 // deliveries that wait to be enqueued
	defaultWorkers = 64
	enqueueTimeout = 3 * time.Second
	// retryRedisAfter is how long nothing is enqueued after Redis did not answer.
	retryRedisAfter = time.Second
	// drainTimeout is how long a stopping producer enqueues what it still has.
	drainTimeout = 2 * time.Second
)

// Of the token bucket of each endpoint. What an endpoint has enqueued beyond it goes to the lane of slow endpoints, so
// that a thousand events for one endpoint never wait in front of those of others. That lane is as quick as any while no
// endpoint in it is slow.
const (
	bucketSize = 64
	bucketRate = 100    // tokens a second
	maxBuckets = 10_000 // endpoints that are remembered
)
