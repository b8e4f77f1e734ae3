package testkit

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

var _ TB = (testing.TB)(nil)

// testkitProgram is a program that ends in the given way, run in a process of its own.
func testkitProgram(end string) int {
	return Main(func(t TB) {
		for _, name := range []string{"first", "second"} {
			t.Cleanup(func() {
				fmt.Println(name, t.Context().Err() != nil)
				if end == "fatal-cleanup" && name == "second" {
					t.Fatal("in a cleanup")
				}
			})
		}
		dir := t.TempDir()
		fmt.Println(dir)
		switch end {
		case "error":
			t.Errorf("something %s", "wrong")
		case "fatal":
			t.Fatal("over")
		case "fatal-elsewhere":
			go t.Fatal("over")
			<-t.Context().Done()
		case "signal":
			<-t.Context().Done()
		}
	})
}

func TestMainRunsCleanups(t *testing.T) {
	for end, want := range map[string]int{"return": 0, "error": 1, "fatal": 1, "fatal-elsewhere": 1, "fatal-cleanup": 1,
		"signal": 128 + int(syscall.SIGTERM)} {
		t.Run(end, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self, end)
			cmd.Env = append(os.Environ(), helperEnv+"=program")
			var out bytes.Buffer
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var dir string
			if _, err := fmt.Fscanln(stdout, &dir); err != nil {
				t.Fatal(err)
			}
			if end == "signal" {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
			if _, err := out.ReadFrom(stdout); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != want {
				t.Errorf("exit code %d, want %d", code, want)
			}
			if got := strings.TrimSpace(out.String()); got != "second true\nfirst true" {
				t.Errorf("cleanups: %q", got)
			}
			if _, err := os.Stat(dir); !os.IsNotExist(err) {
				t.Errorf("the temporary directory: %v", err)
			}
		})
	}
}

func TestChild(t *testing.T) {
	start := func(script string) *Child {
		c, err := StartChild(exec.Command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Kill() })
		return c
	}
	if c := start("exit 3"); c.Stop(10*time.Second) == nil {
		t.Error("exit code 3 is no error")
	} else if code := c.ExitCode(); code != 3 && code != -1 { // -1: the signal came first
		t.Errorf("exit code %d", code)
	}
	if err := start("trap 'exit 0' TERM; while :; do sleep 0.01; done").Stop(10 * time.Second); err != nil &&
		!strings.Contains(err.Error(), "terminated") {
		t.Error(err)
	}
	deaf := start("trap '' TERM; while :; do sleep 0.01; done")
	if code := deaf.ExitCode(); code != -1 {
		t.Errorf("a running child has exit code %d", code)
	}
	if err := deaf.Kill(); err != nil || deaf.ExitCode() != -1 {
		t.Errorf("killed: %v, %d", err, deaf.ExitCode())
	}
	select {
	case <-deaf.Done():
	default:
		t.Error("a killed child is not done")
	}
	if err := deaf.Kill(); err != nil {
		t.Errorf("killed again: %v", err)
	}
}
