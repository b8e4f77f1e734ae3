package models

import (
	"errors"
	"strings"
)

// Errors that every package shares. Each entry point translates them in one table.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
)

// FieldError is a field that breaks a rule: what is wrong with its value, and a good one. A merchant reads both.
type FieldError struct {
	Field   string
	Message string
	Example string
}

// FieldErrors are all the fields of one request that break a rule.
type FieldErrors []FieldError

func (fs FieldErrors) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Field + " " + f.Message
	}
	return strings.Join(lines, "; ")
}
