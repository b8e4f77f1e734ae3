package delivery

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/webhook"
)

const redacted = "[redacted]"

// Call is what one request is made of.
type Call struct {
	ID          string // of the event
	Body        []byte
	Attempt     int // counts from 1
	At          time.Time
	Secrets     webhook.Secrets
	Custom      map[string]string
	Traceparent string
	Positions   string // of the event, of a batch those of its events; "" where none is known
}

// Header builds the headers of the request that docs/webhooks.md lists. Custom headers come first, so that ours
// win whatever they say.
func (c Call) Header() http.Header {
	h := make(http.Header, 10+len(c.Custom))
	for name, value := range c.Custom {
		h.Set(name, value)
	}
	h["Content-Type"] = []string{webhook.ContentType}
	h["User-Agent"] = []string{webhook.UserAgent}
	if h["Accept"] == nil { // some firewalls answer 403 without one
		h["Accept"] = []string{"*/*"}
	}
	if c.Traceparent != "" {
		h["Traceparent"] = []string{c.Traceparent}
	}
	if c.Positions != "" {
		h.Set(webhook.HeaderEventPosition, c.Positions)
	} else {
		h.Del(webhook.HeaderEventPosition)
	}
	c.Secrets.SetHeaders(h, c.ID, c.At, c.Attempt, c.Body)
	return h
}

// signatures are the headers whose values are not recorded.
var signatures = []string{
	http.CanonicalHeaderKey(webhook.HeaderSignature), http.CanonicalHeaderKey(webhook.HeaderSignaturePrevious),
	http.CanonicalHeaderKey(webhook.HeaderSignatureNext), http.CanonicalHeaderKey(webhook.HeaderStandardSignature),
}

// recordRequest is the JSON object of the request's headers for people: signatures and custom values are redacted.
func recordRequest(h http.Header, custom map[string]string) string {
	return headerJSON(h, func(name string) bool {
		if slices.Contains(signatures, name) {
			return true
		}
		for c := range custom {
			if strings.EqualFold(c, name) {
				return true
			}
		}
		return false
	})
}

// recordResponse is the JSON object of the answer's headers, cookies redacted.
func recordResponse(h http.Header) string {
	return headerJSON(h, func(name string) bool { return name == "Set-Cookie" || name == "Www-Authenticate" })
}

// maxRecorded bounds what is kept of a set of headers, in bytes.
const maxRecorded = 4 << 10

// headerJSON writes headers as a JSON object with one string a name, in the order of the names.
func headerJSON(h http.Header, hide func(name string) bool) string {
	var space [16]string
	names := space[:0]
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	b := make([]byte, 0, 512)
	b = append(b, '{')
	for _, name := range names {
		value := redacted
		if !hide(name) {
			value = h[name][0]
			if len(h[name]) > 1 {
				value = strings.Join(h[name], ", ")
			}
		}
		if len(b)+len(name)+len(value) > maxRecorded {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendJSON(b, name)
		b = append(b, ':')
		b = appendJSON(b, value)
	}
	return string(append(b, '}'))
}

// appendJSON appends s as a JSON string. What is no UTF-8 becomes U+FFFD; NUL, which jsonb cannot hold, is left out.
func appendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == 0:
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
