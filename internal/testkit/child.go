package testkit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Child is a process that ends, at the latest, when this one does, even by SIGKILL.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// StartChild starts cmd in a process group of its own. cmd.Stdin, Stdout and Stderr should be files: nothing is copied
// for a child that outlives its pipe.
func StartChild(cmd *exec.Cmd) (*Child, error) {
	if err := startWatched(cmd, "KILL", func(pid int) int { return pid }); err != nil {
		return nil, fmt.Errorf("testkit: %w", err)
	}
	c := &Child{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		_ = cmd.Wait() // the result is in cmd.ProcessState
		_ = orphans.forget(cmd.Process.Pid)
	}()
	return c, nil
}

// PID is its process id.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when it has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Signal sends sig; it is no error if the child has ended.
func (c *Child) Signal(sig syscall.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Kill ends it with SIGKILL and returns when it is gone.
func (c *Child) Kill() error {
	err := c.Signal(syscall.SIGKILL)
	if err == nil {
		<-c.done
	}
	return err
}

// Stop asks it to end with SIGTERM and kills it after grace, which is an error, as is an exit code other than 0.
func (c *Child) Stop(grace time.Duration) error {
	if err := c.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-time.After(grace):
		return errors.Join(fmt.Errorf("did not stop within %s, killed", grace), c.Kill())
	}
	if code := c.ExitCode(); code != 0 {
		return fmt.Errorf("ended with %s", c.cmd.ProcessState)
	}
	return nil
}

// ExitCode is its exit code, -1 while it runs or when a signal ended it.
func (c *Child) ExitCode() int {
	select {
	case <-c.done:
		return c.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// CPU is the processor time that it has used in all, user and system, once it has ended.
func (c *Child) CPU() time.Duration {
	<-c.done
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// FreeAddr returns a loopback host:port that was free a moment ago.
func FreeAddr(t TB) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// RemoveAtEnd makes a directory disappear when this process has ended, however it did.
func RemoveAtEnd(dir string) error { return orphans.removeAtEnd(dir) }

// Eventually asks again and again until it is so, and ends the test when patience is over.
func Eventually(t TB, patience time.Duration, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if so() {
			return
		}
		if t.Context().Err() != nil || time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
