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
func behindProxies(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
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
	})
}

// networks reads addresses and CIDRs.
func networks(texts []string) (all []netip.Prefix, err error) {
	for _, text := range texts {
		network, err := config.ParseNetwork(text)
		if err != nil {
			return nil, err
		}
		all = append(all, network)
	}
	return all, nil
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
