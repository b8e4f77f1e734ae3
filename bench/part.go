package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// part is a process that the bench made of itself. It ends when its standard input does.
type part struct {
	t     testkit.TB
	child *testkit.Child
	in    io.WriteCloser
	out   *bufio.Reader
}

// startPart runs this binary as one of its parts. It is stopped at the end, if not before.
func startPart(t testkit.TB, args ...string) *part {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inRead, outWrite, os.Stderr
	p := &part{t: t, in: inWrite, out: bufio.NewReader(outRead)}
	p.child, err = testkit.StartChild(cmd)
	inRead.Close()
	outWrite.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		outRead.Close()
	})
	return p
}

// line reads a line of its output.
func (p *part) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("a part of the bench ended early: %v", err)
	}
	return strings.TrimSpace(line)
}

// tell writes a line to its input.
func (p *part) tell(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends it and waits until it is gone.
func (p *part) stop() {
	p.in.Close()
	select {
	case <-p.child.Done():
	case <-time.After(20 * time.Second):
		if err := p.child.Kill(); err != nil {
			p.t.Error(err)
		}
	}
}
