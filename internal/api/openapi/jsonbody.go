package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/models"
)

const jsonType = "application/json"

// checkMediaType refuses bodies that do not say they are plain JSON.
func checkMediaType(h http.Header) error {
	given := h.Get("Content-Type")
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return mediaType("The body is encoded; send it without Content-Encoding.")
	}
	kind, params, err := mime.ParseMediaType(given)
	switch {
	case given == "":
		return mediaType("Content-Type is missing; send application/json.")
	case err != nil || kind != jsonType:
		return mediaType(fmt.Sprintf("Content-Type is %q; send application/json.", models.Clip(given)))
	case params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8"):
		return mediaType("JSON is UTF-8; leave the charset out.")
	}
	h.Set("Content-Type", jsonType) // whatever its case, for those who read it after us
	return nil
}

func mediaType(detail string) error { return &Error{Reason: ReasonMediaType, Detail: detail} }

// decodeJSON reads one JSON value and is stricter than encoding/json: UTF-8 only, no name twice in an object, nothing
// after the value, no half of a surrogate pair. Numbers stay as written.
func decodeJSON(body []byte) (any, error) {
	bad := func(offset int, format string, args ...any) error {
		line, column := position(body, offset)
		return &Error{Reason: ReasonJSON, Detail: fmt.Sprintf("Line %d, column %d: ", line, column) +
			fmt.Sprintf(format, args...) + "."}
	}
	if bytes.HasPrefix(body, []byte("\uFEFF")) {
		return nil, bad(0, "there is a byte order mark before the JSON; leave it out")
	}
	if at := invalidUTF8(body); at >= 0 {
		return nil, bad(at, "this is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax):
			return nil, bad(max(int(syntax.Offset)-1, 0), "%s", syntax.Error())
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			return nil, bad(len(body), "the JSON ends too early")
		}
		return nil, bad(0, "%s", err.Error())
	}
	end := int(dec.InputOffset())
	if rest := bytes.TrimLeft(body[end:], " \t\r\n"); len(rest) > 0 {
		return nil, bad(len(body)-len(rest), "there is something after the JSON value")
	}
	if at := loneSurrogate(body); at >= 0 {
		return nil, bad(at, "this is half of a surrogate pair")
	}
	if name, at := repeatedName(body); at >= 0 {
		return nil, bad(at, "%q is given twice in the same object", models.Clip(name))
	}
	return value, nil
}

// position turns a byte offset into a line and a column, counted in characters from 1.
func position(body []byte, offset int) (line, column int) {
	before := body[:min(offset, len(body))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate finds a \u escape that is half of a pair, in JSON whose syntax is good. encoding/json would replace it.
func loneSurrogate(b []byte) int {
	for i := 0; i+1 < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++
		if b[i] != 'u' {
			continue
		}
		start := i - 1
		switch half(b[i+1:]) {
		case 1:
			if i+6 < len(b) && b[i+5] == '\\' && b[i+6] == 'u' && half(b[i+7:]) == 2 {
				i += 10
				continue
			}
			return start
		case 2:
			return start
		}
		i += 4
	}
	return -1
}

// half is 1 for four hex digits of a high surrogate, 2 for those of a low one, 0 otherwise.
func half(hex []byte) int {
	if len(hex) < 4 || hex[0]|0x20 != 'd' {
		return 0
	}
	switch c := hex[1] | 0x20; {
	case c == '8', c == '9', c == 'a', c == 'b':
		return 1
	case c >= 'c' && c <= 'f':
		return 2
	}
	return 0
}

// repeatedName finds a name that stands twice in one object, in JSON whose syntax is good.
func repeatedName(body []byte) (string, int) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		value bool            // the next token is a value
	}
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			return "", -1
		}
		top := len(stack) - 1
		if name, ok := token.(string); ok && top >= 0 && stack[top].names != nil && !stack[top].value {
			if stack[top].names[name] {
				return name, int(dec.InputOffset()) - 1
			}
			stack[top].names[name], stack[top].value = true, true
			continue
		}
		if top >= 0 {
			stack[top].value = false
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: make(map[string]bool)})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
	}
}
