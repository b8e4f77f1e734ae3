package models

import "errors"

// Errors that every room shares. A door translates them into its own language in one table.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
)
