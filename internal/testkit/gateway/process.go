package gateway

import (
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// stopGrace is how long a process may take to stop; its own SHUTDOWN_GRACE is 45 s.
const stopGrace = 50 * time.Second

// proc is one process by its name. Its fields change only when it is started again.
type proc struct {
	*testkit.Child
	env  []string
	ops  string
	log  string
	bin  string // of another version, "" for the gateway's own
	open bool   // not yet stopped or killed by us
}

// Start runs a binary. Its name is api, worker or scanner, with a dash and anything after it for one more of a kind:
// worker-2. env wins over the usual settings: REDIS_URL and DATABASE_URL lead through a proxy, WEBHOOK_CONCURRENCY
// makes this worker narrow. Its log is kept in a file that the last lines are shown of when the test fails.
func (g *Gateway) Start(name string, env ...string) {
	g.t.Helper()
	g.StartFrom("", name, env...)
}

// StartFrom is Start with the binaries of another version, which lie in a directory.
func (g *Gateway) StartFrom(programs, name string, env ...string) {
	g.t.Helper()
	ops := testkit.FreeAddr(g.t)
	g.start(name, &proc{env: append([]string{"OPS_ADDR=" + ops}, env...), ops: "http://" + ops, bin: programs,
		log: filepath.Join(g.dir, name+".log")})
}

func (g *Gateway) start(name string, p *proc) {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if old := g.proc[name]; old != nil && old.open {
		g.t.Fatalf("gateway: %s runs already", name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		g.t.Fatal(err)
	}
	defer log.Close()
	binary, _, _ := strings.Cut(name, "-")
	path := filepath.Join(p.bin, binary)
	if p.bin == "" {
		path = g.binary(binary)
	}
	cmd := exec.Command(path)
	cmd.Env = slices.Concat(g.env, p.env)
	cmd.Dir = g.dir
	cmd.Stdout, cmd.Stderr = log, log
	if p.Child, err = testkit.StartChild(cmd); err != nil {
		g.t.Fatal(err)
	}
	p.open = true
	g.proc[name] = p
}

// of returns the process of that name, which must have been started.
func (g *Gateway) of(name string) *proc {
	g.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.proc[name]
	if p == nil {
		g.t.Fatalf("gateway: %s was never started", name)
	}
	return p
}

// Process is the running, or last, process of that name.
func (g *Gateway) Process(name string) *testkit.Child {
	g.t.Helper()
	return g.of(name).Child
}

// OpsURL is where a process serves health, metrics and pprof.
func (g *Gateway) OpsURL(name string) string {
	g.t.Helper()
	return g.of(name).ops
}

// LogFile is where a process writes its log.
func (g *Gateway) LogFile(name string) string {
	g.t.Helper()
	return g.of(name).log
}

// WaitReady waits until each of these processes says that it is ready.
func (g *Gateway) WaitReady(names ...string) {
	g.t.Helper()
	for _, name := range names {
		p := g.of(name)
		testkit.Eventually(g.t, time.Minute, name+" is ready", func() bool {
			select {
			case <-p.Done():
				g.t.Fatalf("%s ended with %d:\n%s", name, p.ExitCode(), tail(p.log))
			default:
			}
			return g.readiness(p) == http.StatusOK
		})
	}
}

// Answers reports whether a process says anything about its readiness: it has begun, and ends in order on SIGTERM.
func (g *Gateway) Answers(name string) bool {
	g.t.Helper()
	return g.readiness(g.of(name)) != 0
}

// readiness is the status with which a process answers for its readiness, 0 without an answer.
func (g *Gateway) readiness(p *proc) int {
	res, err := g.Client.Get(p.ops + "/readyz")
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// Kill ends a process with SIGKILL and returns when it is gone.
func (g *Gateway) Kill(name string) {
	g.t.Helper()
	p := g.of(name)
	if err := p.Kill(); err != nil {
		g.t.Fatal(err)
	}
	g.closed(p)
}

// Restart starts a process that ended once more, with the same environment and ops address.
func (g *Gateway) Restart(name string) {
	g.t.Helper()
	p := g.of(name)
	g.start(name, &proc{env: p.env, ops: p.ops, log: p.log, bin: p.bin})
}

// Stop ends a process with SIGTERM and returns when it is gone. It is an error if it needs longer than its grace, or
// ends with another code than 0.
func (g *Gateway) Stop(name string) {
	g.t.Helper()
	p := g.of(name)
	g.closed(p)
	if err := p.Stop(stopGrace); err != nil {
		g.t.Errorf("%s %v", name, err)
	}
}

// Signal sends a process a signal, SIGSTOP and SIGCONT for example.
func (g *Gateway) Signal(name string, sig syscall.Signal) {
	g.t.Helper()
	if err := g.of(name).Signal(sig); err != nil {
		g.t.Fatal(err)
	}
}

func (g *Gateway) closed(p *proc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p.open = false
}

// StopAll stops what still runs, all at once, and holds each to exit code 0. The end of the test calls it.
func (g *Gateway) StopAll() {
	g.t.Helper()
	g.mu.Lock()
	all := maps.Clone(g.proc)
	g.mu.Unlock()
	var stopping sync.WaitGroup
	for name, p := range all {
		if p.open {
			stopping.Go(func() { g.Stop(name) })
		}
	}
	stopping.Wait()
	if g.t.Failed() {
		for name, p := range all {
			g.t.Logf("last lines of %s:\n%s", name, tail(p.log))
		}
	}
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}
