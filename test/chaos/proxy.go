package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// errDropped ends a connection whose next message must not reach the other side.
var errDropped = errors.New("dropped")

// wire reads the protocol of one connection. up and down read one message of the client and of the server and return it
// as it came; after, where it is not nil, is called when that has been passed on.
type wire interface {
	up(r *bufio.Reader) (message []byte, after func(), err error)
	down(r *bufio.Reader) (message []byte, after func(), err error)
}

// proxy stands in front of Redis or Postgres for one process. It can cut every connection, refuse new ones, and fall
// silent, as a network does.
type proxy struct {
	addr, target string
	wire         func() wire
	listener     net.Listener
	mu           sync.Mutex
	conns        map[net.Conn]bool
	refuses      bool
	closed       bool
	gate         chan struct{} // closed while it passes on what comes
	all          sync.WaitGroup
}

func newProxy(t testkit.TB, target string, w func() wire) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	p := &proxy{addr: l.Addr().String(), target: target, wire: w, listener: l, conns: make(map[net.Conn]bool), gate: open}
	p.all.Go(p.accept)
	return p
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Speak()
	p.listener.Close()
	p.Cut()
	p.all.Wait()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.serve(client) })
	}
}

func (p *proxy) serve(client net.Conn) {
	defer p.forget(client)
	if !p.track(client) {
		return
	}
	p.wait() // silent: the connection is there and nothing answers
	server, err := net.Dial("tcp4", p.target)
	if err != nil {
		return
	}
	defer p.forget(server)
	if !p.track(server) {
		return
	}
	w := p.wire()
	var both sync.WaitGroup
	both.Go(func() { p.pass(client, server, w.up) })
	p.pass(server, client, w.down)
	both.Wait()
}

// pass passes messages on until one side is gone, and then hangs up on both.
func (p *proxy) pass(from, to net.Conn, next func(*bufio.Reader) ([]byte, func(), error)) {
	defer from.Close()
	defer to.Close()
	r, w := bufio.NewReaderSize(from, 64<<10), bufio.NewWriterSize(to, 64<<10)
	for {
		message, after, err := next(r)
		if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			p.wait()
			if _, e := w.Write(message); e != nil {
				return
			}
		}
		if r.Buffered() == 0 || after != nil || err != nil && !errors.Is(err, errDropped) {
			if e := w.Flush(); e != nil {
				return
			}
		}
		if after != nil {
			after()
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses || p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *proxy) forget(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) wait() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	<-gate
}

// Cut ends every connection.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
}

// Refuse ends every connection and takes no new one until Accept.
func (p *proxy) Refuse() {
	p.mu.Lock()
	p.refuses = true
	p.mu.Unlock()
	p.Cut()
}

// Accept takes connections again.
func (p *proxy) Accept() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = false
}

// Silence passes nothing on and hangs up on nobody, until Speak.
func (p *proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default:
	}
}

// Speak passes on what has come meanwhile and what comes from now on.
func (p *proxy) Speak() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}
