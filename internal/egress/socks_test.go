package egress

import (
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// socksServer speaks SOCKS5 and carries to a fixed place; status is what it answers to CONNECT.
func socksServer(t testing.TB, to string, login string, status byte, asked *string) *listener {
	return rawServer(t, func(c net.Conn) {
		read := func(n int) []byte {
			b := make([]byte, n)
			if _, err := io.ReadFull(c, b); err != nil {
				return make([]byte, n)
			}
			return b
		}
		method := read(3)[2]
		if login != "" && method != 2 {
			_, _ = c.Write([]byte{5, 255})
			return
		}
		_, _ = c.Write([]byte{5, method})
		if method == 2 {
			name := string(read(int(read(2)[1])))
			password := string(read(int(read(1)[0])))
			if name+":"+password != login {
				_, _ = c.Write([]byte{1, 1})
				return
			}
			_, _ = c.Write([]byte{1, 0})
		}
		head := read(4)
		size := 4
		if head[3] == 4 {
			size = 16
		}
		ip, _ := netip.AddrFromSlice(read(size))
		*asked = ip.String()
		read(2)
		_, _ = c.Write([]byte{5, status, 0, 3, 1, 'x', 0, 0})
		if status != 0 {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		go func() {
			_, _ = io.Copy(out, c)
			_ = out.Close()
		}()
		_, _ = io.Copy(c, out)
	})
}

// TestSocks: a SOCKS5 proxy is given the checked address, and what it says is no verdict of the receiver's.
func TestSocks(t *testing.T) {
	inside := rawServer(t, respond(okay)).Addr().String()
	for name, x := range map[string]struct {
		user   *url.Userinfo
		login  string
		status byte
		ip     string
		words  string // "" when it works
	}{
		"open":        {nil, "", 0, "8.8.8.8", ""},
		"IPv6":        {nil, "", 0, "2001:4860:4860::8888", ""},
		"login":       {url.UserPassword("u", "p"), "u:p", 0, "8.8.8.8", ""},
		"wrong login": {url.UserPassword("u", "x"), "u:p", 0, "8.8.8.8", "it wants another user and password"},
		"no login":    {nil, "u:p", 0, "8.8.8.8", "it wants another user and password"},
		"not allowed": {nil, "", 2, "8.8.8.8", "it does not allow this address or port"},
		"refused":     {nil, "", 5, "8.8.8.8", "connection refused"},
		"unknown":     {nil, "", 200, "8.8.8.8", "SOCKS5 answered 200"},
	} {
		var asked string
		p := socksServer(t, inside, x.login, x.status, &asked)
		c := newClient(t, Options{Proxy: &url.URL{Scheme: "socks5", Host: p.Addr().String(), User: x.user},
			Resolver: answer(netip.MustParseAddr(x.ip))})
		r, err := c.Do(t.Context(), Request{URL: "http://hooks.example.com/", Body: []byte("{}")})
		if x.words == "" {
			if err != nil || r.Status != 200 || asked != x.ip || r.RemoteIP.String() != x.ip {
				t.Errorf("%s: %+v %v, asked for %s", name, r, err, asked)
			}
			continue
		}
		wantKind(t, name, err, KindConnect, false)
		if err == nil || !strings.Contains(err.Error(), x.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var asked string
	p := socksServer(t, inside, "", 0, &asked)
	c := newClient(t, Options{Proxy: &url.URL{Scheme: "socks5", Host: p.Addr().String()},
		Resolver: answer(netip.MustParseAddr("169.254.169.254"))})
	_, err := c.Do(t.Context(), Request{URL: "http://hooks.example.com/"})
	if wantKind(t, "denied", err, KindBlocked, false); p.seen() != 0 {
		t.Error("the proxy was asked for a denied address")
	}
}
