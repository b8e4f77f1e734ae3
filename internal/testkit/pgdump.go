package testkit

import "os/exec"

// Dump writes the database that dsn names to a file, as a backup does.
func (s *PostgresServer) Dump(t TB, dsn, path string) {
	t.Helper()
	runPostgres(t, exec.Command(s.command("pg_dump").Path, "--format=custom", "--file="+path, "--dbname="+dsn))
}

// Restore loads such a file into the database that dsn names, with the rights that dsn has.
func (s *PostgresServer) Restore(t TB, dsn, path string) {
	t.Helper()
	runPostgres(t, exec.Command(s.command("pg_restore").Path, "--exit-on-error", "--no-owner", "--dbname="+dsn, path))
}

// runPostgres runs a client of Postgres as whoever runs the test, who owns the files.
func runPostgres(t TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("testkit: %s: %v\n%s", cmd.Path, err, out)
	}
}
