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

// proc is one process by its name in the house. Its fields change only when it is started again.
type proc struct {
	*testkit.Child
	env  []string
	ops  string
	log  string
	open bool // not yet stopped or killed by us
}

// Start runs a binary. Its name is api, worker or scanner, with a dash and anything after it for one more of a kind:
// worker-2. env wins over the settings of the house: REDIS_URL and DATABASE_URL lead through a proxy, WEBHOOK_CONCURRENCY
// makes this worker narrow. Its log is kept in a file that the last lines are shown of when the test fails.
func (h *House) Start(name string, env ...string) {
	h.t.Helper()
	ops := testkit.FreeAddr(h.t)
	h.start(name, &proc{env: append([]string{"OPS_ADDR=" + ops}, env...), ops: "http://" + ops, log: filepath.Join(h.dir, name+".log")})
}

func (h *House) start(name string, p *proc) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.proc[name]; old != nil && old.open {
		h.t.Fatalf("gateway: %s runs already", name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer log.Close()
	binary, _, _ := strings.Cut(name, "-")
	cmd := exec.Command(Binary(h.t, binary))
	cmd.Env = slices.Concat(h.env, p.env)
	cmd.Dir = h.dir
	cmd.Stdout, cmd.Stderr = log, log
	if p.Child, err = testkit.StartChild(cmd); err != nil {
		h.t.Fatal(err)
	}
	p.open = true
	h.proc[name] = p
}

// of returns the process of that name, which must have been started.
func (h *House) of(name string) *proc {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.proc[name]
	if p == nil {
		h.t.Fatalf("gateway: %s was never started", name)
	}
	return p
}

// Process is the running, or last, process of that name.
func (h *House) Process(name string) *testkit.Child {
	h.t.Helper()
	return h.of(name).Child
}

// OpsURL is where a process serves health, metrics and pprof.
func (h *House) OpsURL(name string) string {
	h.t.Helper()
	return h.of(name).ops
}

// LogFile is where a process writes its log.
func (h *House) LogFile(name string) string {
	h.t.Helper()
	return h.of(name).log
}

// WaitReady waits until each of these processes says that it is ready.
func (h *House) WaitReady(names ...string) {
	h.t.Helper()
	for _, name := range names {
		p := h.of(name)
		testkit.Eventually(h.t, time.Minute, name+" is ready", func() bool {
			select {
			case <-p.Done():
				h.t.Fatalf("%s ended with %d:\n%s", name, p.ExitCode(), tail(p.log))
			default:
			}
			res, err := h.Client.Get(p.ops + "/readyz")
			if err != nil {
				return false
			}
			res.Body.Close()
			return res.StatusCode == http.StatusOK
		})
	}
}

// Kill ends a process with SIGKILL and returns when it is gone.
func (h *House) Kill(name string) {
	h.t.Helper()
	p := h.of(name)
	if err := p.Kill(); err != nil {
		h.t.Fatal(err)
	}
	h.closed(p)
}

// Restart starts a process that ended once more, with the same environment and ops address.
func (h *House) Restart(name string) {
	h.t.Helper()
	p := h.of(name)
	h.start(name, &proc{env: p.env, ops: p.ops, log: p.log})
}

// Stop ends a process with SIGTERM and returns when it is gone. It is an error if it needs longer than its grace, or ends
// with another code than 0.
func (h *House) Stop(name string) {
	h.t.Helper()
	p := h.of(name)
	h.closed(p)
	if err := p.Stop(stopGrace); err != nil {
		h.t.Errorf("%s %v", name, err)
	}
}

// Signal sends a process a signal, SIGSTOP and SIGCONT for example.
func (h *House) Signal(name string, sig syscall.Signal) {
	h.t.Helper()
	if err := h.of(name).Signal(sig); err != nil {
		h.t.Fatal(err)
	}
}

func (h *House) closed(p *proc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.open = false
}

// StopAll stops what still runs, all at once, and holds each to exit code 0. The end of the test calls it.
func (h *House) StopAll() {
	h.t.Helper()
	h.mu.Lock()
	all := maps.Clone(h.proc)
	h.mu.Unlock()
	var stopping sync.WaitGroup
	for name, p := range all {
		if p.open {
			stopping.Go(func() { h.Stop(name) })
		}
	}
	stopping.Wait()
	if h.t.Failed() {
		for name, p := range all {
			h.t.Logf("last lines of %s:\n%s", name, tail(p.log))
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
