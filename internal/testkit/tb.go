package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// TB is what this package needs of a test. *testing.T, *testing.B and *testing.F are one; a program gets one from
// [Main].
type TB interface {
	Helper()
	Log(args ...any)
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Failed() bool
	Cleanup(f func())
	Context() context.Context
	TempDir() string
}

// lateGrace is how long a program's function may take to return after a signal or a Fatal elsewhere, before the
// cleanups run under its feet.
const lateGrace = 3 * time.Second

// Main runs f for a program, as a test runs one: what f registers with Cleanup runs in reverse order when f returns, on
// Fatal (from whatever goroutine), and on SIGINT or SIGTERM, with the context canceled first. Logs and errors go to
// stderr. It returns the exit code: 0, 1 after Error or Fatal, or 128 and the signal's number.
func Main(f func(t TB)) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{ctx: ctx, fatal: make(chan struct{})}
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		f(p)
	}()
	code := 0
	select {
	case <-returned:
	case <-p.fatal:
	case s := <-signals:
		if sig, ok := s.(syscall.Signal); ok {
			code = 128 + int(sig)
		}
	}
	cancel()
	select {
	case <-returned:
	case <-time.After(lateGrace):
	}
	p.clean()
	if code == 0 && p.Failed() {
		code = 1
	}
	return code
}

// program is the TB of [Main].
type program struct {
	ctx      context.Context
	fatal    chan struct{}
	mu       sync.Mutex
	failed   bool
	dead     bool
	cleanups []func()
}

func (p *program) Helper()                  {}
func (p *program) Context() context.Context { return p.ctx }
func (p *program) Log(args ...any)          { fmt.Fprintln(os.Stderr, args...) }

func (p *program) Logf(format string, args ...any) { p.Log(fmt.Sprintf(format, args...)) }

func (p *program) Error(args ...any) {
	p.Log(args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
}

func (p *program) Errorf(format string, args ...any) { p.Error(fmt.Sprintf(format, args...)) }

func (p *program) Fatal(args ...any) {
	p.Error(args...)
	p.mu.Lock()
	if !p.dead {
		p.dead = true
		close(p.fatal)
	}
	p.mu.Unlock()
	runtime.Goexit()
}

func (p *program) Fatalf(format string, args ...any) { p.Fatal(fmt.Sprintf(format, args...)) }

func (p *program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

func (p *program) TempDir() string {
	dir, err := os.MkdirTemp("", "ctrip-")
	if err == nil {
		err = RemoveAtEnd(dir)
	}
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			p.Error(err)
		}
	})
	return dir
}

// clean runs the cleanups, the last one first, each in a goroutine of its own, so that a Fatal ends only that one.
func (p *program) clean() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		f := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		var one sync.WaitGroup
		one.Go(f)
		one.Wait()
	}
}
