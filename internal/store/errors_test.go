package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

// TestUnavailable holds the table of what a database says when it cannot do it now.
func TestUnavailable(t *testing.T) {
	for state, want := range map[string]bool{
		"08006": true, "08P01": true, "53100": true, "53200": true, "53300": true, "57P01": true, "57P02": true, "57P03": true,
		"57P05": true, "58000": true, "58030": true, "25006": true, "55P03": true, "57014": true, "25P03": true, "25P04": true,
		"3D000": true, "55000": true, "40001": true, "40P01": true, "0A000": true, "26000": true, "42P05": true,
		"23505": false, "22021": false, "42P01": false, "42501": false, "XX000": false, "57000": false,
	} {
		err := fmt.Errorf("store: x: %w", &pgconn.PgError{Code: state, Severity: "ERROR"})
		if got := store.IsUnavailable(err); got != want {
			t.Errorf("%s: %v", state, got)
		}
	}
	if !store.IsUnavailable(&pgconn.PgError{Code: "28P01", Severity: "FATAL"}) {
		t.Error("what ends the connection is an outage, whatever its code")
	}
	canceled := fmt.Errorf("%w: %w", context.Canceled, &pgconn.PgError{Code: "57014", Severity: "ERROR"})
	if store.IsUnavailable(canceled) {
		t.Error("what we canceled ourselves is no outage")
	}
}

// TestRefused tells what can never be written from what cannot be written now.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{errors.New("failed to encode args[0]"), true},
		{&pgconn.PgError{Code: "22021", Severity: "ERROR"}, true},
		{&pgconn.PgError{Code: "23505", Severity: "ERROR"}, true},
		{&pgconn.PgError{Code: "42501", Severity: "ERROR"}, false},
		{&pgconn.PgError{Code: "25006", Severity: "ERROR"}, false},
		{context.DeadlineExceeded, false},
		{nil, false},
	} {
		if got := store.IsRefused(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
