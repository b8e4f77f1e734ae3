package egress

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestCheckURLRefuses(t *testing.T) {
	c := newClient(t, Options{})
	for _, raw := range []string{
		// not a URL for us
		"", "hooks.example.com", "/hook", "//hooks.example.com/", "https:", "https://", "https:///hook", "https:hooks.example.com", "ftp://hooks.example.com/",
		"file:///etc/passwd", "gopher://hooks.example.com/", "javascript:alert(1)", "ws://hooks.example.com/", "https://?x", "https://#x",
		// local names
		"http://localhost/", "https://LOCALHOST/", "https://localhost./", "https://localhost:443/", "https://foo.localhost/", "https://a.localhost./",
		"https://intranet/", "https://intranet./", "https://metadata.google.internal/", "https://x.INTERNAL/", "https://printer.local/",
		"https://printer.local./", "https://nas.home.arpa/", "https://home.arpa/", "https://internal/", "https://ｌｏｃａｌｈｏｓｔ/", "https://local。/",
		"https://printer。local/", "https://ⓛocalhost/",
		// IPv4 in disguise
		"http://2130706433/", "http://017700000001/", "http://0x7f000001/", "http://0x7f.1/", "http://0x7f.0.0.1/", "http://127.1/", "http://127.0.1/",
		"http://0177.0.0.1/", "http://127.0.0.01/", "http://127.0.0.0x1/", "http://1.1.1.1.1/", "http://256.1.1.1/", "http://0/", "http://0x/",
		"http://00000000177.1/", "http://１２７.0.0.1/", "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://foo.0x7f/", "http://example.123/",
		"http://127.0.0.1./", "http://4294967296/", "http://010.8.8.8/",
		// IPv6 in disguise
		"http://[::1]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[::1", "http://::1/",
		"http://[127.0.0.1]/", "http://[]/", "http://[example.com]/", "http://[::1%eth0]/", "http://[2606:4700:4700::1111%25x]/",
		// user-info, whitespace, control
		"https://user@hooks.example.com/", "https://user:pass@hooks.example.com/", "https://@hooks.example.com/", "https://1.1.1.1@127.0.0.1/",
		"https://hooks.example.com\t/", "https://hooks.example.com/a\nb", "https://hooks.example.com/\x00", "https://hooks.example.com/\x7f", " https://hooks.example.com/",
		"https://hooks.example.com/ ", "https://hooks.example.com/a b", "https://hooks.example.com/\u0085", "https://hooks.example.com/\u2028", "https://hooks.example.com/\u202e",
		"https://hooks.example.com/\xff", "https://hooks\u200b.example.com/", "https://hooks.example.com\\@127.0.0.1/", "https://hooks.example.com/\r\nHost: x",
		// ports
		"https://hooks.example.com:22/", "https://hooks.example.com:8443/", "http://hooks.example.com:6379/", "https://hooks.example.com:0/",
		"https://hooks.example.com:65536/", "https://hooks.example.com:99999999999/", "https://hooks.example.com:/", "https://hooks.example.com:abc/",
		"https://hooks.example.com:-1/", "https://1.1.1.1:8080/", "https://[2606:4700:4700::1111]:8080/",
		// names that are none
		"https://.example.com/", "https://a..b/", "https://example.com../", "https://./", "https://exa mple.com/", "https://a_b.example.com/",
		"https://-a.example.com/", "https://" + strings.Repeat("a", 64) + ".example.com/", "https://" + strings.Repeat("a.", 127) + "example.com/",
		"https://xn--a.example.com/", "https://%00.example.com/", "https://exam%ple.com/", "https://%31%32%37.0.0.1/",
		// fragment, length
		"https://hooks.example.com/#hook", "https://hooks.example.com/#",
		"https://hooks.example.com/" + strings.Repeat("a", MaxURL), "https://hooks.example.com/?" + strings.Repeat("ü", 400),
	} {
		var form *URLError
		got, err := c.CheckURL(Tenant{}, raw)
		if !errors.As(err, &form) || form.Reason == "" || got != "" {
			t.Errorf("%q: %q, %v", raw, got, err)
		}
	}
}

