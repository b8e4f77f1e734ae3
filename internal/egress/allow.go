package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Tenant is on whose behalf a request is made. It decides which rules apply and with whom connections are shared.
type Tenant struct {
	Merchant string // merchant id
	Default  bool   // the endpoint is the deployment's own WEBHOOK_URL
}

// OwnerDefault is the owner of rules that hold for the deployment's own WEBHOOK_URL only.
const OwnerDefault = "WEBHOOK_URL"

// PortSet is the ports From to To, both included. The zero PortSet is every port.
type PortSet struct{ From, To uint16 }

// Has says whether port is in the set.
func (p PortSet) Has(port uint16) bool { return p == PortSet{} || p.From <= port && port <= p.To }

// Rule exempts one range of addresses, or one name, on some ports, from the deny table, from the rules about names and
// from the limit to ports 80 and 443. It allows nothing else: not another address of the same name, and not plain http
// in production.
type Rule struct {
	Owner string // a merchant id, [OwnerDefault], or "" for everybody
	// Host is a name, or "*." and a suffix for all names below it; "" for a rule of addresses.
	Host string
	// Prefix is the range of a rule of addresses, or where a name may lead; the zero Prefix of a name is the private
	// ranges, beside all that is public.
	Prefix netip.Prefix
	Ports  PortSet
}

// destination is where a connection goes: a name, "" for a literal address, and a port.
type destination struct {
	host string
	port uint16
}

func (r Rule) serves(who Tenant) bool {
	return r.Owner == "" || r.Owner == who.Merchant || r.Owner == OwnerDefault && who.Default
}

// names reports whether the rule is about the name of a destination and its port.
func (r Rule) names(who Tenant, to destination) bool {
	if r.Host == "" || to.host == "" || !r.serves(who) || !r.Ports.Has(to.port) {
		return false
	}
	if suffix, ok := strings.CutPrefix(r.Host, "*"); ok {
		return strings.HasSuffix(to.host, suffix) && len(to.host) > len(suffix)
	}
	return r.Host == to.host
}

func (r Rule) allows(who Tenant, to destination, ip netip.Addr) bool {
	if r.Host == "" {
		return r.serves(who) && r.Prefix.Contains(ip) && r.Ports.Has(to.port)
	}
	if !r.names(who, to) || !freedByName(ip) {
		return false
	}
	if r.Prefix.IsValid() {
		return r.Prefix.Contains(ip)
	}
	what := denied(ip)
	return what == "" || what == privateAddress
}

// String is the rule as [ParseAllow] reads it.
func (r Rule) String() string {
	s := r.Host
	if r.Host == "" {
		s = r.Prefix.String()
		if r.Ports != (PortSet{}) && r.Prefix.Addr().Is6() {
			s = "[" + s + "]"
		}
	}
	if r.Ports != (PortSet{}) {
		s += ":" + strconv.Itoa(int(r.Ports.From))
		if r.Ports.To != r.Ports.From {
			s += "-" + strconv.Itoa(int(r.Ports.To))
		}
	}
	if r.Host != "" && r.Prefix.IsValid() {
		s += "=" + r.Prefix.String()
	}
	if r.Owner != "" {
		s = r.Owner + "=" + s
	}
	return s
}

// ParseAllow reads WEBHOOK_ALLOW: entries separated by commas or space, each of them [OWNER=]CIDR[:ports],
// [OWNER=]host[:ports][=CIDR] or [OWNER=]*.suffix[:ports][=CIDR].
//
// CIDR is a range or a single address (127.0.0.0/8, 10.0.0.7, ::1); IPv6 with ports stands in brackets
// ([fc00::/7]:8080). Ports are one port or a range (8080, 9000-9999); without them the entry allows every port. OWNER
// is a merchant id or WEBHOOK_URL; without it the entry serves everybody, unless it goes through [Scoped].
//
// A host (shop:8000, *.svc.cluster.local:8080) may be named by an endpoint on these ports, and may lead to addresses
// that are public or private, or to those of CIDR and no others. A name never leads to a loopback, link-local or
// metadata address: only an entry of addresses allows those. A suffix under which anybody may have a name (*.com) is
// refused. An empty text is no rules. The error names every bad entry.
func ParseAllow(text string) ([]Rule, error) {
	var rules []Rule
	var bad []error
	for _, entry := range strings.FieldsFunc(text, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	}) {
		rule, err := parseRule(entry)
		if err != nil {
			bad = append(bad, fmt.Errorf("entry %q: %w", entry, err))
			continue
		}
		rules = append(rules, rule)
	}
	if bad != nil {
		return nil, errors.Join(bad...)
	}
	return rules, nil
}

// Scoped gives every rule without an owner to the deployment's own WEBHOOK_URL, so that no merchant gains from it. It
// returns a copy.
func Scoped(rules []Rule) []Rule {
	out := make([]Rule, len(rules))
	for i, r := range rules {
		if r.Owner == "" {
			r.Owner = OwnerDefault
		}
		out[i] = r
	}
	return out
}

