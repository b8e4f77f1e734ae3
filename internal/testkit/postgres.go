package testkit

import (
	"context"
	"os"
	"sync"
	"time"
)

// PostgresEnv names the environment variable by which cmd/services tells test binaries of the shared instance: a URL
// whose user may create databases.
const PostgresEnv = "TEST_POSTGRES_URL"

// PostgresOptionsEnv names the environment variable whose value is added to the query of every connection string:
// default_query_exec_mode=exec runs a package's tests as a deployment behind a pooler may run.
const PostgresOptionsEnv = "TEST_POSTGRES_OPTIONS"

// own is the instance of a test binary that runs without the launcher. It lives as long as the process.
var own = sync.OnceValues(func() (*PostgresServer, error) { return StartPostgres(PostgresOptions{}) })

// Postgres returns the connection string (postgres://…) of a new, empty database, which is dropped when the test ends.
func Postgres(t TB) string {
	t.Helper()
	admin := os.Getenv(PostgresEnv)
	if admin == "" {
		s, err := own()
		if err != nil {
			t.Fatal(err)
		}
		admin = s.URL("postgres")
	}
	dsn, err := createDatabase(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := dropDatabase(ctx, admin, dsn); err != nil {
			t.Error(err)
		}
	})
	if more := os.Getenv(PostgresOptionsEnv); more != "" {
		dsn += "&" + more
	}
	return dsn
}

// PrivatePostgres returns an instance of the test's own, for tests that stop or kill it. It ends with the test.
func PrivatePostgres(t TB, o PostgresOptions) *PostgresServer {
	t.Helper()
	s, err := StartPostgres(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
