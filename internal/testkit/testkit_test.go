package testkit

import (
	"debug/buildinfo"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestPostgresDatabasesAreSeparateAndDropped(t *testing.T) {
	var first string
	t.Run("first", func(t *testing.T) {
		first = Postgres(t)
		mustExec(t, first, "CREATE TABLE here (n int)")
	})
	second := Postgres(t)
	mustExec(t, second, "CREATE TABLE here (n int)")
	conn, err := pgx.Connect(t.Context(), first)
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("the first test's database is still there")
	}
	if !strings.Contains(err.Error(), "does not exist") {
		t.Fatal(err)
	}
}

func mustExec(t *testing.T, dsn, sql string) {
	t.Helper()
	if err := execSQL(t.Context(), dsn, sql); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresSurvivesKill(t *testing.T) {
	s := PrivatePostgres(t, PostgresOptions{Durable: true, Settings: map[string]string{"log_min_messages": "warning"}})
	dsn, err := s.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, dsn, "CREATE TABLE saved (n int); INSERT INTO saved VALUES (7)")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(t.Context(), dsn); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT n FROM saved").Scan(&n); err != nil || n != 7 {
		t.Fatalf("n = %d, %v", n, err)
	}
}

func TestRedisKeepsItsDataOnlyWhenAsked(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    RedisOptions
		want any
	}{{"memory", RedisOptions{}, nil}, {"append only", RedisOptions{AppendOnly: true,
		Args: []string{"--appendfsync", "always"}}, "v"}} {
		t.Run(tt.name, func(t *testing.T) {
			s := Redis(t, tt.o)
			s.Do(t, "SET", "k", "v")
			s.Kill(t)
			if _, err := s.do("PING"); err == nil {
				t.Fatal("a killed server answers")
			}
			s.Start(t)
			if got := s.Do(t, "GET", "k"); got != tt.want {
				t.Fatalf("after a kill: %v", got)
			}
			s.Do(t, "SET", "k", "v")
			s.Stop(t)
			s.Start(t)
			if got := s.Do(t, "GET", "k"); got != tt.want {
				t.Fatalf("after a stop: %v", got)
			}
			s.Flush(t)
			if got := s.Do(t, "GET", "k"); got != nil {
				t.Fatalf("after a flush: %v", got)
			}
		})
	}
}

func TestRedisIsConfiguredAsInProduction(t *testing.T) {
	s := Redis(t)
	for name, want := range map[string]string{"maxmemory-policy": "noeviction", "hash-max-listpack-value": "512",
		"appendonly": "no"} {
		got, ok := s.Do(t, "CONFIG", "GET", name).([]any)
		if !ok || len(got) != 2 || got[1] != want {
			t.Errorf("%s = %v, want %s", name, got, want)
		}
	}
	if _, err := s.do("NO-SUCH-COMMAND"); err == nil {
		t.Error("an error answer is no error")
	}
	s.Pause(t)
	s.Resume(t)
	s.Do(t, "PING")
}

func TestMissingServicesSayWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := findRedis(); err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("redis: %v", err)
	}
	if _, err := findPostgres(filepath.Join(t.TempDir(), "*", "bin")); err == nil ||
		!strings.Contains(err.Error(), "apt-get install postgresql") {
		t.Errorf("postgres: %v", err)
	}
}

func TestFindPostgresTakesTheNewest(t *testing.T) {
	root := t.TempDir()
	for _, version := range []string{"9.6", "15", "16"} {
		dir := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			if version == "16" && name == "initdb" {
				continue // incomplete: not a candidate
			}
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := findPostgres(filepath.Join(root, "*", "bin"))
	if err != nil || got != filepath.Join(root, "15", "bin") {
		t.Fatalf("%s, %v", got, err)
	}
}

func TestReachable(t *testing.T) {
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(private, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if reachable(inner) {
		t.Error("a directory inside a private one counts as reachable")
	}
	if !reachable("/") {
		t.Error("/ does not count as reachable")
	}
}

// helperEnv makes this test binary act as the named helper instead of running tests.
const helperEnv = "TESTKIT_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperEnv) {
	case "program":
		os.Exit(testkitProgram(os.Args[1]))
	case "supervise":
		code, err := Supervise(os.Args[1:], helperEnv+"=")
		if err != nil {
			os.Stderr.WriteString(err.Error())
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestSuperviseReturnsTheExitCode(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 128 + 9} {
		cmd := helper(t, "sh", "-c", script)
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d", script, got, want)
		}
	}
}

// The supervised command holds the write end of a pipe, and so does its own child: the pipe ends when both are gone.
func TestNothingSurvivesTheSupervisor(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := helper(t, "sh", "-c", "sleep 600 & echo up; wait")
			cmd.Stdout = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			w.Close()
			if err := r.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 16)
			if n, err := r.Read(buf); err != nil || string(buf[:n]) != "up\n" {
				t.Fatalf("%q, %v", buf[:n], err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if n, err := r.Read(buf); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("after the supervisor's end: %d bytes, %v", n, err)
			}
		})
	}
}

func TestReaperEndsWhatIsLeft(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "with a space")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	left, spared := exec.Command("sleep", "600"), exec.Command("sleep", "600")
	for _, cmd := range []*exec.Cmd{left, spared} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	var r reaper
	for _, err := range []error{r.watch(left.Process.Pid, "TERM"), r.watch(spared.Process.Pid, "TERM"),
		r.forget(spared.Process.Pid), r.removeAtEnd(dir)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.pipe.Close() // as if this process had ended
	if err := left.Wait(); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("the watched process ended with %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the directory is still there")
		}
	}
	if err := spared.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the forgotten process is gone: %v", err)
	}
	_ = spared.Process.Kill()
	_ = spared.Wait()
}

func TestSignalsNeverGoToEverybody(t *testing.T) {
	var r reaper
	for _, pid := range []int{-1, 0, 1} {
		if err := sendSignal(pid, 0); err == nil {
			t.Errorf("pid %d may be signaled", pid)
		}
		if err := r.watch(pid, "KILL"); err == nil {
			t.Errorf("the reaper takes pid %d", pid)
		}
	}
}

func helper(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), helperEnv+"=supervise")
	return cmd
}

// TestPrograms builds a program, and looks for others where they should have been built.
func TestPrograms(t *testing.T) {
	t.Setenv(ProgramsEnv, "")
	const pkg = "internal/testkit/cmd/suite"
	program := filepath.Join(Programs(t, pkg), "suite")
	out, err := exec.Command(program, "-h").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "usage: suite") {
		t.Errorf("%v: %s", err, out)
	}
	if again := filepath.Join(Programs(t, pkg), "suite"); again != program {
		t.Errorf("built twice: %s and %s", program, again)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "-trimpath", Value: "true"}} {
		if !slices.Contains(info.Settings, want) {
			t.Errorf("built without %s=%s: %v", want.Key, want.Value, info.Settings)
		}
	}
	if dir, err := findPrograms(t.Context(), filepath.Dir(program), []string{pkg}); err != nil ||
		dir != filepath.Dir(program) {
		t.Errorf("%s, %v", dir, err)
	}
	if dir, err := findPrograms(t.Context(), filepath.Dir(program), []string{"cmd/api"}); err == nil ||
		!strings.Contains(err.Error(), "cmd/api") {
		t.Errorf("a program that is not there: %s, %v", dir, err)
	}
}
