package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Limits of a batch.
const (
	MaxBatchEvents = 100
	MaxBatchBytes  = 256 << 10
)

const (
	batchPrefix = "bat_"
	batchType   = "batch"
	batchOpen   = `{"type":"batch","events":[`
	batchClose  = `]}`
)

// ErrBatchSize is returned when a batch would hold no event, too many, or too many bytes.
var ErrBatchSize = errors.New("webhook: a batch holds 1 to 100 events and at most 256 KiB")

// EncodeBatch joins the stored bodies of events, byte for byte, into {"type":"batch","events":[…]}.
func EncodeBatch(bodies [][]byte) ([]byte, error) {
	joined := bytes.Join(bodies, []byte(","))
	if size := BatchSize(len(bodies), len(joined)-max(len(bodies)-1, 0)); len(bodies) == 0 ||
		len(bodies) > MaxBatchEvents || size > MaxBatchBytes {
		return nil, fmt.Errorf("%w: %d events, %d bytes", ErrBatchSize, len(bodies), size)
	}
	out := make([]byte, 0, len(batchOpen)+len(joined)+len(batchClose))
	out = append(out, batchOpen...)
	out = append(out, joined...)
	return append(out, batchClose...), nil
}

// BatchSize is the length in bytes of a batch of that many events whose bodies have that many bytes together.
func BatchSize(events, bodyBytes int) int {
	return len(batchOpen) + bodyBytes + max(events-1, 0) + len(batchClose)
}

func isBatch(body []byte) bool {
	var head struct {
		Type string `json:"type"`
	}
	return json.Unmarshal(body, &head) == nil && head.Type == batchType
}

func parseBatch(body []byte) (Message, error) {
	var b struct {
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return Message{}, fmt.Errorf("%w: batch: %w", ErrMalformed, err)
	}
	if len(b.Events) == 0 || len(b.Events) > MaxBatchEvents {
		return Message{}, fmt.Errorf("%w: batch of %d events", ErrMalformed, len(b.Events))
	}
	m := Message{Batch: true}
	seen := make(map[string]bool, len(b.Events))
	for i, raw := range b.Events {
		e, err := Decode(raw)
		if err != nil {
			return Message{}, fmt.Errorf("events[%d]: %w", i, err)
		}
		if seen[e.ID] {
			return Message{}, fmt.Errorf("%w: batch holds an event twice", ErrMalformed)
		}
		seen[e.ID] = true
		m.Events = append(m.Events, e)
		m.bodies = append(m.bodies, raw)
	}
	return m, nil
}
