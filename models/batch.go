package models

import "time"

// Batch is several events in one signed request. It is formed once; a retry sends the same bytes under the same id.
//
// A batch delivery sends it: a delivery of the type [BatchType], without an event. The deliveries whose events it
// holds, its members, end as it ends and have no task. Merchants see neither the batch nor its delivery: a member
// shows the attempts of its batch delivery.
type Batch struct {
	ID         string `gorm:"primaryKey"` // its webhook-id
	MerchantID string
	EndpointID string
	Events     int
	Body       []byte
	Positions  string // of its events, in their order, with commas; "" of a batch of before there were positions
	CreatedAt  time.Time
	// Traceparent is that of the oldest event.
	Traceparent string
}

// BatchType is the event type of a batch delivery, and the type in its body.
const BatchType = "batch"

// DefaultBatchWait is how long the first event of a batch waits for company at an endpoint that says nothing about it.
const DefaultBatchWait = time.Second

// Batching reports whether the endpoint asked for batches, of how many events at most, and how long the first of them
// waits for the others.
func (e Endpoint) Batching() (most int, wait time.Duration, yes bool) {
	if e.BatchMaxEvents == nil || *e.BatchMaxEvents < 2 {
		return 0, 0, false
	}
	wait = DefaultBatchWait
	if e.BatchMaxWaitMS != nil {
		wait = time.Duration(*e.BatchMaxWaitMS) * time.Millisecond
	}
	return *e.BatchMaxEvents, wait, true
}
