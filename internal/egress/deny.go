package egress

import "net/netip"

const (
	privateAddress   = "a private address"
	sharedAddress    = "a shared (carrier) address"
	benchmarkAddress = "a benchmarking address"
)

// denyTable lists the addresses that are nobody's public server. The words go to the merchant, so they name the kind of
// address only.
var denyTable = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "an unspecified address"},
	{netip.MustParsePrefix("10.0.0.0/8"), privateAddress},
	{netip.MustParsePrefix("100.64.0.0/10"), sharedAddress},
	{netip.MustParsePrefix("127.0.0.0/8"), "a loopback address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud metadata address"},
	{netip.MustParsePrefix("169.254.0.0/16"), "a link-local address"},
	{netip.MustParsePrefix("172.16.0.0/12"), privateAddress},
	{netip.MustParsePrefix("192.0.0.0/24"), "a protocol address"},
	{netip.MustParsePrefix("192.0.2.0/24"), "a documentation address"},
	{netip.MustParsePrefix("192.88.99.0/24"), "a 6to4 relay address"},
	{netip.MustParsePrefix("192.168.0.0/16"), privateAddress},
	{netip.MustParsePrefix("198.18.0.0/15"), benchmarkAddress},
	{netip.MustParsePrefix("198.51.100.0/24"), "a documentation address"},
	{netip.MustParsePrefix("203.0.113.0/24"), "a documentation address"},
	{netip.MustParsePrefix("224.0.0.0/4"), "a multicast address"},
	{netip.MustParsePrefix("240.0.0.0/4"), "a reserved or broadcast address"},

	{netip.MustParsePrefix("::/128"), "an unspecified address"},
	{netip.MustParsePrefix("::1/128"), "a loopback address"},
	{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), "an IPv4-translated address"},
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a NAT64 address"},
	{netip.MustParsePrefix("100::/64"), "a discard address"},
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},
	{netip.MustParsePrefix("2001::/23"), "a protocol address"},
	{netip.MustParsePrefix("2001:db8::/32"), "a documentation address"},
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},
	{netip.MustParsePrefix("3fff::/20"), "a documentation address"},
	{netip.MustParsePrefix("5f00::/16"), "a segment-routing address"},
	{netip.MustParsePrefix("fc00::/7"), privateAddress},
	{netip.MustParsePrefix("fe80::/10"), "a link-local address"},
	{netip.MustParsePrefix("fec0::/10"), "a site-local address"},
	{netip.MustParsePrefix("ff00::/8"), "a multicast address"},
}

// metadata lists where clouds keep credentials in ranges that are private otherwise.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd00:42::42/128"),
	netip.MustParsePrefix("fd20:ce::/32"),
}

// nameable reports whether a rule about a name can lead to such addresses: they belong to networks that a deployment
// has of its own. Everything else on the table is the machine itself, its cloud, or an address that hides another one.
func nameable(what string) bool {
	return what == "" || what == privateAddress || what == sharedAddress || what == benchmarkAddress
}

// freedByName reports whether a rule about a name can ever lead to an address.
func freedByName(ip netip.Addr) bool {
	for _, p := range metadata {
		if p.Contains(ip) {
			return false
		}
	}
	return nameable(denied(ip))
}

// globalV6 is all of IPv6 that has been given out as public addresses; what lies outside is denied even where the table
// has no name for it.
var globalV6 = netip.MustParsePrefix("2000::/3")

// denied says what is wrong with an address, or nothing when it is public. IPv4 inside ::ffff:0:0/96 is judged as the
// IPv4 address that a socket would reach. The zero Addr and every address with a zone are denied.
func denied(a netip.Addr) string {
	if !a.IsValid() {
		return "not an address"
	}
	if a.Zone() != "" {
		return "an address with a zone"
	}
	a = a.Unmap()
	for _, d := range denyTable {
		if d.prefix.Contains(a) {
			return d.what
		}
	}
	if a.Is6() && !globalV6.Contains(a) {
		return "not a public address"
	}
	return ""
}
