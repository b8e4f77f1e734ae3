package config

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// Secret is a string that prints as [redacted] with every fmt verb, in slog, JSON and YAML. The value is string(s).
type Secret string

// Reveal returns the value. Calls to it are the places to read when asking where a secret goes.
func (s Secret) Reveal() string { return string(s) }

// String returns [redacted], or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// Format prints [redacted] whatever the verb.
func (s Secret) Format(f fmt.State, verb rune) { printAs(f, verb, s.String()) }

// GoString prints the same with %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue prints the same in slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText prints the same in every text encoding, JSON among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON prints the same.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// URL is an address that may carry a password or an API key: it prints as scheme and host only. The value is string(u).
type URL string

// Reveal returns the whole URL.
func (u URL) Reveal() string { return string(u) }

// String returns scheme://host, with /… when something was left out behind it.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	p, ok := splitURL(string(u))
	if !ok {
		return redacted
	}
	if p.scheme == "sqlite" {
		return "sqlite://" + redacted
	}
	s := p.scheme + "://" + p.hosts
	if strings.Trim(p.rest, "/") != "" {
		s += "/…"
	}
	return s
}

// Host returns host:port as written, for labels and messages; empty when the value is no URL.
func (u URL) Host() string {
	p, _ := splitURL(string(u))
	return p.hosts
}

// Format prints the redacted form whatever the verb.
func (u URL) Format(f fmt.State, verb rune) { printAs(f, verb, u.String()) }

// GoString prints the same with %#v.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// LogValue prints the same in slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText prints the same in every text encoding.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalJSON prints the same.
func (u URL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

func printAs(f fmt.State, verb rune, s string) {
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		s = strconv.Quote(s)
	}
	_, _ = io.WriteString(f, s)
}

// urlParts is a URL taken apart without net/url, which refuses lists of hosts.
type urlParts struct {
	scheme, user, password, hosts, rest string
	hasPassword                         bool
}

var hostList = regexp.MustCompile(`^(([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?,?)*$`)

// splitURL cuts scheme://user:password@hosts/rest without decoding. It refuses what could be read two ways, such as an
// @ behind the host, because a part of a password might then pass for a host.
func splitURL(raw string) (p urlParts, ok bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found || scheme == "" || strings.ContainsAny(scheme, "/?#@: ") {
		return urlParts{}, false
	}
	p.scheme = strings.ToLower(scheme)
	p.hosts = rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		p.hosts, p.rest = rest[:i], rest[i:]
	}
	if i := strings.LastIndex(p.hosts, "@"); i >= 0 {
		p.user, p.password, p.hasPassword = strings.Cut(p.hosts[:i], ":")
		p.hosts = p.hosts[i+1:]
	}
	if strings.Contains(p.rest, "@") || !hostList.MatchString(p.hosts) {
		return urlParts{}, false
	}
	return p, true
}
