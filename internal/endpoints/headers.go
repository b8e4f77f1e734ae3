package endpoints

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

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

var ownedPrefixes = []string{"content-", "webhook-", "x-webhook-", "ctrip-"}

// checkHeaders says what is wrong with the custom headers of an endpoint, "" when nothing is.
func checkHeaders(custom map[string]string) string {
	if len(custom) > maxCustomHeaders {
		return fmt.Sprintf("at most %d headers", maxCustomHeaders)
	}
	seen := make(map[string]bool, len(custom))
	for name, value := range custom {
		lower := strings.ToLower(name)
		switch {
		case name == "" || len(name) > maxHeaderName || strings.ContainsFunc(name, notToken):
			return fmt.Sprintf("%q is no header name of at most %d characters", name, maxHeaderName)
		case slices.Contains(owned, lower) ||
			slices.ContainsFunc(ownedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }):
			return fmt.Sprintf("%q is set by the gateway or belongs to the connection", name)
		case seen[lower]:
			return fmt.Sprintf("%q is given twice", name)
		case len(value) > maxHeaderValue:
			return fmt.Sprintf("the value of %q is longer than %d bytes", name, maxHeaderValue)
		case !utf8.ValidString(value) ||
			strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return fmt.Sprintf("the value of %q holds control characters", name)
		}
		seen[lower] = true
	}
	return ""
}

func notToken(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}
