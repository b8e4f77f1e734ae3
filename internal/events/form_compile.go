package events

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// formCompiler turns the schemas of one document into forms.
type formCompiler struct {
	defs map[string]any
	done map[string]*form
}

// compileForm turns a document, decoded with numbers as [json.Number], into a form.
func compileForm(doc any) (*form, error) {
	root, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("the schema is no object")
	}
	defs, _ := root["$defs"].(map[string]any)
	c := &formCompiler{defs: defs, done: make(map[string]*form)}
	return c.compile(root)
}

func (c *formCompiler) compile(schema any) (*form, error) {
	s, ok := schema.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a schema is %T", schema)
	}
	if ref, ok := s["$ref"].(string); ok {
		if len(s) > 2 || len(s) == 2 && s["description"] == nil {
			return nil, fmt.Errorf("%s: other keywords stand beside $ref", ref)
		}
		return c.refer(ref)
	}
	f := &form{min: math.MinInt64, max: math.MaxInt64, longest: -1, nameLimit: -1, maxMembers: -1, maxItems: -1}
	for keyword, v := range s {
		if err := c.keyword(f, keyword, v); err != nil {
			return nil, fmt.Errorf("%s: %w", keyword, err)
		}
	}
	for _, name := range stringsOf(s["required"]) {
		m := f.members[name]
		if m == nil {
			return nil, fmt.Errorf("%s is required and has no schema", name)
		}
		f.required |= m.bit
	}
	return f, nil
}

func (c *formCompiler) refer(ref string) (*form, error) {
	name, ok := strings.CutPrefix(ref, "#/$defs/")
	if !ok || c.defs[name] == nil {
		return nil, fmt.Errorf("no schema %s", ref)
	}
	if f := c.done[name]; f != nil {
		return f, nil
	}
	f, err := c.compile(c.defs[name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c.done[name] = f
	return f, nil
}

// firstBytes are the first bytes of values by the name of their type; t stands for f as well, and 0 for every number.
var firstBytes = map[string]string{"object": "{", "array": "[", "string": `"`, "integer": "0", "boolean": "t",
	"null": "n"}

// keyword takes one keyword into a form.
func (c *formCompiler) keyword(f *form, name string, v any) (err error) {
	switch name {
	case "$schema", "$defs", "title", "description", "format": // words for people, a format too
	case "required": // is taken last
	case "type":
		for _, kind := range stringsOf(v) {
			first := firstBytes[kind]
			if first == "" {
				return fmt.Errorf("%q is not known", kind)
			}
			f.kinds += first
		}
	case "const", "enum":
		if f.one = stringsOf(v); f.one == nil {
			return errors.New("holds no strings")
		}
	case "pattern":
		text, _ := v.(string)
		f.pattern, err = regexp.Compile(text)
	case "minimum":
		f.bounded = true
		f.min, err = whole(v)
	case "maximum":
		f.bounded = true
		f.max, err = whole(v)
	case "minLength":
		f.shortest, err = small(v)
	case "maxLength":
		f.longest, err = small(v)
	case "minItems":
		f.minItems, err = small(v)
	case "maxItems":
		f.maxItems, err = small(v)
	case "maxProperties":
		f.maxMembers, err = small(v)
	case "uniqueItems":
		f.unique = v == true
	default:
		return c.nested(f, name, v)
	}
	return err
}

// nested takes a keyword that holds schemas.
func (c *formCompiler) nested(f *form, name string, v any) (err error) {
	switch name {
	case "properties":
		named, _ := v.(map[string]any)
		f.members = make(map[string]*member, len(named))
		for name, schema := range named {
			m := &member{bit: 1 << len(f.members)}
			if m.bit == 0 {
				return errors.New("more than 64 members")
			}
			if m.form, err = c.compile(schema); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			f.members[name] = m
		}
	case "additionalProperties":
		if f.closed = v == false; !f.closed {
			f.others, err = c.compile(v)
		}
	case "propertyNames":
		s, _ := v.(map[string]any)
		if len(s) != 1 {
			return errors.New("wants maxLength alone")
		}
		f.nameLimit, err = small(s["maxLength"])
	case "items":
		f.items, err = c.compile(v)
	case "if":
		f.when, err = c.compile(v)
	case "then":
		f.then, err = c.compile(v)
	case "oneOf":
		branches, _ := v.([]any)
		for _, b := range branches {
			branch, err := c.compile(b)
			if err != nil {
				return err
			}
			f.either = append(f.either, branch)
		}
	default:
		return errors.New("this keyword is not known")
	}
	return err
}

// stringsOf is a list of strings, or one string; nil for anything else.
func stringsOf(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, _ := v.([]any)
	var all []string
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil
		}
		all = append(all, s)
	}
	return all
}

func whole(v any) (int64, error) { return strconv.ParseInt(fmt.Sprint(v), 10, 64) }

func small(v any) (int, error) { return strconv.Atoi(fmt.Sprint(v)) }
