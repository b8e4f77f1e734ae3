package app

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestBehindProxies(t *testing.T) {
	var seen string
	trusted, err := networks([]string{"10.0.0.0/8", "2001:db8::7"})
	if err != nil {
		t.Fatal(err)
	}
	h := behindProxies(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.RemoteAddr }))
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.5:4711", nil, "203.0.113.5:4711"},
		{"a stranger who claims to be one", "203.0.113.5:4711", []string{"198.51.100.1"}, "203.0.113.5:4711"},
		{"through one", "10.1.2.3:4711", []string{"203.0.113.5"}, "203.0.113.5:0"},
		{"a caller who wrote a line himself", "10.1.2.3:4711", []string{"127.0.0.1, 203.0.113.5"}, "203.0.113.5:0"},
		{"through two, in lines of their own", "10.1.2.3:4711", []string{"127.0.0.1", "203.0.113.5, 10.9.9.9"}, "203.0.113.5:0"},
		{"from inside", "10.1.2.3:4711", []string{"10.9.9.9"}, "10.9.9.9:0"},
		{"over IPv6", "[2001:db8::7]:4711", []string{"2001:db8:1::5"}, "[2001:db8:1::5]:0"},
		{"a mapped peer", "[::ffff:10.1.2.3]:4711", []string{"203.0.113.5"}, "203.0.113.5:0"},
		{"a proxy that tells nothing", "10.1.2.3:4711", nil, "10.1.2.3:4711"},
		{"something that is no address", "10.1.2.3:4711", []string{"203.0.113.5, unknown"}, "10.1.2.3:4711"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if h.ServeHTTP(httptest.NewRecorder(), r); seen != c.want {
			t.Errorf("%s: %s, want %s", c.name, seen, c.want)
		}
	}
}
