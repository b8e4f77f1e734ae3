package testkit

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RedisOptions say what a private Redis is like. The zero value keeps everything in memory.
type RedisOptions struct {
	// AppendOnly keeps an append-only file, synced every second, so that the data survive Stop and Kill.
	AppendOnly bool
	// Args are further redis-server arguments, for example "--maxmemory", "64mb".
	Args []string
	// User and Password are whom [RedisServer.Do] speaks as, where the server wants somebody.
	User, Password string
	// TLS is how it connects, and makes the port one of TLS; the certificates of the server are among Args.
	TLS *tls.Config
	// Config is a file that is read first, which the server may write into.
	Config string
	// Sentinel makes it one that watches others.
	Sentinel bool
}

// RedisServer is a private redis-server on a loopback port. Eviction is off, as production demands.
type RedisServer struct {
	// Addr is host:port; it stays the same over Stop, Kill and Start.
	Addr string
	// URL is Addr as redis://host:port/0.
	URL string

	bin  string
	dir  string
	args []string
	opts RedisOptions
	proc *process
}

// Redis starts a redis-server for this test and waits until it answers. It ends with the test.
func Redis(t TB, options ...RedisOptions) *RedisServer {
	t.Helper()
	var o RedisOptions
	switch len(options) {
	case 0:
	case 1:
		o = options[0]
	default:
		t.Fatal("testkit: Redis takes one RedisOptions")
	}
	bin, err := findRedis()
	if err != nil {
		t.Fatal(err)
	}
	s := &RedisServer{bin: bin, dir: t.TempDir(), opts: o}
	s.args = append(s.usualArgs(), o.Args...)
	for range 10 { // a chosen port may be taken before Redis binds it
		var port int
		if port, err = freePort(); err != nil {
			break
		}
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "redis://" + s.Addr + "/0"
	t.Cleanup(func() {
		if err := s.proc.end(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Error(err)
		}
	})
	return s
}

// usualArgs are those of every server. A sentinel takes few.
func (s *RedisServer) usualArgs() []string {
	args := []string{"--bind", "127.0.0.1", "--dir", s.dir, "--logfile", s.log()}
	if s.opts.Sentinel {
		return append(args, "--sentinel")
	}
	aof := "no"
	if s.opts.AppendOnly {
		aof = "yes"
	}
	return append(args, "--save", "", "--appendonly", aof, "--appendfsync", "everysec",
		"--maxmemory-policy", "noeviction", "--hash-max-listpack-value", "512")
}

// Start starts a stopped or killed server on the same address and directory and waits until it answers.
func (s *RedisServer) Start(t TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

func (s *RedisServer) start() error {
	if s.proc != nil && s.proc.alive() {
		return errors.New("testkit: redis is already running")
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.log(), nil, 0o600); err != nil {
		return err
	}
	args := []string{"--port", port}
	if s.opts.TLS != nil {
		args = []string{"--port", "0", "--tls-port", port}
	}
	if s.opts.Config != "" {
		args = append([]string{s.opts.Config}, args...)
	}
	cmd := exec.Command(s.bin, append(args, s.args...)...)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/bin:/bin"}
	if s.proc, err = startProcess(cmd, "KILL"); err != nil {
		return err
	}
	deadline := time.Now().Add(startTimeout)
	for {
		switch {
		case s.ready():
			return nil
		case !s.proc.alive():
			return fmt.Errorf("testkit: redis-server ended at once: %s", tail(s.log()))
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("testkit: redis-server does not answer after %v: %s", startTimeout, tail(s.log())),
				s.proc.end(syscall.SIGKILL, time.Minute))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ready reports whether our server answers (on a contested port it could be somebody else's) and has loaded its data.
func (s *RedisServer) ready() bool {
	answer, err := s.do("INFO")
	if err != nil {
		return false
	}
	info, _ := answer.(string)
	return strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.proc.pid)) &&
		(s.opts.Sentinel || strings.Contains(info, "\r\nloading:0\r\n"))
}

// Stop shuts the server down in an orderly way. With AppendOnly the data stay.
func (s *RedisServer) Stop(t TB) {
	t.Helper()
	if err := s.proc.end(syscall.SIGTERM, 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it is gone.
func (s *RedisServer) Kill(t TB) {
	t.Helper()
	if err := s.proc.end(syscall.SIGKILL, 30*time.Second); err != nil {
		t.Fatal(err)
	}
}

// Pause freezes the server: connections stay open and nothing answers, until Resume.
func (s *RedisServer) Pause(t TB) {
	t.Helper()
	if err := s.proc.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// Resume lets a paused server go on.
func (s *RedisServer) Resume(t TB) {
	t.Helper()
	if err := s.proc.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// Flush empties every database of the server.
func (s *RedisServer) Flush(t TB) {
	t.Helper()
	s.Do(t, "FLUSHALL")
}

// Do runs one command on database 0 and returns its answer: string, int64, nil, []any, or an error value inside an
// array. An error answer or a connection that fails ends the test.
func (s *RedisServer) Do(t TB, command ...string) any {
	t.Helper()
	answer, err := s.do(command...)
	if err != nil {
		t.Fatalf("testkit: redis %s: %v", command[0], err)
	}
	return answer
}

func (s *RedisServer) log() string { return filepath.Join(s.dir, "log") }
