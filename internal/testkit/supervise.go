package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// superviseGrace is how long a command may take to end after it was told to.
const superviseGrace = 15 * time.Second

// Supervise runs command with env (NAME=value) added to our environment and our own standard streams, and returns its
// exit code, 128 and the signal's number if a signal ended it. SIGINT, SIGTERM and SIGHUP, and the end of our parent
// process, are passed to the command's whole process group as SIGTERM (an interrupt as SIGINT); after 15 seconds the
// group is killed. If we are killed, so is the group.
func Supervise(command []string, env ...string) (int, error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	parent := os.Getppid()
	if err := startWatched(cmd, "KILL", func(pid int) int { return -pid }); err != nil {
		return 1, fmt.Errorf("testkit: %w", err)
	}
	group := -cmd.Process.Pid
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the result is in cmd.ProcessState
	}()

	alive := time.NewTicker(time.Second)
	defer alive.Stop()
	var kill <-chan time.Time
	stop := func(sig syscall.Signal) {
		_ = sendSignal(group, sig)
		if kill == nil {
			kill = time.After(superviseGrace)
		}
	}
	for {
		select {
		case <-done:
			_ = sendSignal(group, syscall.SIGKILL) // whatever the command left behind
			if err := orphans.forget(group); err != nil {
				return 1, err
			}
			if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() {
				return 128 + int(st.Signal()), nil
			}
			return cmd.ProcessState.ExitCode(), nil
		case s := <-signals:
			if s == syscall.SIGINT {
				stop(syscall.SIGINT)
			} else {
				stop(syscall.SIGTERM)
			}
		case <-alive.C:
			if os.Getppid() != parent {
				stop(syscall.SIGTERM)
			}
		case <-kill:
			_ = sendSignal(group, syscall.SIGKILL)
		}
	}
}
