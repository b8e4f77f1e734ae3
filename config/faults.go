package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with the settings. Neither part ever holds a secret's value.
type Fault struct {
	// Name is the variable (OPERATOR_TOKEN) or the place in the chains file (chains[0].tokens[1].decimals).
	Name string
	// Problem says what is wrong and what is wanted.
	Problem string
}

// String gives "NAME: problem".
func (f Fault) String() string { return f.Name + ": " + f.Problem }

// Faults is the error of [Load], [Config.Need] and [ParseChains]: everything that is wrong, in the order of the struct.
type Faults struct {
	All []Fault
}

// Error lists every fault, one a line.
func (f *Faults) Error() string {
	var b strings.Builder
	noun := "faults"
	if len(f.All) == 1 {
		noun = "fault"
	}
	fmt.Fprintf(&b, "config: %d %s:", len(f.All), noun)
	for _, fault := range f.All {
		b.WriteString("\n  ")
		b.WriteString(fault.String())
	}
	return b.String()
}

// Has reports whether a fault names the variable or place.
func (f *Faults) Has(name string) bool {
	for _, fault := range f.All {
		if fault.Name == name {
			return true
		}
	}
	return false
}

func (f *Faults) add(name, format string, args ...any) {
	f.All = append(f.All, Fault{Name: name, Problem: fmt.Sprintf(format, args...)})
}

func (f *Faults) orNil() error {
	if len(f.All) == 0 {
		return nil
	}
	return f
}

// problem is an error whose text was written here and therefore holds no value.
type problem string

func (p problem) Error() string { return string(p) }
