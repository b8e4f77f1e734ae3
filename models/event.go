package models

import "time"

// Event is something that happened to a payment or an endpoint, told to the merchant. Body is built once, with the
// event, and every delivery and replay sends these bytes.
type Event struct {
	ID         string `gorm:"primaryKey"`
	MerchantID string
	PaymentID  *string
	EndpointID *string // the endpoint that an endpoint.* event tells about
	Type       string
	Sequence   int // of the payment, from 1; 0 for events without a payment
	Body       []byte
	Retracts   []string `gorm:"serializer:json"` // ids of events that a reorg made untrue
	CreatedAt  time.Time
	// Traceparent names the trace of what caused the event, "" where there is none.
	Traceparent string
	// Test says that the event is about a payment on a test chain or about a test endpoint. It decides who gets a new
	// event and is not stored: of a stored one the payment or the endpoint tells.
	Test bool `gorm:"-"`
	// About is what the filter of an endpoint asks about, of a new event of a payment. It is not stored.
	About *EventFacts `gorm:"-"`
	// Told are the endpoints that were sent something which this event retracts. It is not stored.
	Told []string `gorm:"-"`
	// Seq is the row's place in the log, given by the database.
	Seq int64 `gorm:"->"`
}
