package models

import "time"

// DeliveryState is where a delivery stands.
type DeliveryState string

const (
	// DeliveryPending waits for its next attempt. A delivery starts here, and comes back when its endpoint is enabled or
	// resumed. It is left when the attempt succeeds, when no attempt remains, or when the endpoint is disabled, paused or
	// deleted.
	DeliveryPending DeliveryState = "pending"
	// DeliveryHeld waits until its endpoint is enabled or resumed, which makes it pending. It is canceled when the
	// endpoint is deleted, or after 30 days.
	DeliveryHeld DeliveryState = "held"
	// DeliveryDelivered was answered with 2xx. It is never left.
	DeliveryDelivered DeliveryState = "delivered"
	// DeliveryDead has no attempt left, or got an answer that is final. It is left only when a POST that was under way
	// succeeds after all; to send the event again is a new delivery.
	DeliveryDead DeliveryState = "dead"
	// DeliveryCanceled is not sent, because its endpoint was deleted or it was held for too long. It is left only when a
	// POST that was under way succeeds.
	DeliveryCanceled DeliveryState = "canceled"
)

// DeliveryStates lists every state in the order of a delivery's life.
var DeliveryStates = []DeliveryState{DeliveryPending, DeliveryHeld, DeliveryDelivered, DeliveryDead, DeliveryCanceled}

// DeliveryMoves says which state may follow which, and why.
var DeliveryMoves = []struct {
	From, To DeliveryState
	Why      string
}{
	{DeliveryPending, DeliveryDelivered, "the receiver answered 2xx"},
	{DeliveryPending, DeliveryDead, "the attempts are spent, or the answer is final"},
	{DeliveryPending, DeliveryHeld, "the endpoint was paused or disabled"},
	{DeliveryPending, DeliveryCanceled, "the endpoint was deleted"},
	{DeliveryHeld, DeliveryPending, "the endpoint was enabled or resumed"},
	{DeliveryHeld, DeliveryDelivered, "a POST that was under way answered 2xx"},
	{DeliveryHeld, DeliveryCanceled, "the endpoint was deleted, or 30 days passed"},
	{DeliveryDead, DeliveryDelivered, "a POST of an older generation answered 2xx"},
	{DeliveryCanceled, DeliveryDelivered, "a POST that was under way answered 2xx"},
}

// CanMove reports whether the table [DeliveryMoves] allows from → to.
func (from DeliveryState) CanMove(to DeliveryState) bool {
	for _, m := range DeliveryMoves {
		if m.From == from && m.To == to {
			return true
		}
	}
	return false
}

// Terminal reports whether nothing more will be sent for the delivery.
func (s DeliveryState) Terminal() bool {
	return s == DeliveryDelivered || s == DeliveryDead || s == DeliveryCanceled
}

// Delivery is one event on its way to one endpoint. It is the record; the Asynq task named
// "<id>:<generation>" only carries it for a while and can be lost without loss.
type Delivery struct {
	ID         string `gorm:"primaryKey"`
	EventID    string
	EndpointID string
	MerchantID string
	PaymentID  *string
	EventType  string
	State      DeliveryState
	// Test is whether the event is of test mode. It is nil in batch deliveries and in rows that are older than modes.
	Test *bool
	// Generation fences tasks: a failure counts only from the task of the current generation.
	Generation int
	// Attempts counts the POSTs made for this row; AttemptBase those made for earlier rows of the same event and
	// endpoint, so that webhook-attempt goes on over replays.
	Attempts      int
	AttemptBase   int
	MaxAttempts   int
	NextAttemptAt time.Time
	// SweepAfter is when the sweeper may take the row for lost: later than a live task can still need.
	SweepAfter time.Time
	LastClass  string
	LastStatus int
	DeadReason string
	ReplayOf   *string
	ReplayID   *string // the replay job that ordered it
	// SignWith, of a test, is the role of the one secret that signs it: current, next or previous, or all. "" is no test.
	SignWith string
	// Suspended rows are pending without a task, because nobody knows yet when they can be sent: the breaker of the
	// endpoint is open, or deliveries are paused. They get a task when that is over.
	Suspended bool `gorm:"column:parked"`
	// Traceparent is the event's, where it was read with the row.
	Traceparent string `gorm:"-"`
	// Slow says that the task of the current generation is in the lane of slow endpoints.
	Slow bool
	// BatchID names the batch that holds the event, or the endpoint while the delivery waits for a batch. Once the
	// generation is above 1 the delivery goes alone, and the batch is where it was before. A row with a batch and no
	// event is the batch delivery itself.
	BatchID *string
	// ArchivedAt is set once the dead delivery's task was put into Asynq's archive, where operators see it.
	ArchivedAt  *time.Time
	DeadAt      *time.Time
	DeliveredAt *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// InBatch reports whether the delivery is a member of a batch that was formed: the batch delivery is sent in its place.
func (d Delivery) InBatch() bool {
	return d.BatchID != nil && d.EventID != "" && d.Generation == 1 && *d.BatchID != d.EndpointID
}

// NeedsTask reports whether the delivery waits for a task of its own. Others are over, held, suspended, or sent in a
// batch.
func (d Delivery) NeedsTask() bool {
	alone := d.BatchID == nil || d.EventID == "" || d.Generation > 1
	return d.State == DeliveryPending && !d.Suspended && alone
}

// IsTest reports whether somebody sent it to try the endpoint, whatever event it carries.
func (d Delivery) IsTest() bool { return d.SignWith != "" || d.EventType == "webhook.test" }

// Attempt is one POST that was made, and what came back.
type Attempt struct {
	ID         string `gorm:"primaryKey"`
	DeliveryID string
	EventID    string
	EndpointID string
	MerchantID string
	Number     int // as sent in webhook-attempt
	Generation int
	Class      string
	StatusCode int // 0 when no status line came back
	Error      string
	// RequestHeaders and ResponseHeaders hold one value a name; signatures and custom values are "[redacted]".
	RequestHeaders  map[string]string `gorm:"serializer:json"`
	ResponseHeaders map[string]string `gorm:"serializer:json"`
	ResponseBody    []byte
	RemoteIP        string `gorm:"column:remote_ip"`
	// Timings in microseconds; 0 where the step did not happen (a reused connection has no DNS, connect and TLS).
	DNSMicros       int64 `gorm:"column:dns_us"`
	ConnectMicros   int64 `gorm:"column:connect_us"`
	TLSMicros       int64 `gorm:"column:tls_us"`
	FirstByteMicros int64 `gorm:"column:first_byte_us"`
	TotalMicros     int64 `gorm:"column:total_us"`
	StartedAt       time.Time
	// Tries are the requests of an attempt that made more than one, oldest first.
	Tries []Try `gorm:"serializer:json"`
}

// Try is one of several requests of an attempt.
type Try struct {
	At       time.Time `json:"at"`
	RemoteIP string    `json:"remote_ip,omitempty"` // "" when there was no connection
	Error    string    `json:"error,omitempty"`     // "" for the one that was answered
}
