package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// debianPostgres is where Debian keeps the server programs, which it leaves out of PATH.
const debianPostgres = "/usr/lib/postgresql/*/bin"

// findPostgres returns the directory that holds initdb and postgres: the newest that matches pattern, or else the
// one that initdb in PATH leads to.
func findPostgres(pattern string) (string, error) {
	best, version := "", -1.0
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		v, err := strconv.ParseFloat(filepath.Base(filepath.Dir(dir)), 64)
		if err == nil && v > version && hasPrograms(dir) {
			best, version = dir, v
		}
	}
	if best != "" {
		return best, nil
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil && hasPrograms(filepath.Dir(p)) {
			return filepath.Dir(p), nil
		}
	}
	return "", fmt.Errorf("testkit: no PostgreSQL server programs (initdb, postgres) in %s or PATH: "+
		"run `make setup`, or install PostgreSQL 15 or newer (Debian: apt-get install postgresql)", pattern)
}

func hasPrograms(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func findRedis() (string, error) {
	p, err := exec.LookPath("redis-server")
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("testkit: no redis-server in PATH: run `make setup`, or install Redis 7 or newer " +
			"(Debian: apt-get install redis-server)")
	}
	return p, nil
}
