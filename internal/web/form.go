package web

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

// choice is one value that a field may have.
type choice struct {
	Value, Label string
	Chosen       bool
}

// field is a field of a form, with what was wrong with its value.
type field struct {
	Name, Label, Kind, Value, Hint string // Kind is a type of input, or area, select, check or checks
	Error, Example                 string
	Choices                        []choice
	Chosen                         bool // of a check
	Needed                         bool
	More                           bool // stands under "More settings"
}

// form is a form of the portal. Its fields have the names that the API gives them, so that a [models.FieldErrors] finds
// the field that it is about.
type form struct {
	Action, Submit string
	Hidden         map[string]string
	Fields         []field
	Problem        string // that no field has
}

// Main and More are the two parts of a form; Opened says that something in the second is wrong.
func (f form) Main() []field { return f.part(false) }

// More are the fields that few need.
func (f form) More() []field { return f.part(true) }

func (f form) part(more bool) []field {
	return slices.DeleteFunc(slices.Clone(f.Fields), func(x field) bool { return x.More != more })
}

// Opened reports whether a field that few need is wrong.
func (f form) Opened() bool {
	return slices.ContainsFunc(f.Fields, func(x field) bool { return x.More && x.Error != "" })
}

// refuse puts an error beside the fields that it is about. It returns the error when it is none that a person who fills
// in a form can mend.
func (f *form) refuse(err error) error {
	var fields models.FieldErrors
	switch {
	case errors.As(err, &fields):
	case errors.Is(err, models.ErrConflict):
		f.Problem = sentence(err)
		return nil
	default:
		return err
	}
	var rest []string
	for _, e := range fields {
		i := slices.IndexFunc(f.Fields, func(x field) bool { return x.Name == e.Field })
		if i < 0 {
			rest = append(rest, e.Field+" "+e.Message+".")
			continue
		}
		f.Fields[i].Error, f.Fields[i].Example = e.Message, e.Example
	}
	f.Problem = strings.Join(rest, " ")
	if f.Problem == "" {
		f.Problem = "Nothing was changed: look at what is marked below."
	}
	return nil
}

// fill puts what was sent into the fields.
func (f *form) fill(sent url.Values) {
	for i := range f.Fields {
		x := &f.Fields[i]
		x.Value, x.Chosen = sent.Get(x.Name), sent.Has(x.Name)
		for j := range x.Choices {
			x.Choices[j].Chosen = slices.Contains(sent[x.Name], x.Choices[j].Value)
		}
	}
}

// choices are values that say what they are.
func choices(chosen []string, values ...string) []choice {
	out := make([]choice, len(values))
	for i, v := range values {
		out[i] = choice{v, v, slices.Contains(chosen, v)}
	}
	return out
}

// text is a field of a form as it was meant: without spaces around it, and with the line ends of everybody else.
func text(sent url.Values, name string) string {
	return strings.TrimSpace(strings.ReplaceAll(sent.Get(name), "\r\n", "\n"))
}

// formTime is how browsers write a local time, which the portal takes for UTC.
const formTime = "2006-01-02T15:04"

// timeOf reads a time that may be left out.
func timeOf(sent url.Values, name string, problems *models.FieldErrors) *time.Time {
	raw := text(sent, name)
	if raw == "" {
		return nil
	}
	for _, layout := range []string{formTime, "2006-01-02T15:04:05", time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, raw); err == nil {
			return &t
		}
	}
	*problems = append(*problems, models.FieldError{Field: name, Message: "must be a date and time in UTC",
		Example: "2026-11-28T09:30"})
	return nil
}

// numberOf reads a whole number, which may be left out.
func numberOf(sent url.Values, name string, problems *models.FieldErrors) *int {
	raw := text(sent, name)
	if raw == "" {
		return nil
	}
	n, err := strconv.ParseInt(raw, 10, 32)
	if err != nil || n > maxNumber || n < -maxNumber {
		*problems = append(*problems, models.FieldError{Field: name, Message: "must be a whole number", Example: "10"})
		return nil
	}
	return new(int(n))
}

// maxNumber keeps numbers of forms far from where they overflow when they are turned into milliseconds.
const maxNumber = 1_000_000
