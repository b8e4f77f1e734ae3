package egress

import (
	"net/netip"
	"testing"
)

// TestNamesThatAreAllowed: an entry that names a host frees its name and ports, and for itself the bound or else the
// private ranges. It never frees the machine itself, its links or its cloud, nor anything for another name or owner.
func TestNamesThatAreAllowed(t *testing.T) {
	rules := mustAllow(t, "shop:8000, *.svc.cluster.local:8080-8081, mer_a=intranet.example.com=10.1.0.0/16, "+
		"WEBHOOK_URL=hooks.example.com:8443, carrier:80=100.64.0.0/10, anyport, 127.0.0.9:7000")
	a, b, own := Tenant{Merchant: "mer_a"}, Tenant{Merchant: "mer_b"}, Tenant{Merchant: "mer_b", Default: true}
	for _, x := range []struct {
		who  Tenant
		url  string
		to   string // what the name leads to
		form bool   // the URL may be given
		want bool   // and the address connected to
	}{
		{b, "http://shop:8000", "172.20.0.3", true, true}, {b, "http://SHOP:8000", "fd12::3", true, true},
		{b, "http://shop:8000", "8.8.8.8", true, true}, {b, "http://shop.:8000", "192.168.1.1", true, true},
		{b, "http://shop:8001", "172.20.0.3", false, false}, {b, "http://shop", "172.20.0.3", false, false},
		{b, "http://shop:8000", "127.0.0.1", true, false}, {b, "http://shop:8000", "::1", true, false},
		{b, "http://shop:8000", "169.254.169.254", true, false}, {b, "http://shop:8000", "fe80::1", true, false},
		{b, "http://shop:8000", "168.63.129.16", true, false}, {b, "http://shop:8000", "fd00:ec2::254", true, false},
		{b, "http://shop:8000", "fd20:ce::254", true, false}, {b, "http://shop:8000", "192.0.0.192", true, false},
		{b, "http://shop:8000", "0.0.0.0", true, false}, {b, "http://shop:8000", "224.0.0.1", true, false},
		{b, "http://shop:8000", "255.255.255.255", true, false}, {b, "http://shop:8000", "64:ff9b::7f00:1", true, false},
		{b, "http://shop:8000", "::ffff:127.0.0.1", true, false}, {b, "http://shop:8000", "2002:7f00:1::", true, false},
		{b, "http://shop:8000", "100.64.0.1", true, false}, {b, "http://shop:8000", "::ffff:10.0.0.1", true, true},
		{b, "http://shop.example.com:8000", "10.0.0.1", false, false}, {b, "http://workshop:8000", "10.0.0.1", false, false},
		{b, "http://a.b.svc.cluster.local:8080", "10.0.0.1", true, true}, {b, "http://svc.cluster.local:8080", "10.0.0.1", false, false},
		{b, "http://a.svc.cluster.local:8082", "10.0.0.1", false, false}, {b, "http://xsvc.cluster.local:8080", "10.0.0.1", false, false},
		{a, "https://intranet.example.com", "10.1.2.3", true, true}, {a, "https://intranet.example.com:9", "10.1.2.3", true, true},
		{a, "https://intranet.example.com", "10.2.2.3", true, false}, {a, "https://intranet.example.com", "8.8.8.8", true, true},
		{a, "https://intranet.example.com:9", "8.8.8.8", true, false}, {b, "https://intranet.example.com", "10.1.2.3", true, false},
		{b, "https://intranet.example.com:9", "10.1.2.3", false, false}, {own, "https://hooks.example.com:8443", "8.8.8.8", true, true},
		{b, "https://hooks.example.com:8443", "8.8.8.8", false, false}, {own, "https://hooks.example.com:8444", "8.8.8.8", false, false},
		{b, "http://carrier", "100.64.0.9", true, true}, {b, "http://carrier", "100.100.100.200", true, false},
		{b, "http://carrier", "10.0.0.1", true, false}, {b, "http://anyport:6379", "10.0.0.1", true, true},
		{b, "http://anyport:7000", "127.0.0.9", true, true}, // by the entry of that address
		{b, "http://10.0.0.1:8000", "10.0.0.1", false, false}, {b, "http://localhost:8000", "127.0.0.1", false, false},
	} {
		ip := netip.MustParseAddr(x.to)
		c := newClient(t, Options{Allow: rules, Resolver: answer(ip)})
		_, err := c.CheckURL(x.who, x.url)
		if (err == nil) != x.form {
			t.Errorf("%v may name %s: %v", x.who, x.url, err)
			continue
		}
		if err != nil {
			continue
		}
		target, err := c.target(x.who, x.url)
		if err != nil {
			t.Fatal(err)
		}
		port, _ := portOf(target.request.URL)
		host := target.request.URL.Hostname()
		if got := c.policy.refuseAt(x.who, destination{host, port}, ip); (got == "") != x.want {
			t.Errorf("%v to %s at %s: %q", x.who, x.url, x.to, got)
		}
		if !x.want {
			_, err := c.Do(t.Context(), Request{Tenant: x.who, URL: x.url})
			wantKind(t, x.url+" at "+x.to, err, KindBlocked, false)
		}
	}
}

// TestNamesInProduction: a name without an owner serves the deployment's own endpoint only, and never plain http.
func TestNamesInProduction(t *testing.T) {
	c := newClient(t, Options{Allow: Scoped(mustAllow(t, "shop:8000")), RequireHTTPS: true})
	own := Tenant{Merchant: "mer_a", Default: true}
	for url, ok := range map[string]bool{"https://shop:8000": true, "http://shop:8000": false} {
		if _, err := c.CheckURL(own, url); (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := c.CheckURL(Tenant{Merchant: "mer_a"}, url); err == nil {
			t.Errorf("%s: allowed to a merchant", url)
		}
	}
}
