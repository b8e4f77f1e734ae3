package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/idna"
)

// disguises are the spellings of an IPv4 address that some resolver, browser or C library takes for it.
func disguises(t *testing.T, ip netip.Addr) []string {
	t.Helper()
	b := ip.As4()
	n := binary.BigEndian.Uint32(b[:])
	dotted := ip.String()
	wide := strings.NewReplacer("0", "０", "1", "１", "2", "２", "3", "３", "4", "４", "5", "５", "6", "６", "7", "７", "8", "８",
		"9", "９").Replace(dotted)
	var percent, puny []string
	for _, r := range dotted {
		percent = append(percent, fmt.Sprintf("%%%02X", r))
	}
	for label := range strings.SplitSeq(wide, ".") {
		ascii, err := idna.Punycode.ToASCII(label)
		if err != nil || !strings.HasPrefix(ascii, "xn--") {
			t.Fatalf("%s: %q, %v", label, ascii, err)
		}
		puny = append(puny, ascii)
	}
	all := []string{
		dotted, fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%X", n), fmt.Sprintf("%#o", n), fmt.Sprintf("0%#o", n),
		fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff),
		fmt.Sprintf("0x%x.%#o.%d", b[0], b[1], n&0xffff),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%04o.%04o.%04o.%04o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%03d.%03d.%03d.%03d", b[0], b[1], b[2], b[3]), fmt.Sprintf("%d.%d.%d.0x%x", b[0], b[1], b[2], b[3]),
		wide, strings.Join(puny, "."), strings.Join(percent, ""), url.PathEscape(wide),
		url.PathEscape(strings.ReplaceAll(dotted, ".", "。")),
	}
	for _, dot := range []string{"。", "．", "｡"} {
		all = append(all, strings.ReplaceAll(dotted, ".", dot), strings.ReplaceAll(wide, ".", dot), dotted+dot)
	}
	for _, s := range all[:len(all):len(all)] {
		all = append(all, s+".")
	}
	v6 := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3])
	teredo := fmt.Sprintf("%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3])
	for _, s := range []string{
		"::ffff:" + dotted, "::FFFF:" + v6, "0:0:0:0:0:ffff:" + v6, "0000:0000:0000:0000:0000:ffff:" + v6, "::" + dotted, "::ffff:0:" + dotted,
		"64:ff9b::" + dotted, "64:ff9b::" + v6, "64:ff9b:1::" + dotted, "64:ff9b:1:ffff::" + v6, "2002:" + v6 + "::", "2002:" + v6 + "::1",
		"2001:0:" + v6 + "::", "2001:0:4136:e378:8000:63bf:" + teredo, "fe80::5efe:" + dotted,
	} {
		all = append(all, "["+s+"]", "["+s+"%25eth0]", "["+s+"%25lo]")
	}
	return all
}

// TestDisguises: no spelling of a denied address, in any position of a URL that could name a host, passes; none of them
// is even looked up, so that no resolver can read what we do not.
func TestDisguises(t *testing.T) {
	c := newClient(t, Options{Resolver: resolverFunc(func(_ context.Context, host string) ([]netip.Addr, error) {
		t.Errorf("%s was looked up", host)
		return nil, errors.New("no look-up was expected")
	})})
	tried := 0
	for _, s := range deniedAddresses {
		ip := netip.MustParseAddr(s)
		if !ip.Is4() {
			continue
		}
		for _, host := range disguises(t, ip) {
			for _, form := range []string{"https://%s/", "http://%s:80/x", "https://%s:443", "https://hooks.example.com@%s/",
				"https://hooks.example.com:x@%s", "https:%s", "//%s/", `https:\\%s\`} {
				raw := fmt.Sprintf(form, host)
				var bad *URLError
				if text, err := c.CheckURL(Tenant{}, raw); !errors.As(err, &bad) {
					t.Errorf("%s passes as %s, %v", raw, text, err)
				}
				tried++
			}
			_, err := c.Do(t.Context(), Request{URL: "https://" + host + "/"})
			wantKind(t, host, err, KindBlocked, true)
		}
	}
	if tried < 20000 {
		t.Errorf("only %d URLs were tried", tried)
	}
}
