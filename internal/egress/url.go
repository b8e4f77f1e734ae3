package egress

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxURL is the longest URL of an endpoint, in bytes.
const MaxURL = 2048

// URLError says why the form of a URL is refused, in words for the merchant who gave it. It does not repeat the URL.
type URLError struct {
	Reason string
	// Hint is what else leads there, "" where nothing does: how a receiver on the developer's own machine gets its events.
	Hint string
}

func (e *URLError) Error() string { return "url " + e.Reason }

// Words are the reason and the hint, to stand behind the name of the field.
func (e *URLError) Words() string {
	if e.Hint == "" {
		return e.Reason
	}
	return e.Reason + ". " + e.Hint
}

// ownMachine is the hint for a receiver that the gateway may not reach. Who may change WEBHOOK_ALLOW is the operator,
// in development the same person.
func (p *policy) ownMachine(entries string) string {
	const hint = "For a receiver on your own machine run `ctripctl listen --forward-to URL`, which fetches the events"
	if p.requireHTTPS || entries == "" {
		return hint
	}
	return hint + "; in development the gateway's operator can also allow it: WEBHOOK_ALLOW=" + entries
}

// lookup is UTS #46 as for a look-up in the DNS: it folds case and width, and gives ASCII.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(true),
	idna.VerifyDNSLength(true))

var (
	localNames    = []string{".internal", ".local", ".localhost", ".home.arpa"}
	localhostIPv4 = netip.MustParseAddr("127.0.0.1")
	localhostIPv6 = netip.IPv6Loopback()
)

// target is a URL that passed the rules of form.
type target struct {
	text    string
	request *http.Request // what every request to it begins as; never changed
}

// checkURL applies every rule that needs no resolver. The error is a *URLError.
func (p *policy) checkURL(who Tenant, raw string) (*target, error) {
	u, err := p.parse(raw)
	if err != nil {
		return nil, err
	}
	port, reason := portOf(u)
	if reason != "" {
		return nil, &URLError{Reason: reason}
	}
	host, ip, reason := hostOf(u)
	if reason != "" {
		return nil, &URLError{Reason: reason}
	}
	to := destination{port: port}
	if !ip.IsValid() {
		to.host = host
	}
	switch {
	case ip.IsValid():
		if what := p.refuse(who, ip, port); what != "" {
			if strings.HasPrefix(what, "not on port") {
				return nil, &URLError{Reason: portReason, Hint: p.ownMachine(entryOf(ip, port))}
			}
			return nil, &URLError{Reason: "must not point to " + what, Hint: p.ownMachine(entryOf(ip, port))}
		}
	case host == "localhost":
		if !p.allows(who, to, localhostIPv4) || !p.allows(who, to, localhostIPv6) {
			return nil, &URLError{Reason: "must not point to localhost",
				Hint: p.ownMachine(entryOf(localhostIPv4, port) + "," + entryOf(localhostIPv6, port))}
		}
	case !p.allowsName(who, to):
		if reason := nameReason(host); reason != "" {
			return nil, &URLError{Reason: reason, Hint: p.ownMachine(entryOfName(host, port))}
		}
		if port != 80 && port != 443 {
			return nil, &URLError{Reason: portReason, Hint: p.ownMachine(entryOfName(host, port))}
		}
	}
	u.Host = host
	if ip.Is6() {
		u.Host = "[" + host + "]"
	}
	if u.Scheme == "http" && port != 80 || u.Scheme == "https" && port != 443 {
		u.Host += ":" + strconv.Itoa(int(port))
	}
	u.RawQuery = asciiQuery(u.RawQuery)
	t := &target{text: u.String(), request: &http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}}
	if len(t.text) > MaxURL {
		return nil, &URLError{Reason: "is longer than 2048 bytes"}
	}
	return t, nil
}

