package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func (h *secretFixture) logs() string {
	h.t.Helper()
	var all []byte
	for _, name := range []string{"api", "worker", "scanner"} {
		b, err := os.ReadFile(h.LogFile(name))
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}

// redis is every command that changed Redis since it was started: its append-only file.
func (h *secretFixture) redis() string {
	h.t.Helper()
	dir, ok := h.Redis.Do(h.t, "CONFIG", "GET", "dir").([]any)
	if !ok || len(dir) != 2 {
		h.t.Fatalf("CONFIG GET dir: %v", dir)
	}
	files, err := filepath.Glob(fmt.Sprint(dir[1]) + "/appendonlydir/*.aof")
	if err != nil || len(files) == 0 {
		h.t.Fatalf("append-only files: %v, %v", files, err)
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, b...)
	}
	return string(all)
}

// database is every row of every table as JSON, in which bytes are hex.
func (h *secretFixture) database() string {
	h.t.Helper()
	names := h.column("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
	if len(names) < 10 || !slices.Contains(names, "endpoint_secrets") {
		h.t.Fatalf("tables: %v", names)
	}
	var all strings.Builder
	for _, name := range names {
		for _, row := range h.column(`SELECT to_jsonb(r)::text FROM "` + name + `" r`) {
			all.WriteString(name + ": " + row + "\n")
		}
	}
	return all.String()
}

func (h *secretFixture) column(query string) []string {
	h.t.Helper()
	rows, err := h.DB.QueryContext(h.t.Context(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return all
}
