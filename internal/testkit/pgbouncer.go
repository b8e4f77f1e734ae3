package testkit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PgBouncer is a connection pooler on a loopback port, in front of a database.
type PgBouncer struct {
	// URL is the connection string of the database through the pooler.
	URL string

	bin, dir string
	addr     string
	server   *url.URL // of the database
	settings map[string]string
	cred     *syscall.Credential
	proc     *process
}

// StartPgBouncer starts a pooler in front of the database that dsn names; settings are those of its ini file, pool_mode
// before all. It ends with the test.
func StartPgBouncer(t TB, dsn string, settings map[string]string) *PgBouncer {
	t.Helper()
	b, err := newPgBouncer(dsn, settings)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 { // a chosen port may be taken before it binds it
		if b.addr, err = freeAddr(); err != nil {
			break
		}
		if err = b.start(); err == nil || !strings.Contains(err.Error(), "in use") {
			break
		}
	}
	if err != nil {
		t.Fatal(errors.Join(err, os.RemoveAll(b.dir)))
	}
	through := *b.server
	through.Host = b.addr
	b.URL = through.String()
	t.Cleanup(func() {
		if !b.proc.alive() {
			t.Errorf("testkit: pgbouncer has ended by itself: %s", tail(b.file("log")))
		}
		if err := errors.Join(b.proc.end(syscall.SIGTERM, time.Minute), os.RemoveAll(b.dir)); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newPgBouncer(dsn string, settings map[string]string) (*PgBouncer, error) {
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			return nil, errors.New("testkit: no pgbouncer: run `make setup` (Debian: apt-get install pgbouncer)")
		}
	}
	b := &PgBouncer{bin: bin, settings: settings}
	if b.server, err = url.Parse(dsn); err != nil {
		return nil, errors.New("testkit: the Postgres URL does not parse")
	}
	base := os.TempDir()
	if os.Geteuid() == 0 { // it refuses root
		if b.cred, err = unprivileged(); err != nil {
			return nil, err
		}
		if base, err = openTempDir(); err != nil {
			return nil, err
		}
	}
	if b.dir, err = os.MkdirTemp(base, "ctrip-pgbouncer-"); err != nil {
		return nil, err
	}
	return b, orphans.removeAtEnd(b.dir)
}

func freeAddr() (string, error) {
	port, err := freePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

func (b *PgBouncer) file(name string) string { return filepath.Join(b.dir, name) }

// write writes the files that it reads, readable by whom it runs as.
func (b *PgBouncer) write() error {
	host, port, err := net.SplitHostPort(b.server.Host)
	if err != nil {
		return err
	}
	_, own, err := net.SplitHostPort(b.addr)
	if err != nil {
		return err
	}
	password, _ := b.server.User.Password()
	settings := map[string]string{"listen_addr": "127.0.0.1", "listen_port": own, "unix_socket_dir": "",
		"auth_type": "md5", "auth_file": b.file("users"), "logfile": b.file("log"), "max_client_conn": "1000",
		"default_pool_size":  "60",
		"query_wait_timeout": "20"}
	maps.Copy(settings, b.settings)
	var ini strings.Builder
	fmt.Fprintf(&ini, "[databases]\n* = host=%s port=%s\n[pgbouncer]\n", host, port)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&ini, "%s = %s\n", name, settings[name])
	}
	for name, text := range map[string]string{
		"ini": ini.String(), "users": fmt.Sprintf("%q %q\n", b.server.User.Username(), password),
	} {
		if err := os.WriteFile(b.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	if b.cred == nil {
		return nil
	}
	for _, path := range []string{b.dir, b.file("ini"), b.file("users")} {
		if err := os.Chown(path, int(b.cred.Uid), int(b.cred.Gid)); err != nil {
			return err
		}
	}
	return nil
}

func (b *PgBouncer) start() error {
	if err := b.write(); err != nil {
		return err
	}
	cmd := exec.Command(b.bin, "-q", b.file("ini"))
	cmd.Dir = b.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.cred}
	var err error
	if b.proc, err = startProcess(cmd, "INT"); err != nil {
		return err
	}
	through := *b.server
	through.Host = b.addr
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		err := execSQL(ctx, through.String(), "SELECT 1")
		cancel()
		switch {
		case err == nil:
			return nil
		case !b.proc.alive():
			return errors.Join(fmt.Errorf("testkit: pgbouncer ended at once: %s", tail(b.file("log"))),
				orphans.forget(b.proc.pid))
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("testkit: pgbouncer does not answer: %w\n%s", err, tail(b.file("log"))),
				b.proc.end(syscall.SIGKILL, time.Minute))
		}
	}
}

// Reload changes settings while it runs.
func (b *PgBouncer) Reload(t TB, settings map[string]string) {
	t.Helper()
	b.settings = settings
	if err := errors.Join(b.write(), b.proc.signal(syscall.SIGHUP)); err != nil {
		t.Fatal(err)
	}
}