func parseRule(entry string) (Rule, error) {
	var r Rule
	rest := entry
	if owner, after, ok := strings.Cut(entry, "="); ok && (owner == OwnerDefault || strings.HasPrefix(owner, "mer_")) {
		if owner == "mer_" {
			return Rule{}, errors.New("the owner is neither a merchant id (mer_…) nor " + OwnerDefault)
		}
		r.Owner, rest = owner, after
	}
	rest, bound, hasBound := strings.Cut(rest, "=")
	text, ports, hasPorts, err := cutPorts(rest)
	if err != nil {
		return Rule{}, err
	}
	if hasPorts {
		if r.Ports, err = parsePorts(ports); err != nil {
			return Rule{}, err
		}
	}
	if looksLikeAddress(text) {
		if hasBound {
			return Rule{}, errors.New("the owner is neither a merchant id (mer_…) nor " + OwnerDefault)
		}
		r.Prefix, err = parsePrefix(text)
		return r, err
	}
	if r.Host, err = parseHost(text); err != nil {
		return Rule{}, err
	}
	if hasBound {
		r.Prefix, err = parseBound(bound)
	}
	return r, err
}

// cutPorts takes the ports off an entry. IPv6 with ports stands in brackets, as [fc00::/7]:80 or [fc00::]/7:80.
func cutPorts(s string) (text, ports string, found bool, err error) {
	switch {
	case strings.HasPrefix(s, "["):
		inner, rest, ok := strings.Cut(s[1:], "]")
		if !ok || !strings.Contains(inner, ":") {
			return "", "", false, errors.New("want [IPv6 range]:ports")
		}
		bits, ports, found := strings.Cut(rest, ":")
		if bits != "" && bits[0] != '/' {
			return "", "", false, errors.New("want [IPv6 range]:ports")
		}
		return inner + bits, ports, found, nil
	case strings.Count(s, ":") == 1:
		text, ports, found = strings.Cut(s, ":")
		return text, ports, found, nil
	}
	return s, "", false, nil
}

// looksLikeAddress tells a range or an address, however faulty, from a name.
func looksLikeAddress(s string) bool {
	return s == "" || strings.ContainsAny(s, "/:%") || endsInNumber(strings.TrimSuffix(s, "."))
}

// parseHost reads a name or *.suffix, in any spelling that an endpoint's URL may have.
func parseHost(s string) (string, error) {
	name, wild := strings.CutPrefix(s, "*.")
	host, err := lookup.ToASCII(strings.TrimSuffix(foldDots(name), "."))
	if err != nil || host == "" {
		return "", errors.New("not an IP address or CIDR range, and not a host name or *.suffix either")
	}
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "", errors.New("a name never allows a loopback address; allow the address, such as 127.0.0.1:8000")
	}
	if !wild {
		return host, nil
	}
	// An unknown top level is a network's own, such as cluster.local.
	if suffix, icann := publicsuffix.PublicSuffix(host); suffix == host && (icann || strings.Contains(host, ".")) {
		return "", fmt.Errorf("anybody may have a name under %s; say which, such as *.example.%s", host, host)
	}
	return "*." + host, nil
}

// parseBound reads where a name may lead.
func parseBound(s string) (netip.Prefix, error) {
	p, err := parsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("where the name may lead: %w", err)
	}
	for _, d := range denyTable {
		if d.prefix.Overlaps(p) && !nameable(d.what) {
			return netip.Prefix{}, fmt.Errorf("a name never leads to %s, which is in %s; allow the address itself", d.what, p)
		}
	}
	if !freedByName(p.Addr()) {
		return netip.Prefix{}, fmt.Errorf("a name never leads to a cloud's metadata, which is at %s", p.Addr())
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New("not an IP address or CIDR range")
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not an IP address or CIDR range")
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits beyond its prefix length; did you mean %s?", p.Masked())
	}
	return p, nil
}

func parsePorts(s string) (PortSet, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || a == 0 || a > b {
		return PortSet{}, errors.New("ports are one port or a range such as 9000-9999, within 1 to 65535")
	}
	return PortSet{From: uint16(a), To: uint16(b)}, nil
}

// policy is the rules of one Client.
type policy struct {
	rules        []Rule
	requireHTTPS bool
}

func (p *policy) allows(who Tenant, to destination, ip netip.Addr) bool {
	for _, r := range p.rules {
		if r.allows(who, to, ip) {
			return true
		}
	}
	return false
}

// allowsName reports whether an endpoint may name this host on this port, though the rules of form are against it.
func (p *policy) allowsName(who Tenant, to destination) bool {
	for _, r := range p.rules {
		if r.names(who, to) {
			return true
		}
	}
	return false
}

// refuse says why who may not connect to a literal ip:port, or nothing.
func (p *policy) refuse(who Tenant, ip netip.Addr, port uint16) string {
	return p.refuseAt(who, destination{port: port}, ip)
}

// refuseAt says why who may not connect to ip for the sake of a destination, or nothing.
func (p *policy) refuseAt(who Tenant, to destination, ip netip.Addr) string {
	ip = ip.Unmap()
	if p.allows(who, to, ip) {
		return ""
	}
	if what := denied(ip); what != "" {
		return what
	}
	if to.port != 80 && to.port != 443 {
		return "not on port 80 or 443"
	}
	return ""
}