// parse checks everything about a URL but its host and port.
func (p *policy) parse(raw string) (*url.URL, error) {
	if len(raw) > MaxURL {
		return nil, &URLError{Reason: "is longer than 2048 bytes"}
	}
	if !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	}) {
		return nil, &URLError{Reason: "must not contain spaces, control or invisible characters"}
	}
	u, err := url.Parse(raw)
	if !strings.Contains(raw, "://") { // localhost:3000, shop.example/hooks
		return nil, &URLError{Reason: p.schemeReason()}
	}
	if err != nil || u.Opaque != "" {
		return nil, &URLError{Reason: "is not a valid URL"}
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || p.requireHTTPS):
		return nil, &URLError{Reason: p.schemeReason()}
	case u.User != nil:
		return nil, &URLError{Reason: "must not contain a user name or password; use custom headers"}
	case u.Host == "":
		return nil, &URLError{Reason: "has no host"}
	case strings.Contains(raw, "#"):
		return nil, &URLError{Reason: "must not have a fragment (#…), which is never sent"}
	}
	return u, nil
}

// portReason is why a URL with another port is refused.
const portReason = "must use port 80 or 443"

// entryOf is the entry of WEBHOOK_ALLOW that allows an address and a port, and no others.
func entryOf(ip netip.Addr, port uint16) string {
	return Rule{Prefix: netip.PrefixFrom(ip, ip.BitLen()), Ports: PortSet{port, port}}.String()
}

// entryOfName is the same for a name; "" for one that no entry may allow.
func entryOfName(host string, port uint16) string {
	entry := Rule{Host: host, Ports: PortSet{port, port}}.String()
	if _, err := ParseAllow(entry); err != nil {
		return ""
	}
	return entry
}

func (p *policy) schemeReason() string {
	if p.requireHTTPS {
		return "must start with https://"
	}
	return "must start with https:// or http://"
}

func portOf(u *url.URL) (uint16, string) {
	if strings.HasSuffix(u.Host, ":") {
		return 0, "has an empty port"
	}
	switch port := u.Port(); {
	case port != "":
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return 0, "has a port outside 1 to 65535"
		}
		return uint16(n), ""
	case u.Scheme == "http":
		return 80, ""
	default:
		return 443, ""
	}
}

// hostOf gives the host in its only spelling: an address, or a lower-case ASCII name without a final dot.
func hostOf(u *url.URL) (string, netip.Addr, string) {
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() {
			return "", netip.Addr{}, "has an invalid IPv6 address"
		}
		if ip.Zone() != "" {
			return "", netip.Addr{}, "must not contain an IPv6 zone"
		}
		ip = ip.Unmap()
		return ip.String(), ip, ""
	}
	host, err := lookup.ToASCII(strings.TrimSuffix(foldDots(host), "."))
	if err != nil || host == "" {
		return "", netip.Addr{}, "has an invalid host name"
	}
	host = strings.ToLower(host)
	if !endsInNumber(host) {
		return host, netip.Addr{}, ""
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", netip.Addr{}, "must not use a numeric, octal, hexadecimal or shortened form of an IP address"
	}
	return host, ip, ""
}

// foldDots turns the other full stops that IDNA takes for dots into dots, so that a final one is seen.
func foldDots(s string) string {
	return strings.NewReplacer("。", ".", "．", ".", "｡", ".").Replace(s)
}

// endsInNumber is the test by which browsers and the C library take a host for IPv4: its last part is digits, or 0x and
// hexadecimal digits. No top-level domain is like that.
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func nameReason(host string) string {
	if !strings.Contains(host, ".") {
		return "must use a full domain name"
	}
	for _, suffix := range localNames {
		if strings.HasSuffix(host, suffix) {
			return "must not use a name under " + suffix
		}
	}
	if host == "home.arpa" {
		return "must not use a name under .home.arpa"
	}
	return ""
}

// asciiQuery percent-encodes what url.URL leaves raw in a query, so that the request line is ASCII.
func asciiQuery(q string) string {
	const digits = "0123456789ABCDEF"
	if strings.IndexFunc(q, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return q
	}
	var b strings.Builder
	for _, c := range []byte(q) {
		if c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
