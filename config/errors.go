package config

import (
	"fmt"
	"slices"
	"strings"
)

// FieldError is one thing wrong with the settings. Neither part ever holds a secret's value.
type FieldError struct {
	// Name is the variable (OPERATOR_TOKEN) or the key in the chains file (chains[0].tokens[1].decimals).
	Name string
	// Problem says what is wrong and what is wanted.
	Problem string
}

// String gives "NAME: problem".
func (e FieldError) String() string { return e.Name + ": " + e.Problem }

// FieldErrors is the error of [Load], [Config.Need] and [ParseChains]: everything that is wrong, in the order of the
// struct.
type FieldErrors struct {
	All []FieldError
}

// Error lists all of them, one a line.
func (e *FieldErrors) Error() string {
	var b strings.Builder
	noun := "faults"
	if len(e.All) == 1 {
		noun = "fault"
	}
	fmt.Fprintf(&b, "config: %d %s:", len(e.All), noun)
	for _, one := range e.All {
		b.WriteString("\n  ")
		b.WriteString(one.String())
	}
	return b.String()
}

// Has reports whether the variable, or the part of the chains file, is among them.
func (e *FieldErrors) Has(name string) bool {
	return slices.ContainsFunc(e.All, func(one FieldError) bool { return one.Name == name })
}

func (e *FieldErrors) add(name, format string, args ...any) {
	e.All = append(e.All, FieldError{Name: name, Problem: fmt.Sprintf(format, args...)})
}

func (e *FieldErrors) orNil() error {
	if len(e.All) == 0 {
		return nil
	}
	return e
}

// problem is an error whose text was written here and therefore holds no value.
type problem string

func (p problem) Error() string { return string(p) }
