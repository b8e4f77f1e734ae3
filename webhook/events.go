package webhook

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// EventType says what happened. Receivers must let types they do not know pass with a 2xx.
type EventType string

// The event types.
const (
	PaymentCreated         EventType = "payment.created"
	PaymentPartiallyPaid   EventType = "payment.partially_paid"
	PaymentDetected        EventType = "payment.detected"
	PaymentConfirmed       EventType = "payment.confirmed"
	PaymentOverpaid        EventType = "payment.overpaid"
	PaymentLate            EventType = "payment.late"
	PaymentExpired         EventType = "payment.expired"
	PaymentCanceled        EventType = "payment.canceled"
	PaymentReorged         EventType = "payment.reorged"
	PaymentMisdirected     EventType = "payment.misdirected"
	EndpointDisabled       EventType = "endpoint.disabled"
	EndpointSecretExpiring EventType = "endpoint.secret_expiring"
	WebhookTest            EventType = "webhook.test"
)

// Patterns of an endpoint's subscription, besides the exact types.
const (
	PatternAll      = "*"
	PatternPayments = "payment.*"
)

// EventTypes returns every type, in the order of a payment's life, endpoints last.
func EventTypes() []EventType {
	return []EventType{
		PaymentCreated, PaymentPartiallyPaid, PaymentDetected, PaymentConfirmed, PaymentOverpaid, PaymentLate, PaymentExpired,
		PaymentCanceled, PaymentReorged, PaymentMisdirected, EndpointDisabled, EndpointSecretExpiring, WebhookTest,
	}
}

// IsPayment reports whether events of the type carry a payment.
func (t EventType) IsPayment() bool { return len(t) > 8 && t[:8] == "payment." }

// Matches reports whether an endpoint that subscribed to pattern wants events of type t.
func Matches(pattern string, t EventType) bool {
	switch pattern {
	case PatternAll:
		return true
	case PatternPayments:
		return t.IsPayment()
	}
	return pattern == string(t)
}

// ValidPattern reports whether pattern may stand in a subscription: "*", "payment.*" or an exact type.
func ValidPattern(pattern string) bool {
	return pattern == PatternAll || pattern == PatternPayments || slices.Contains(EventTypes(), EventType(pattern))
}

// Limits of an event's body.
const (
	MaxEventBytes = 64 << 10
	MaxTransfers  = 20
)

// APIVersion is the version of the body's format that [Encode] writes.
const APIVersion = "2026-11-01"

// Errors of [Encode].
var (
	ErrTooLarge = errors.New("webhook: event is larger than 64 KiB")
	ErrNoData   = errors.New("webhook: event has no data of its type")
)

// Event is the body of a webhook request. It is encoded once, when it happens; every attempt and replay sends the same
// bytes.
type Event struct {
	ID         string    `json:"id"` // evt_…; dedupe by it
	Type       EventType `json:"type"`
	APIVersion string    `json:"api_version"`
	CreatedAt  Time      `json:"created_at"`
	Timestamp  int64     `json:"timestamp"` // CreatedAt in Unix seconds
	Nonce      string    `json:"nonce"`     // 32 hex digits
	MerchantID string    `json:"merchant_id"`
	Data       Data      `json:"data"`
}

// Data is what the event tells about: a payment, or an endpoint.
type Data struct {
	Payment *Payment
	// Misdirected is the transfer that payment.misdirected reports; nil in all other events.
	Misdirected *Misdirected
	Endpoint    *Endpoint
	// Retracts lists the ids of events that a reorg made untrue; nil (null in JSON) except in payment.reorged.
	Retracts []string
}

type paymentData struct {
	Payment     *Payment     `json:"payment"`
	Misdirected *Misdirected `json:"misdirected,omitempty"`
	Retracts    []string     `json:"retracts"`
}

type endpointData struct {
	Endpoint *Endpoint `json:"endpoint"`
}

// MarshalJSON writes payment, misdirected (only where there is one) and retracts; or endpoint alone.
func (d Data) MarshalJSON() ([]byte, error) {
	if d.Payment != nil {
		return marshal(paymentData{d.Payment, d.Misdirected, d.Retracts})
	}
	return marshal(endpointData{d.Endpoint})
}

// UnmarshalJSON reads either form and ignores members that it does not know.
func (d *Data) UnmarshalJSON(b []byte) error {
	var both struct {
		paymentData
		endpointData
	}
	if err := json.Unmarshal(b, &both); err != nil {
		return err
	}
	*d = Data{Payment: both.Payment, Misdirected: both.Misdirected, Endpoint: both.Endpoint, Retracts: both.Retracts}
	return nil
}

// NewNonce returns 32 hex digits from random; nil means crypto/rand. The error is random's.
func NewNonce(random io.Reader) (string, error) {
	if random == nil {
		random = rand.Reader
	}
	var raw [16]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("webhook: new nonce: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

// Encode writes the body of e: compact JSON in the order of the fields, without HTML escaping and without a newline at
// the end. Bytes that are not UTF-8 become U+FFFD. An event without the data of its type is [ErrNoData], one of more
// than [MaxEventBytes] is [ErrTooLarge].
func Encode(e Event) ([]byte, error) {
	if e.Type.IsPayment() && e.Data.Payment == nil || !e.Type.IsPayment() && e.Data.Endpoint == nil {
		return nil, fmt.Errorf("%w: %s %s", ErrNoData, e.Type, e.ID)
	}
	body, err := marshal(e)
	if err != nil {
		return nil, fmt.Errorf("webhook: encode event %s: %w", e.ID, err)
	}
	if len(body) > MaxEventBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrTooLarge, e.ID, len(body))
	}
	return body, nil
}

// Decode reads the body of one event and ignores members that it does not know. It verifies nothing: see [Verify]. A
// body that is not such an event is [ErrMalformed].
func Decode(body []byte) (Event, error) {
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("%w: event: %w", ErrMalformed, err)
	}
	if e.ID == "" || e.Type == "" {
		return Event{}, fmt.Errorf("%w: event without id or type", ErrMalformed)
	}
	return e, nil
}

// marshal is json.Marshal without HTML escaping, also for what a MarshalJSON of this package returns.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
