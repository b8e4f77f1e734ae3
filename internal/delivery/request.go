package delivery

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ctrip-gateway/ctrip/webhook"
)

const redacted = "[redacted]"

// Limits of custom headers.
const (
	maxCustomHeaders = 20
	maxHeaderName    = 100
	maxHeaderValue   = 2000
)

// owned are the names that custom headers may not take: what we send ourselves, and what belongs to the connection.
var owned = []string{
	"host", "user-agent", "traceparent", "tracestate", "connection", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings",
}

var ownedPrefixes = []string{"content-", "webhook-", "x-webhook-"}

// CheckHeaders says what is wrong with the custom headers of an endpoint, "" when nothing is (ruling 21).
func CheckHeaders(custom map[string]string) string {
	if len(custom) > maxCustomHeaders {
		return fmt.Sprintf("at most %d headers", maxCustomHeaders)
	}
	seen := make(map[string]bool, len(custom))
	for name, value := range custom {
		lower := strings.ToLower(name)
		switch {
		case name == "" || len(name) > maxHeaderName || strings.ContainsFunc(name, notToken):
			return fmt.Sprintf("%q is no header name of at most %d characters", name, maxHeaderName)
		case slices.Contains(owned, lower) || slices.ContainsFunc(ownedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }):
			return fmt.Sprintf("%q is set by the gateway or belongs to the connection", name)
		case seen[lower]:
			return fmt.Sprintf("%q is given twice", name)
		case len(value) > maxHeaderValue:
			return fmt.Sprintf("the value of %q is longer than %d bytes", name, maxHeaderValue)
		case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return fmt.Sprintf("the value of %q holds control characters", name)
		}
		seen[lower] = true
	}
	return ""
}

func notToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}

// Call is what one request is made of.
type Call struct {
	ID          string // of the event
	Body        []byte
	Attempt     int // counts from 1
	At          time.Time
	Secrets     webhook.Secrets
	Custom      map[string]string
	Traceparent string
}

// Header builds the headers of the request, as product.md section 4 lists them. Custom headers come first, so that ours
// win whatever they say.
func (c Call) Header() http.Header {
	h := make(http.Header, 10+len(c.Custom))
	for name, value := range c.Custom {
		h.Set(name, value)
	}
	h["Content-Type"] = []string{webhook.ContentType}
	h["User-Agent"] = []string{webhook.UserAgent}
	if c.Traceparent != "" {
		h["Traceparent"] = []string{c.Traceparent}
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
	var room [16]string
	names := room[:0]
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
