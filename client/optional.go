package client

import "encoding/json"

// Optional is a setting in a change that tells three things apart: the zero value leaves it as it is, [Default] puts it
// back to the deployment's default, and [Set] sets it.
type Optional[T any] struct {
	set   bool
	value *T
}

// Set sets a setting.
func Set[T any](value T) Optional[T] { return Optional[T]{set: true, value: &value} }

// Default puts a setting back to the deployment's default.
func Default[T any]() Optional[T] { return Optional[T]{set: true} }

// MarshalJSON writes the value, or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.value) }

// IsZero reports whether the setting is left as it is; such a field is not sent.
func (o Optional[T]) IsZero() bool { return !o.set }
