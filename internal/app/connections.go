package app

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// opsConnections is how many connections the ops listener holds: its readers are few, and a process that is under
// attack there must stay readable elsewhere.
const opsConnections = 256

// connectionLimits say how many connections a listener holds. 0 is no limit.
type connectionLimits struct {
	total      int
	perAddress int            // of one IPv4 address, or of one /64 of IPv6
	exempt     []netip.Prefix // from perAddress: proxies of ours
	// refused is told of every connection that is closed for having come too many, and which limit it was.
	refused func(limit string, peer netip.Addr)
}

// limitedListener closes at once what comes beyond its limits, so that those who hold connections open, and may do so
// as long as deadlines allow, cannot use up the process's memory and files.
type limitedListener struct {
	net.Listener
	limits connectionLimits

	mu        sync.Mutex
	open      int
	byAddress map[netip.Addr]int
}

func limitListener(l net.Listener, limits connectionLimits) *limitedListener {
	return &limitedListener{Listener: l, limits: limits, byAddress: make(map[netip.Addr]int)}
}

// Accept returns the next connection that the limits allow.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		peer, group := l.groupOf(conn.RemoteAddr())
		limit := l.take(group)
		if limit == "" {
			return &countedConn{Conn: conn, end: sync.OnceFunc(func() { l.release(group) })}, nil
		}
		_ = conn.Close() // nobody has written to it
		l.limits.refused(limit, peer)
	}
}

// groupOf is whom a connection comes from, and those with whom they share a limit; the zero group has none.
func (l *limitedListener) groupOf(remote net.Addr) (peer, group netip.Addr) {
	from, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return peer, group
	}
	peer = from.Addr().Unmap().WithZone("")
	exempt := func(p netip.Prefix) bool { return p.Contains(peer) }
	if l.limits.perAddress <= 0 || slices.ContainsFunc(l.limits.exempt, exempt) {
		return peer, group
	}
	if peer.Is6() {
		return peer, netip.PrefixFrom(peer, 64).Masked().Addr()
	}
	return peer, peer
}

// take counts a connection, or returns the limit that forbids it.
func (l *limitedListener) take(group netip.Addr) (limit string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.limits.total > 0 && l.open >= l.limits.total:
		return "total"
	case group.IsValid() && l.byAddress[group] >= l.limits.perAddress:
		return "address"
	}
	l.open++
	if group.IsValid() {
		l.byAddress[group]++
	}
	return ""
}

func (l *limitedListener) release(group netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if !group.IsValid() {
		return
	}
	if l.byAddress[group]--; l.byAddress[group] == 0 {
		delete(l.byAddress, group)
	}
}

// countedConn tells once that it was closed.
type countedConn struct {
	net.Conn
	end func()
}

func (c *countedConn) Close() error {
	defer c.end()
	return c.Conn.Close()
}

// logRefusedEvery is how often the log tells of refused connections, of which there may be thousands a second.
const logRefusedEvery = time.Minute

// refusals counts what a listener refuses, and logs the first of each minute.
func (a *App) refusals(listener string) func(limit string, peer netip.Addr) {
	a.metrics.DeclareListener(listener, "total", "address")
	var mu sync.Mutex
	var told time.Time
	return func(limit string, peer netip.Addr) {
		a.metrics.ConnectionRefused(listener, limit)
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(told) >= logRefusedEvery {
			told = now
			a.log.Warn("connection.refused", "listener", listener, "limit", limit, "remote", peer.String())
		}
	}
}
