package jobs_test

import (
	"net"
	"sync"
	"testing"
)

// proxy forwards TCP and can be cut.
type proxy struct {
	addr  string
	mu    sync.Mutex
	down  bool
	away  int // connections refused while it was down
	conns map[net.Conn]bool
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	p := &proxy{addr: l.Addr().String(), conns: make(map[net.Conn]bool)}
	t.Cleanup(func() { l.Close(); p.cut(true) })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil || !p.keep(in, out) {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					buffer := make([]byte, 16<<10)
					for {
						n, err := pair[0].Read(buffer)
						if _, e := pair[1].Write(buffer[:n]); e != nil || err != nil {
							pair[0].Close()
							pair[1].Close()
							return
						}
					}
				}()
			}
		}
	}()
	return p
}

func (p *proxy) keep(cs ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		p.away++
		for _, c := range cs {
			c.Close()
		}
		return false
	}
	for _, c := range cs {
		p.conns[c] = true
	}
	return true
}

// cutFor is how many connections were refused since it went down.
func (p *proxy) cutFor() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.away
}

func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if down {
		for c := range p.conns {
			c.Close()
		}
		clear(p.conns)
	}
}
