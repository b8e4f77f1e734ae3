package test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/testkit"
)

// smallDisk is where a database lies that is to run out of space: a small tmpfs where we may mount one. Elsewhere
// triggers stand in for it, which refuse what a full disk refuses, with its SQLSTATE.
type smallDisk struct {
	t   *testing.T
	dir string // "" for triggers
	f   *failing
}

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ctrip-small-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) })
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=0777"); err != nil {
		t.Logf("no tmpfs can be mounted (%v): triggers stand in for a full disk", err)
		return &smallDisk{t: t}
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return &smallDisk{t: t, dir: dir}
}

func (d *smallDisk) create(s *testkit.PostgresServer) string {
	d.t.Helper()
	name, in := "small", ""
	if d.dir != "" {
		in = " TABLESPACE small"
		s.Own(d.t, d.dir)
		if err := s.Exec("postgres", "CREATE TABLESPACE small LOCATION '"+d.dir+"'"); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := s.Exec("postgres", "CREATE DATABASE "+name+in); err != nil {
		d.t.Fatal(err)
	}
	return s.URL(name)
}

func (d *smallDisk) fill() {
	d.t.Helper()
	if d.dir == "" {
		statements := []string{`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`}
		for _, table := range []string{"payments", "attempts", "events"} {
			statements = append(statements, "CREATE TRIGGER refuse BEFORE INSERT ON "+table+" EXECUTE FUNCTION refuse()")
		}
		statements = append(statements, `CREATE TRIGGER refuse BEFORE INSERT ON processes FOR EACH ROW
			WHEN (length(NEW.version) > 1000) EXECUTE FUNCTION refuse()`)
		if err := d.f.primary.Exec("small", statements...); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	file, err := os.Create(filepath.Join(d.dir, "other"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if d.dir != "" {
		if err := os.Remove(filepath.Join(d.dir, "other")); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	if err := d.f.primary.Exec("small", "DROP FUNCTION refuse CASCADE"); err != nil {
		d.t.Fatal(err)
	}
}
