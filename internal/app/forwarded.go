package app

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/config"
)

// behindProxies gives a request that came through proxies of ours the address of whoever asked the outermost one, so
// that the log, the audit log and the portal's sessions are about callers. Nobody else's X-Forwarded-For is believed.
func behindProxies(proxies []string, next http.Handler) (http.Handler, error) {
	var trusted []netip.Prefix
	for _, p := range proxies {
		network, err := config.ParseNetwork(p)
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, network)
	}
	if len(trusted) == 0 {
		return next, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			caller := callerBehind(peer.Addr().Unmap(), r.Header.Values("X-Forwarded-For"), trusted)
			if caller != peer.Addr().Unmap() {
				r = r.Clone(r.Context())
				r.RemoteAddr = net.JoinHostPort(caller.String(), "0")
			}
		}
		next.ServeHTTP(w, r)
	}), nil
}

// callerBehind reads X-Forwarded-For from its end, where each proxy adds whom it was asked by, as far as those who
// wrote it are trusted. What a caller wrote before them counts for nothing.
func callerBehind(peer netip.Addr, forwardedFor []string, trusted []netip.Prefix) netip.Addr {
	hops := strings.Split(strings.Join(forwardedFor, ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer) }) {
			return peer
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return peer
		}
		peer = before.WithZone("").Unmap()
	}
	return peer
}
