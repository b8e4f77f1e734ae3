package models

import (
	"errors"
	"strings"
)

// Errors that every room shares. A door translates them into its own language in one table.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
)

// Fault is a field that breaks a rule: what is wrong with its value, and a good one. A merchant reads both.
type Fault struct {
	Field   string
	Message string
	Example string
}

// Faults are all the fields of one request that break a rule.
type Faults []Fault

func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Field + " " + f.Message
	}
	return strings.Join(lines, "; ")
}
