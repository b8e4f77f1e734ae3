package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// form is a JSON Schema as it is held against the bytes of a body, without decoding them first. It knows the keywords
// that our schemas use; [compileForm] refuses others, so that none is passed over.
type form struct {
	kinds    string // first bytes of the values that it takes: { [ " 0 t n; "" takes all
	pattern  *regexp.Regexp
	one      []string // enum and const
	bounded  bool     // min or max is set
	min, max int64    // of numbers
	shortest int      // in characters, as longest
	longest  int      // -1 is no limit, as in the other limits
	either   []*form  // exactly one has to fit

	members    map[string]*member // nil where the schema names none
	required   uint64             // bits of members
	closed     bool
	others     *form // of members that are not named
	nameLimit  int   // in characters
	maxMembers int

	items              *form
	minItems, maxItems int
	unique             bool

	when, then *form
}

// member is a named member of an object.
type member struct {
	form *form
	bit  uint64
}

// misfit is why a body does not fit.
type misfit struct{ at, why string }

func (m *misfit) Error() string { return strings.TrimPrefix(m.at, ".") + " " + m.why }

// within puts the name of a member or an item before the place.
func (m *misfit) within(name string) *misfit { return &misfit{name + m.at, m.why} }

// check holds a body against the form; nil fits.
func (f *form) check(body []byte) error {
	if !json.Valid(body) {
		return errors.New("is not JSON")
	}
	if m := f.fits(bytes.TrimSpace(body)); m != nil {
		return m
	}
	return nil
}

// fits holds one value, of good syntax and with nothing around it, against the form.
func (f *form) fits(v []byte) *misfit {
	kind := v[0]
	switch kind {
	case 'f':
		kind = 't'
	case '-', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		kind = '0'
	}
	if f.kinds != "" && strings.IndexByte(f.kinds, kind) < 0 {
		return &misfit{why: "has another type"}
	}
	if m := f.fitsKind(kind, v); m != nil {
		return m
	}
	if f.one != nil && kind != '"' {
		return &misfit{why: "is none of what it may be"}
	}
	if f.either != nil {
		fitting := 0
		for _, branch := range f.either {
			if branch.fits(v) == nil {
				fitting++
			}
		}
		if fitting != 1 {
			return &misfit{why: "fits " + strconv.Itoa(fitting) + " of the forms of which it must have one"}
		}
	}
	if f.when != nil && f.then != nil && f.when.fits(v) == nil {
		return f.then.fits(v)
	}
	return nil
}

func (f *form) fitsKind(kind byte, v []byte) *misfit {
	switch kind {
	case '"':
		return f.fitsText(v)
	case '0':
		return f.fitsNumber(v)
	case '{':
		return f.fitsObject(v)
	case '[':
		return f.fitsList(v)
	}
	return nil
}

// text is the value of a JSON string.
func text(v []byte) []byte {
	if bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return v[1 : len(v)-1]
	}
	var s string
	_ = json.Unmarshal(v, &s) // its syntax is good
	return []byte(s)
}

func (f *form) fitsText(v []byte) *misfit {
	if f.pattern == nil && f.one == nil && f.shortest == 0 && f.longest < 0 {
		return nil
	}
	s := text(v)
	if f.one != nil && !slices.ContainsFunc(f.one, func(one string) bool { return one == string(s) }) {
		return &misfit{why: "is none of what it may be"}
	}
	if f.shortest > 0 || f.longest >= 0 {
		if n := utf8.RuneCount(s); n < f.shortest || f.longest >= 0 && n > f.longest {
			return &misfit{why: "is too short or too long"}
		}
	}
	if f.pattern != nil && !f.pattern.Match(s) {
		return &misfit{why: "does not match " + f.pattern.String()}
	}
	return nil
}

func (f *form) fitsNumber(v []byte) *misfit {
	if f.kinds == "" && !f.bounded {
		return nil
	}
	n, err := strconv.ParseInt(string(v), 10, 64) // at a number beyond the range it is the end of the range
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return &misfit{why: "is no whole number in plain digits"}
	case f.min > math.MinInt64 && (n < f.min || err != nil && n < 0),
		f.max < math.MaxInt64 && (n > f.max || err != nil && n > 0):
		return &misfit{why: "is too small or too large"}
	}
	return nil
}

func (f *form) fitsObject(v []byte) *misfit {
	var seen uint64
	count := 0
	for at := space(v, 1); v[at] != '}'; count++ {
		if v[at] == ',' {
			at = space(v, at+1)
		}
		end := skip(v, at)
		name := text(v[at:end])
		from := space(v, space(v, end)+1) // after the colon
		to := skip(v, from)
		at = space(v, to)
		if m := f.members[string(name)]; m != nil {
			if seen&m.bit != 0 {
				return &misfit{"." + string(name), "is there twice"}
			}
			seen |= m.bit
			if bad := m.form.fits(v[from:to]); bad != nil {
				return bad.within("." + string(name))
			}
		} else if bad := f.fitsOther(name, v[from:to]); bad != nil {
			return bad.within("." + string(name))
		}
	}
	if missing := f.required &^ seen; missing != 0 {
		for name, m := range f.members {
			if missing&m.bit != 0 {
				return &misfit{"." + name, "is missing"}
			}
		}
	}
	if f.maxMembers >= 0 && count > f.maxMembers {
		return &misfit{why: "has too many members"}
	}
	return nil
}

// fitsOther holds a member that the schema does not name against what it says of those.
func (f *form) fitsOther(name, v []byte) *misfit {
	switch {
	case f.closed:
		return &misfit{why: "has no place here"}
	case f.nameLimit >= 0 && utf8.RuneCount(name) > f.nameLimit:
		return &misfit{why: "has too long a name"}
	case f.others != nil:
		return f.others.fits(v)
	}
	return nil
}

func (f *form) fitsList(v []byte) *misfit {
	count := 0
	var seen map[string]bool
	if f.unique {
		seen = make(map[string]bool)
	}
	for at := space(v, 1); v[at] != ']'; count++ {
		if v[at] == ',' {
			at = space(v, at+1)
		}
		end := skip(v, at)
		item := v[at:end]
		at = space(v, end)
		if f.items != nil {
			if bad := f.items.fits(item); bad != nil {
				return bad.within("[" + strconv.Itoa(count) + "]")
			}
		}
		if f.unique {
			key := string(item)
			if item[0] == '"' {
				key = `"` + string(text(item))
			}
			if seen[key] {
				return &misfit{why: "has an item twice"}
			}
			seen[key] = true
		}
	}
	if count < f.minItems || f.maxItems >= 0 && count > f.maxItems {
		return &misfit{why: "has too few or too many items"}
	}
	return nil
}

// space is the first place from at on that holds no space.
func space(v []byte, at int) int {
	for v[at] == ' ' || v[at] == '\t' || v[at] == '\n' || v[at] == '\r' {
		at++
	}
	return at
}

// skip is where the value at a place ends, in JSON of good syntax.
func skip(v []byte, at int) int {
	depth := 0
	for {
		switch v[at] {
		case '"':
			for at++; v[at] != '"'; at++ {
				if v[at] == '\\' {
					at++
				}
			}
			at++
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		case ',', ':', ' ', '\t', '\n', '\r':
			at++
			continue
		default:
			for at < len(v) && strings.IndexByte(",:}] \t\n\r", v[at]) < 0 {
				at++
			}
		}
		if depth == 0 {
			return at
		}
	}
}
