package egress

import (
	"net/netip"
	"strings"
	"testing"
)

func mustAllow(t testing.TB, s string) []Rule {
	t.Helper()
	rules, err := ParseAllow(s)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestParseAllow(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		" , ":                                "",
		"127.0.0.0/8":                        "127.0.0.0/8",
		"127.0.0.0/8,::1":                    "127.0.0.0/8 ::1/128",
		"127.0.0.0/8, ::1 ,\n10.0.0.7":       "127.0.0.0/8 ::1/128 10.0.0.7/32",
		"10.0.0.0/8:8080":                    "10.0.0.0/8:8080",
		"10.0.0.7:9000-9999":                 "10.0.0.7/32:9000-9999",
		"fc00::/7":                           "fc00::/7",
		"[fc00::/7]:80":                      "[fc00::/7]:80",
		"[fc00::]/7:80-81":                   "[fc00::/7]:80-81",
		"[::1]:8080":                         "[::1/128]:8080",
		"[::1]":                              "::1/128",
		"::ffff:10.0.0.7":                    "10.0.0.7/32",
		"mer_01=10.0.0.0/8:443":              "mer_01=10.0.0.0/8:443",
		"WEBHOOK_URL=[fd00::/8]:80,8.8.8.8":  "WEBHOOK_URL=[fd00::/8]:80 8.8.8.8/32",
		"shop:8000,shop":                     "shop:8000 shop",
		"Shop.:8000=10.0.0.0/8":              "shop:8000=10.0.0.0/8",
		"mer_01=*.svc.Cluster.local:8080":    "mer_01=*.svc.cluster.local:8080",
		"WEBHOOK_URL=hooks.example.com:8443": "WEBHOOK_URL=hooks.example.com:8443",
		"*.internal:8000-8010=fc00::/7":      "*.internal:8000-8010=fc00::/7",
		"*.local,*.example.co.uk":            "*.local *.example.co.uk",
		"shop=100.64.0.0/10":                 "shop=100.64.0.0/10",
	} {
		rules, err := ParseAllow(text)
		var got []string
		for _, r := range rules {
			got = append(got, r.String())
			if again := mustAllow(t, r.String()); len(again) != 1 || again[0] != r {
				t.Errorf("%s does not read back", r)
			}
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseAllowRefuses(t *testing.T) {
	for _, bad := range []string{
		"localhost", "10.0.0.0/33", "10.1.2.3/8", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:65536", "10.0.0.0/8:90-80", "10.0.0.0/8:http",
		"10.0.0.0/8:80-", "[10.0.0.0/8]:80", "[fc00::/7", "[fc00::/7]80", "[fc00::/7]:", "fe80::1%eth0", "::ffff:10.0.0.0/104",
		"mer_=10.0.0.0/8", "*", "010.0.0.0/8", "10.0.0.0/8:+80", "10.0.0.1=10.0.0.0/8", "x.localhost:80", "*.localhost", "shop:", "shop:0",
		"shop:http", "sho_p:80", "shop=", "shop:80=", "shop=shop", "shop=127.0.0.0/8", "shop=::1", "shop=0.0.0.0/0", "shop=::/0",
		"shop=169.254.0.0/16", "shop=fe80::/10", "shop=100.100.100.200", "shop=fd00:ec2::254", "shop=168.63.129.16", "shop=10.0.0.0/8:80",
		"*.com", "*.co.uk", "*.github.io", "*.*.example.com", "a.*.example.com", "*shop", "*.", ".example.com", "-shop:80", "0x7f000001:80", "127.1:80",
	} {
		if rules, err := ParseAllow("127.0.0.1," + bad); err == nil || rules != nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, %v", bad, rules, err)
		}
	}
	if _, err := ParseAllow("a_,127.0.0.1,b_"); err == nil || strings.Count(err.Error(), "entry") != 2 {
		t.Errorf("not every fault is named: %v", err)
	}
}

// TestRulesFreeOnlyThemselves asks every address and port around each rule.
func TestRulesFreeOnlyThemselves(t *testing.T) {
	p := &policy{rules: mustAllow(t, "10.0.0.0/24:8080-8081, 192.168.1.1, mer_a=172.16.0.0/16:443, "+
		"WEBHOOK_URL=[fd00::/8]:80, 8.8.8.8:22")}
	a, b, own := Tenant{Merchant: "mer_a"}, Tenant{Merchant: "mer_b"}, Tenant{Merchant: "mer_b", Default: true}
	for _, c := range []struct {
		who  Tenant
		to   string
		want bool
	}{
		{b, "10.0.0.0:8080", true}, {b, "10.0.0.255:8081", true}, {b, "10.0.0.255:8082", false}, {b, "10.0.0.1:80", false},
		{b, "10.0.1.0:8080", false}, {b, "[::ffff:10.0.0.1]:8080", true}, {b, "192.168.1.1:1", true}, {b, "192.168.1.1:65535", true},
		{b, "192.168.1.2:443", false}, {a, "172.16.9.9:443", true}, {b, "172.16.9.9:443", false}, {own, "172.16.9.9:443", false},
		{a, "172.16.9.9:80", false}, {own, "[fd12::1]:80", true}, {b, "[fd12::1]:80", false}, {own, "[fd12::1]:443", false},
		{b, "8.8.8.8:22", true}, {b, "8.8.4.4:22", false}, {b, "8.8.8.8:443", true}, {b, "127.0.0.1:80", false}, {Tenant{}, "172.16.0.1:443", false},
	} {
		to := netip.MustParseAddrPort(c.to)
		if got := p.refuse(c.who, to.Addr(), to.Port()); (got == "") != c.want {
			t.Errorf("%v to %s: %q", c.who, c.to, got)
		}
	}
}

func TestScoped(t *testing.T) {
	rules := mustAllow(t, "127.0.0.0/8,mer_a=10.0.0.0/8")
	p := &policy{rules: Scoped(rules)}
	loop := netip.MustParseAddr("127.0.0.1")
	to := destination{port: 80}
	if p.allows(Tenant{Merchant: "mer_a"}, to, loop) || !p.allows(Tenant{Merchant: "mer_a", Default: true}, to, loop) {
		t.Error("a rule without an owner serves a merchant")
	}
	if !p.allows(Tenant{Merchant: "mer_a"}, to, netip.MustParseAddr("10.0.0.1")) || rules[0].Owner != "" {
		t.Error("a rule with an owner changed")
	}
}
