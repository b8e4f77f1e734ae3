package egress

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// deniedAddresses are the first and last addresses of every denied range, and addresses known from attacks.
var deniedAddresses = []string{
	"0.0.0.0", "0.1.2.3", "0.255.255.255", "10.0.0.0", "10.1.2.3", "10.255.255.255", "100.64.0.0", "100.100.100.200",
	"100.127.255.255", "127.0.0.0", "127.0.0.1", "127.0.0.53", "127.255.255.255", "168.63.129.16", "169.254.0.0",
	"169.254.169.254", "169.254.170.2", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.192",
	"192.0.0.255", "192.0.2.0", "192.0.2.255", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255", "198.18.0.0",
	"198.19.255.255", "198.51.100.0", "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0", "224.0.0.1",
	"239.255.255.255", "240.0.0.0", "254.255.255.255", "255.255.255.255",
	"::", "::1", "::7f00:1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
	"64:ff9b::", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b::ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
	"100::", "100::ffff:ffff:ffff:ffff", "2001::", "2001:0:7f00:1::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2001:2::1",
	"2001:10::1", "2001:20::1", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:7f00:1::",
	"2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "5f00::",
	"5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fc00::", "fd00:ec2::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::",
	"fe80::1%eth0", "febf::1", "fec0::", "feff::1", "ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"4000::1", "200::1", "1::1",
}

var publicAddresses = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
	"198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15",
	"2606:4700:4700::1111", "2001:200::1", "2001:4860:4860::8888", "2003::1", "3ffe::1", "2a00::1", "::ffff:8.8.8.8",
}

func TestDenyTable(t *testing.T) {
	for _, s := range deniedAddresses {
		if denied(netip.MustParseAddr(s)) == "" {
			t.Errorf("%s is not denied", s)
		}
	}
	for _, s := range publicAddresses {
		if what := denied(netip.MustParseAddr(s)); what != "" {
			t.Errorf("%s is denied as %s", s, what)
		}
	}
	if denied(netip.Addr{}) == "" {
		t.Error("the zero address is not denied")
	}
}

// TestDeniedLiterals: each denied address is refused as part of a URL, whichever way IPv4 is dressed up in IPv6.
func TestDeniedLiterals(t *testing.T) {
	c := newClient(t, Options{})
	for _, s := range deniedAddresses {
		ip := netip.MustParseAddr(s)
		urls := []string{"https://" + bracket(ip) + "/hook", "http://" + bracket(ip) + ":80"}
		if ip.Is4() {
			urls = append(urls, "https://[::ffff:"+s+"]/", "https://"+s+"./")
		}
		for _, raw := range urls {
			var form *URLError
			if _, err := c.CheckURL(Tenant{}, raw); !errors.As(err, &form) {
				t.Errorf("%s: %v", raw, err)
			}
			_, err := c.Do(t.Context(), Request{URL: raw})
			wantKind(t, raw, err, KindBlocked, true)
		}
	}
	for _, s := range publicAddresses {
		if _, err := c.CheckURL(Tenant{}, "https://"+bracket(netip.MustParseAddr(s))+"/"); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func bracket(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	if ip.Zone() != "" {
		return "[" + ip.WithZone("").String() + "%25" + ip.Zone() + "]"
	}
	return "[" + ip.String() + "]"
}

// TestDeniedAnswers: each denied address is refused as the answer of a resolver, alone and beside public ones, in any
// order.
func TestDeniedAnswers(t *testing.T) {
	good := []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2606:4700:4700::1111")}
	for _, s := range deniedAddresses {
		bad := netip.MustParseAddr(s)
		for _, answers := range [][]netip.Addr{{bad}, {good[0], good[1], bad}, {bad, good[0]}, {good[0], bad, good[1]}} {
			c := newClient(t, Options{Resolver: answer(answers...)})
			for _, raw := range []string{"https://hooks.example.com/", "http://hooks.example.com/"} {
				_, err := c.Do(t.Context(), Request{URL: raw})
				wantKind(t, s, err, KindBlocked, false)
			}
		}
	}
}

// TestDeniedOnTheSocket: the second guard stands by itself, should an unchecked address ever get as far as a dial.
func TestDeniedOnTheSocket(t *testing.T) {
	d := &dialer{policy: &policy{rules: mustAllow(t, "10.0.0.7:80")}}
	for _, s := range deniedAddresses {
		to := netip.AddrPortFrom(netip.MustParseAddr(s), 443)
		network := "tcp6"
		if to.Addr().Is4() {
			network = "tcp4"
		}
		var blocked *blockedError
		if err := d.control(network, to.String(), nil); !errors.As(err, &blocked) {
			t.Errorf("%s: %v", s, err)
		}
	}
	_, err := d.connect(t.Context(), netip.MustParseAddrPort("127.0.0.1:443"))
	if Classify(err) != KindBlocked {
		t.Errorf("dial: %v", err)
	}
	for address, ok := range map[string]bool{
		"1.1.1.1:443": true, "1.1.1.1:80": true, "1.1.1.1:22": false, "10.0.0.7:80": true, "10.0.0.7:443": false, "10.0.0.8:80": false,
		"nonsense": false, "1.1.1.1": false, "": false,
	} {
		if err := d.control("tcp4", address, nil); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := d.control("unix", "1.1.1.1:443", nil); err == nil {
		t.Error("a network other than tcp passed")
	}
}

// TestRebinding: a name that was public when it was checked is judged by what it is at each dial.
func TestRebinding(t *testing.T) {
	server := rawServer(t, respond("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	raw := "http://localhost:" + server.port() + "/"
	lookups := 0
	resolver := resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		lookups++
		if lookups == 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
	})
	c := newClient(t, Options{Resolver: resolver, Allow: mustAllow(t, "127.0.0.0/8,::1")})
	if _, err := c.CheckURL(Tenant{}, raw); err != nil || lookups != 0 {
		t.Fatalf("creation: %v, %d look-ups", err, lookups)
	}
	if r, err := c.Do(t.Context(), Request{URL: raw}); err != nil || r.Status != 200 || lookups != 1 {
		t.Fatalf("%v %v, %d look-ups", r.Status, err, lookups)
	}
	_, err := c.Do(t.Context(), Request{URL: raw})
	wantKind(t, "rebound", err, KindBlocked, false)
	if lookups != 2 {
		t.Errorf("%d look-ups: what was checked is not what is dialed", lookups)
	}
}