func TestCheckURLNormalises(t *testing.T) {
	c := newClient(t, Options{})
	for raw, want := range map[string]string{
		"https://hooks.example.com":                              "https://hooks.example.com",
		"https://hooks.example.com/":                             "https://hooks.example.com/",
		"HTTPS://Hooks.Example.COM/Hook?A=b&c=%2F":               "https://hooks.example.com/Hook?A=b&c=%2F",
		"https://hooks.example.com./a":                           "https://hooks.example.com/a",
		"https://hooks.example.com:443/":                         "https://hooks.example.com/",
		"https://hooks.example.com:0443/":                        "https://hooks.example.com/",
		"http://hooks.example.com:80/":                           "http://hooks.example.com/",
		"http://hooks.example.com:443/":                          "http://hooks.example.com:443/",
		"https://hooks.example.com:80/":                          "https://hooks.example.com:80/",
		"https://bücher.example/":                                "https://xn--bcher-kva.example/",
		"https://BÜCHER.example/":                                "https://xn--bcher-kva.example/",
		"https://支付.example/":                                    "https://xn--bnq875c.example/",
		"https://ｈｏｏｋｓ.example.com/":                             "https://hooks.example.com/",
		"https://hooks。example.com/":                             "https://hooks.example.com/",
		"https://1.1.1.1/":                                       "https://1.1.1.1/",
		"https://[2606:4700:4700:0:0:0:0:1111]/":                 "https://[2606:4700:4700::1111]/",
		"https://[::ffff:8.8.8.8]/":                              "https://8.8.8.8/",
		"https://hooks.example.com/ü?q=ü":                        "https://hooks.example.com/%C3%BC?q=%C3%BC",
		"https://hooks.example.com/a%2Fb/../c":                   "https://hooks.example.com/a%2Fb/../c",
		"https://hooks.example.com/x?":                           "https://hooks.example.com/x?",
		"https://localhost.example.com/":                         "https://localhost.example.com/",
		"https://internal.example.com/":                          "https://internal.example.com/",
		"https://10.0.0.1.example.com/":                          "https://10.0.0.1.example.com/",
		"https://0x7f.example.com/@home:80":                      "https://0x7f.example.com/@home:80",
		"https://hooks.example.com/" + strings.Repeat("a", 2000): "https://hooks.example.com/" + strings.Repeat("a", 2000),
	} {
		got, err := c.CheckURL(Tenant{}, raw)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", raw, got, err, want)
			continue
		}
		if again, err := c.CheckURL(Tenant{}, got); again != got || err != nil {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
}

func TestCheckURLProduction(t *testing.T) {
	c := newClient(t, Options{RequireHTTPS: true, Allow: mustAllow(t, "127.0.0.0/8,::1,10.0.0.0/8:8443")})
	for raw, ok := range map[string]bool{
		"https://hooks.example.com/": true, "http://hooks.example.com/": false, "http://127.0.0.1:9999/": false, "https://127.0.0.1:9999/": true,
		"https://10.0.0.1:8443/": true, "https://10.0.0.1/": false, "http://localhost:80/": false, "https://localhost:9999/": true,
	} {
		_, err := c.CheckURL(Tenant{}, raw)
		if (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
		if strings.HasPrefix(raw, "http:") && !strings.Contains(err.Error(), "https://") {
			t.Errorf("%s: the message does not ask for https: %v", raw, err)
		}
	}
}

func TestCheckURLWithRules(t *testing.T) {
	c := newClient(t, Options{Allow: mustAllow(t, "127.0.0.0/8,::1,mer_a=10.0.0.0/8:3000")})
	a, b := Tenant{Merchant: "mer_a"}, Tenant{Merchant: "mer_b"}
	for _, x := range []struct {
		who Tenant
		raw string
		ok  bool
	}{
		{b, "http://127.0.0.1:9999/x", true}, {b, "http://127.9.9.9/", true}, {b, "http://[::1]:9999/", true}, {b, "http://localhost:3000/", true},
		{b, "http://[::ffff:127.0.0.1]:9999/", true}, {b, "http://127.1:9999/", false}, {b, "http://2130706433:9999/", false},
		{b, "http://foo.localhost:3000/", false}, {b, "http://hooks.example.com:9999/", false}, {b, "http://intranet:9999/", false},
		{a, "http://10.0.0.1:3000/", true}, {b, "http://10.0.0.1:3000/", false}, {a, "http://10.0.0.1/", false}, {b, "http://user@127.0.0.1:9999/", false},
	} {
		if _, err := c.CheckURL(x.who, x.raw); (err == nil) != x.ok {
			t.Errorf("%s for %s: %v", x.raw, x.who.Merchant, err)
		}
	}
	for _, half := range []string{"127.0.0.0/8", "::1", "127.0.0.0/8:80,::1"} {
		c := newClient(t, Options{Allow: mustAllow(t, half)})
		if _, err := c.CheckURL(b, "http://localhost:3000/"); err == nil {
			t.Errorf("localhost passes with %s", half)
		}
	}
}

// FuzzCheckURL: whatever passes is a plain public https or http URL, in a form that stays as it is.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://hooks.example.com/a?b=c", "http://[::ffff:8.8.8.8]:80/",
		"https://bücher.example./", "http://127.1/", "https://a@b/#", "http://1.1.1.1:443/%zz"} {
		f.Add(s)
	}
	p := &policy{}
	f.Fuzz(func(t *testing.T, raw string) {
		checked, err := p.checkURL(Tenant{}, raw)
		if err != nil {
			var form *URLError
			if !errors.As(err, &form) {
				t.Fatalf("%q: %T", raw, err)
			}
			return
		}
		u, err := url.Parse(checked.text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" ||
			len(checked.text) > MaxURL {
			t.Fatalf("%q → %q, %v", raw, checked.text, err)
		}
		for _, c := range []byte(checked.text) {
			if c <= ' ' || c >= 0x7f {
				t.Fatalf("%q → %q", raw, checked.text)
			}
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
			if denied(ip) != "" {
				t.Fatalf("%q → %q", raw, checked.text)
			}
		} else if !strings.Contains(u.Hostname(), ".") || endsInNumber(u.Hostname()) || strings.HasSuffix(u.Hostname(), ".") {
			t.Fatalf("%q → %q", raw, checked.text)
		}
		if port := u.Port(); port != "" && port != "80" && port != "443" {
			t.Fatalf("%q → %q", raw, checked.text)
		}
		again, err := p.checkURL(Tenant{}, checked.text)
		if err != nil || again.text != checked.text {
			t.Fatalf("%q → %q → %v, %v", raw, checked.text, again, err)
		}
	})
}

// TestRefusedURLsSayWhatElse: who develops on their own machine is told of both ways there, with the entry that allows
// exactly that address and port; in production of the one that a merchant has.
func TestRefusedURLsSayWhatElse(t *testing.T) {
	for raw, entry := range map[string]string{
		"http://127.0.0.1:3000":       "WEBHOOK_ALLOW=127.0.0.1/32:3000",
		"http://localhost:3000/hooks": "WEBHOOK_ALLOW=127.0.0.1/32:3000,[::1/128]:3000",
		"http://[::1]:3000/":          "WEBHOOK_ALLOW=[::1/128]:3000", "http://10.1.2.3/": "WEBHOOK_ALLOW=10.1.2.3/32:80",
		"http://shop.test:3000/": "WEBHOOK_ALLOW=shop.test:3000", "http://shop:8000/": "WEBHOOK_ALLOW=shop:8000",
	} {
		var development, production *URLError
		_, err := newClient(t, Options{}).CheckURL(Tenant{}, raw)
		if !errors.As(err, &development) || !strings.Contains(development.Words(), entry) ||
			!strings.Contains(development.Words(), "ctripctl listen --forward-to URL") {
			t.Errorf("%s: %v", raw, err)
		}
		allow := strings.TrimPrefix(entry, "WEBHOOK_ALLOW=")
		if _, err := newClient(t, Options{Allow: mustAllow(t, allow)}).CheckURL(Tenant{}, raw); err != nil {
			t.Errorf("%s with %s: %v", raw, allow, err)
		}
		_, err = newClient(t, Options{RequireHTTPS: true}).CheckURL(Tenant{}, strings.Replace(raw, "http:", "https:", 1))
		if errors.As(err, &production) && strings.Contains(production.Words(), "WEBHOOK_ALLOW") {
			t.Errorf("production tells merchants of the operator's settings: %v", err)
		}
	}
	for _, raw := range []string{"localhost:3000", "shop.example/hooks", "127.0.0.1:3000/x", "//shop.example/"} {
		if _, err := newClient(t, Options{}).CheckURL(Tenant{}, raw); err == nil ||
			!strings.Contains(err.Error(), "must start with https:// or http://") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
