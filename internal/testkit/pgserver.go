package testkit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresOptions say what a private Postgres instance is like.
type PostgresOptions struct {
	// Durable keeps fsync, synchronous_commit and full_page_writes on, as in production. Off, a commit survives a killed
	// server but not a power cut, and tests are several times faster.
	Durable bool
	// Settings are further lines of postgresql.conf, by name.
	Settings map[string]string
}

// PostgresServer is a private Postgres instance on a loopback port, with no socket file, and a random password. As root
// it runs under the user postgres, or else nobody, because Postgres refuses root.
type PostgresServer struct {
	bin      string
	dir      string // holds data, log and the password file while initdb runs
	port     int
	password string
	cred     *syscall.Credential
	proc     *process
}

// StartPostgres makes a new instance and waits until it answers. The caller stops it with Close; if it ends without
// doing so, the instance is ended and its directory removed all the same.
func StartPostgres(o PostgresOptions) (*PostgresServer, error) {
	bin, err := findPostgres(debianPostgres)
	if err != nil {
		return nil, err
	}
	s := &PostgresServer{bin: bin}
	base := os.TempDir()
	if os.Geteuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return nil, err
		}
		if base, err = openTempDir(); err != nil {
			return nil, err
		}
	}
	if s.dir, err = os.MkdirTemp(base, "ctrip-postgres-"); err != nil {
		return nil, err
	}
	if err := s.create(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	for range 10 { // a chosen port may be taken before Postgres binds it
		if s.port, err = freePort(); err != nil {
			break
		}
		if err = s.Start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

func (s *PostgresServer) create(o PostgresOptions) error {
	if err := orphans.removeAtEnd(s.dir); err != nil {
		return err
	}
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	s.password = hex.EncodeToString(secret)
	pwfile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(pwfile, []byte(s.password+"\n"), 0o600); err != nil {
		return err
	}
	if s.cred != nil {
		for _, p := range []string{s.dir, pwfile} {
			if err := os.Chown(p, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
				return err
			}
		}
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "postgres", "--pwfile", pwfile, "--auth", "password",
		"-E", "UTF8", "--locale", "C", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("testkit: initdb: %w\n%s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	settings := map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "400", "shared_buffers": "128MB",
		"wal_level": "minimal", "max_wal_senders": "0", "timezone": "UTC", "log_timezone": "UTC", "log_checkpoints": "off",
	}
	if !o.Durable {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	for k, v := range o.Settings {
		settings[k] = v
	}
	for k, v := range settings {
		if _, err := fmt.Fprintf(conf, "%s = '%s'\n", k, strings.ReplaceAll(v, "'", "''")); err != nil {
			return errors.Join(err, conf.Close())
		}
	}
	return errors.Join(conf.Close(), os.Remove(pwfile))
}

// Start starts a stopped or killed instance on the same port and data and waits until it answers.
func (s *PostgresServer) Start() error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.startOnce(deadline)
		if err == nil {
			return nil
		}
		// After a kill the old backends need a moment to notice and to let go of the shared memory.
		if !strings.Contains(err.Error(), "still in use") || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *PostgresServer) startOnce(deadline time.Time) error {
	if s.proc != nil && s.proc.alive() {
		return errors.New("testkit: postgres is already running")
	}
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.port))
	cmd.Stdout, cmd.Stderr = log, log
	if s.proc, err = startProcess(cmd, "QUIT"); err != nil {
		return err
	}
	for {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		err := execSQL(ctx, s.URL("postgres"), "SELECT 1")
		cancel()
		switch {
		case err == nil && s.proc.alive():
			return nil
		case !s.proc.alive():
			return errors.Join(fmt.Errorf("testkit: postgres ended at once: %s", tail(s.log())), orphans.forget(s.proc.pid))
		case time.Now().After(deadline):
			return errors.Join(fmt.Errorf("testkit: postgres does not answer: %w\n%s", err, tail(s.log())), s.Kill())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Stop stops the instance in an orderly way, ending open connections. Its data stay.
func (s *PostgresServer) Stop() error { return s.proc.end(syscall.SIGINT, time.Minute) }

// Kill ends the server with SIGKILL, as a crash would, and returns when it is gone.
func (s *PostgresServer) Kill() error { return s.proc.end(syscall.SIGKILL, time.Minute) }

// Close stops the instance and removes its directory.
func (s *PostgresServer) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

// URL is the connection string of the named database, for the superuser.
func (s *PostgresServer) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", s.password), Host: s.addr(), Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

// NewDatabase creates an empty database and returns its connection string.
func (s *PostgresServer) NewDatabase(ctx context.Context) (string, error) {
	return createDatabase(ctx, s.URL("postgres"))
}

func (s *PostgresServer) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }
func (s *PostgresServer) data() string { return filepath.Join(s.dir, "data") }
func (s *PostgresServer) log() string  { return filepath.Join(s.dir, "log") }

// command prepares one of Postgres's own programs, in an environment without PG* variables.
func (s *PostgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + s.bin + ":/usr/bin:/bin", "LC_ALL=C", "HOME=" + s.dir, "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd
}

// createDatabase creates a database with a random name beside the one that admin names.
func createDatabase(ctx context.Context, admin string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", errors.New("testkit: the Postgres URL does not parse")
	}
	suffix := make([]byte, 6)
	if _, err := rand.Read(suffix); err != nil {
		return "", err
	}
	name := fmt.Sprintf("test_%d_%x", os.Getpid(), suffix)
	if err := execSQL(ctx, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return "", err
	}
	u.Path = "/" + name
	return u.String(), nil
}

// dropDatabase drops the database that dsn names, ending connections that are still open.
func dropDatabase(ctx context.Context, admin, dsn string) error {
	u, err := url.Parse(dsn)
	if err != nil {
		return err
	}
	name := pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()
	return execSQL(ctx, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
}

func execSQL(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("testkit: connect to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("testkit: %s: %w", sql, err)
	}
	return nil
}

// unprivileged returns the user that Postgres runs under when we are root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("testkit: running as root, and there is no user postgres or nobody to run Postgres as")
}

// openTempDir returns a temporary directory that every user can reach. TMPDIR may point into somebody's private one.
func openTempDir() (string, error) {
	for _, dir := range []string{os.TempDir(), "/tmp", "/var/tmp"} {
		if reachable(dir) {
			return dir, nil
		}
	}
	return "",
		errors.New("testkit: no temporary directory that an unprivileged user can reach (tried TMPDIR, /tmp, /var/tmp)")
}

func reachable(dir string) bool {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	for {
		st, err := os.Stat(dir)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}

// SetReadOnly turns the server read-only for what connections begin from now on, open ones included, or back, as a
// failover does that leaves the old primary running.
func (s *PostgresServer) SetReadOnly(t TB, on bool) {
	t.Helper()
	value := "off"
	if on {
		value = "on"
	}
	// Both in one session, whose own default would keep it from changing anything.
	for _, sql := range []string{"ALTER SYSTEM SET default_transaction_read_only = " + value, "SELECT pg_reload_conf()"} {
		if err := s.Exec("postgres", "SET default_transaction_read_only = off", sql); err != nil {
			t.Fatal(err)
		}
	}
}

// Standby makes a copy of the instance that follows it, and starts it. The instance needs wal_level=replica and
// max_wal_senders. It ends with the test.
func (s *PostgresServer) Standby(t TB) *PostgresServer {
	t.Helper()
	standby := &PostgresServer{bin: s.bin, password: s.password, cred: s.cred}
	var err error
	if standby.dir, err = os.MkdirTemp(filepath.Dir(s.dir), "ctrip-postgres-"); err == nil {
		err = orphans.removeAtEnd(standby.dir)
	}
	if err == nil && s.cred != nil {
		err = os.Chown(standby.dir, int(s.cred.Uid), int(s.cred.Gid))
	}
	if err != nil {
		t.Fatal(err)
	}
	backup := standby.command("pg_basebackup", "-d", s.URL("postgres"), "-D", standby.data(), "-R", "-X", "stream",
		"-c", "fast", "--no-sync")
	if out, err := backup.CombinedOutput(); err != nil {
		t.Fatalf("testkit: pg_basebackup: %v\n%s", err, out)
	}
	for range 10 { // a chosen port may be taken before Postgres binds it
		if standby.port, err = freePort(); err != nil {
			break
		}
		if err = standby.Start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	if err != nil {
		t.Fatal(errors.Join(err, os.RemoveAll(standby.dir)))
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	return standby
}

// Promote makes a standby the primary and returns when it takes writes.
func (s *PostgresServer) Promote(t TB) {
	t.Helper()
	if err := s.Exec("postgres", "SELECT pg_promote(true, 60)"); err != nil {
		t.Fatal(err)
	}
}

// Own gives a file or directory to the user that the instance runs under.
func (s *PostgresServer) Own(t TB, path string) {
	t.Helper()
	if s.cred == nil {
		return
	}
	if err := os.Chown(path, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
		t.Fatal(err)
	}
}

// Addr is host:port.
func (s *PostgresServer) Addr() string { return s.addr() }

// Exec runs statements in one session of a superuser.
func (s *PostgresServer) Exec(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL(database))
	if err != nil {
		return fmt.Errorf("testkit: connect to Postgres: %w", err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("testkit: %s: %w", sql, err)
		}
	}
	return nil
}
