package testkit

import (
	"io"
	"net"
	"sync"
)

// Forwarder is an address behind which the server may change, as the name of a database is in a failover: connections
// that are open stay with the server that they lead to, even when another one has taken over.
type Forwarder struct {
	// Addr is host:port.
	Addr string

	listener net.Listener
	mu       sync.Mutex
	target   string
	conns    map[net.Conn]bool
	closed   bool
	all      sync.WaitGroup
}

// NewForwarder starts a forwarder to target, host:port. It ends with the test.
func NewForwarder(t TB, target string) *Forwarder {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &Forwarder{Addr: l.Addr().String(), listener: l, target: target, conns: make(map[net.Conn]bool)}
	f.all.Go(f.accept)
	t.Cleanup(f.close)
	return f
}

// Lead makes new connections lead to another server, "" for none. Open ones stay as they are.
func (f *Forwarder) Lead(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
}

func (f *Forwarder) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.all.Go(func() { f.serve(client) })
	}
}

func (f *Forwarder) serve(client net.Conn) {
	defer client.Close()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	server, err := net.Dial("tcp4", target)
	if err != nil || !f.track(client, server) {
		return
	}
	defer f.forget(client, server)
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	both.Go(func() { pass(server, client) })
	pass(client, server)
	both.Wait()
}

func (f *Forwarder) track(conns ...net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		if f.closed {
			c.Close()
		} else {
			f.conns[c] = true
		}
	}
	return !f.closed
}

func (f *Forwarder) forget(conns ...net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(f.conns, c)
	}
}

func (f *Forwarder) close() {
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.listener.Close()
	f.all.Wait()
}
