package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
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

// Rule exempts one range of addresses, on some ports, from the deny table and from the limit to ports 80 and 443. It
// allows nothing else: not another address of the same name, and not plain http in production.
type Rule struct {
	Owner  string // a merchant id, [OwnerDefault], or "" for everybody
	Prefix netip.Prefix
	Ports  PortSet
}

func (r Rule) allows(who Tenant, ip netip.Addr, port uint16) bool {
	mine := r.Owner == "" || r.Owner == who.Merchant || r.Owner == OwnerDefault && who.Default
	return mine && r.Prefix.Contains(ip) && r.Ports.Has(port)
}

// String is the rule as [ParseAllow] reads it.
func (r Rule) String() string {
	s := r.Prefix.String()
	if r.Ports != (PortSet{}) {
		if r.Prefix.Addr().Is6() {
			s = "[" + s + "]"
		}
		s += ":" + strconv.Itoa(int(r.Ports.From))
		if r.Ports.To != r.Ports.From {
			s += "-" + strconv.Itoa(int(r.Ports.To))
		}
	}
	if r.Owner != "" {
		s = r.Owner + "=" + s
	}
	return s
}

// ParseAllow reads WEBHOOK_ALLOW: entries [OWNER=]CIDR[:ports], separated by commas or space.
//
// CIDR is a range or a single address (127.0.0.0/8, 10.0.0.7, ::1); IPv6 with ports stands in brackets
// ([fc00::/7]:8080). Ports are one port or a range (8080, 9000-9999); without them the entry allows every port. OWNER
// is a merchant id or WEBHOOK_URL; without it the entry serves everybody, unless it goes through [Scoped]. An empty
// text is no rules. The error names every bad entry.
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
	cidr, ports, hasPorts := entry, "", false
	if owner, rest, ok := strings.Cut(entry, "="); ok {
		if owner != OwnerDefault && (len(owner) < 5 || !strings.HasPrefix(owner, "mer_")) {
			return Rule{}, errors.New("the owner is neither a merchant id (mer_…) nor " + OwnerDefault)
		}
		r.Owner, cidr = owner, rest
	}
	switch {
	case strings.HasPrefix(cidr, "["):
		inner, rest, ok := strings.Cut(cidr[1:], "]")
		if !ok || !strings.Contains(inner, ":") {
			return Rule{}, errors.New("want [IPv6 range]:ports")
		}
		bits, rest, found := strings.Cut(rest, ":") // bits as in [fc00::]/7:80
		if bits != "" && bits[0] != '/' {
			return Rule{}, errors.New("want [IPv6 range]:ports")
		}
		cidr, ports, hasPorts = inner+bits, rest, found
	case strings.Count(cidr, ":") == 1:
		cidr, ports, hasPorts = strings.Cut(cidr, ":")
	}
	var err error
	if r.Prefix, err = parsePrefix(cidr); err != nil {
		return Rule{}, err
	}
	if hasPorts {
		if r.Ports, err = parsePorts(ports); err != nil {
			return Rule{}, err
		}
	}
	return r, nil
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

func (p *policy) allows(who Tenant, ip netip.Addr, port uint16) bool {
	for _, r := range p.rules {
		if r.allows(who, ip, port) {
			return true
		}
	}
	return false
}

// refuse says why who may not connect to ip:port, or nothing.
func (p *policy) refuse(who Tenant, ip netip.Addr, port uint16) string {
	ip = ip.Unmap()
	if p.allows(who, ip, port) {
		return ""
	}
	if what := denied(ip); what != "" {
		return what
	}
	if port != 80 && port != 443 {
		return "not on port 80 or 443"
	}
	return ""
}
