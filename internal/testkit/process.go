package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// startTimeout is how long a server may take to answer after it was started.
const startTimeout = 60 * time.Second

// process is a child in a process group of its own, which the reaper ends if we do not. It is waited for without a
// goroutine, so that tests which look for leaked ones find none.
type process struct {
	path string
	pid  int
	mu   sync.Mutex
	over bool
}

func startProcess(cmd *exec.Cmd, orphanSignal string) (*process, error) {
	if err := startWatched(cmd, orphanSignal, func(pid int) int { return pid }); err != nil {
		return nil, err
	}
	p := &process{path: cmd.Path, pid: cmd.Process.Pid} // before Release, which forgets the pid
	return p, cmd.Process.Release()
}

// gate holds a command back until a line arrives on descriptor 3, and ends if none ever will.
const gate = `read -r go <&3 || exit 1; exec 3<&-; exec "$@"`

// startWatched starts cmd in a process group of its own. Its program begins only when the reaper knows of it, so that
// there is no moment at which our death leaves it behind. target says what the reaper signals, given the pid.
func startWatched(cmd *exec.Cmd, orphanSignal string, target func(pid int) int) error {
	if cmd.Err != nil {
		return cmd.Err
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		return err
	}
	cmd.Args = append([]string{"sh", "-c", gate, "sh", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = sh
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.ExtraFiles = []*os.File{in}
	err = cmd.Start()
	in.Close()
	if err != nil {
		return err
	}
	err = orphans.watch(target(cmd.Process.Pid), orphanSignal)
	if err == nil {
		_, err = out.WriteString("go\n")
	}
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return err
}

func (p *process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		pid, err := syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
		p.over = pid == p.pid || err == syscall.ECHILD
	}
	return !p.over
}

func (p *process) signal(sig syscall.Signal) error {
	if !p.alive() {
		return os.ErrProcessDone
	}
	return sendSignal(p.pid, sig)
}

// end sends sig and waits for the child; after grace it kills it. It is no error if the child has already ended.
func (p *process) end(sig syscall.Signal, grace time.Duration) error {
	if err := p.signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var late error
	for deadline := time.Now().Add(grace); p.alive(); time.Sleep(time.Millisecond) {
		if late == nil && time.Now().After(deadline) {
			late = errors.Join(fmt.Errorf("testkit: %s did not end on %v within %v, killed", p.path, sig, grace),
				p.signal(syscall.SIGKILL))
		}
	}
	return errors.Join(late, orphans.forget(p.pid))
}

// sendSignal is the only way in this package to signal by number. It refuses 0, 1 and -1, which mean our own group,
// init and every process of the machine.
func sendSignal(pid int, sig syscall.Signal) error {
	if err := checkPID(pid); err != nil {
		return err
	}
	return syscall.Kill(pid, sig)
}

func checkPID(pid int) error {
	if pid >= -1 && pid <= 1 {
		return fmt.Errorf("testkit: refusing to signal pid %d", pid)
	}
	return nil
}

// Ports of tests lie below those that the system gives to outgoing connections, one of which would otherwise take a
// port between the moment at which it was chosen and that at which somebody listens.
const (
	firstPort = 15_000
	lastPort  = 32_000
	portTries = 50
)

// freePort returns a loopback TCP port that was free a moment ago. Somebody else may take it first: who uses it must
// retry.
func freePort() (int, error) {
	var err error
	for try := range portTries {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if try == portTries-1 {
			port = 0
		}
		var l net.Listener
		if l, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			port = l.Addr().(*net.TCPAddr).Port
			return port, l.Close()
		}
	}
	return 0, err
}

// tail returns the last 2000 bytes of a log file, for error messages.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	if len(b) > 2000 {
		b = b[len(b)-2000:]
	}
	return string(b)
}
