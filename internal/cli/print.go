package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// answer prints v as JSON when that was asked for, and as people like it otherwise.
func (sh *shell) answer(v any, forPeople func() error) error {
	if !sh.json {
		return forPeople()
	}
	enc := json.NewEncoder(sh.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// list is the JSON of every list.
type list[T any] struct {
	Data []T `json:"data"`
}

// table prints rows under headings, or what to say of an empty list.
func (sh *shell) table(headings, none string, rows [][]string) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(sh.out, none)
		return err
	}
	w := tabwriter.NewWriter(sh.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(headings, " ", "\t"))
	for _, r := range rows {
		for i, cell := range r {
			if cell == "" {
				r[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// facts prints pairs of a name and a value, leaving out empty values, and then a note.
func (sh *shell) facts(note string, pairs ...string) error {
	w := tabwriter.NewWriter(sh.out, 0, 0, 2, ' ', 0)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], pairs[i+1])
		}
	}
	if err := w.Flush(); err != nil || note == "" {
		return err
	}
	_, err := fmt.Fprintln(sh.out, "\n"+note)
	return err
}

func when(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
