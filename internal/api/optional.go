package api

import "encoding/json"

// Optional is a field of a PATCH that tells three things apart: left out (the zero value), null (Set without Value),
// and a value.
type Optional[T any] struct {
	Set   bool
	Value *T
}

// UnmarshalJSON is only called for fields that are there.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	return json.Unmarshal(b, &o.Value)
}

// MarshalJSON writes the value, or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// IsZero reports whether the field was left out.
func (o Optional[T]) IsZero() bool { return !o.Set }
