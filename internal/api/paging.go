package api

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
)

const (
	defaultLimit = 20
	// exampleCursor is what a cursor looks like, here and in openapi.yaml.
	exampleCursor = "MTc5NTQyODE5MjQ1NjAwMCBwYXlfMGszbXpxOHI1djd3Mng5eTRiNmMxZDBlZmc"
)

// latest is the last moment that a cursor may name, in Unix microseconds: the end of the year 9999.
const latest = 253_402_300_799_999_999

// cursorID is what the ids in cursors look like.
var cursorID = regexp.MustCompile(`^[a-z]+_[0-9a-z]+$`)

// pageOf reads the two parameters that every list has.
func pageOf(limit *int, cursor *string) (store.Page, error) {
	p := store.Page{Limit: limitOf(limit)}
	if cursor == nil || *cursor == "" {
		return p, nil
	}
	fields, ok := openCursor(*cursor, 2)
	if !ok {
		return p, badCursor("cursor")
	}
	micros, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || micros < 0 || micros > latest || !cursorID.MatchString(fields[1]) {
		return p, badCursor("cursor")
	}
	p.Before = &store.Position{CreatedAt: time.UnixMicro(micros).UTC(), ID: fields[1]}
	return p, nil
}

func limitOf(limit *int) int {
	if limit == nil {
		return defaultLimit
	}
	return *limit
}

// nextCursor names the last row of a full page, nil when there can be no further one.
func nextCursor(n, limit int, at time.Time, id string) *string {
	if n < limit {
		return nil
	}
	c := sealCursor(strconv.FormatInt(at.UnixMicro(), 10), id)
	return &c
}

// A cursor is opaque to merchants: base64 of its fields.
func sealCursor(fields ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(fields, " ")))
}

func openCursor(c string, fields int) ([]string, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	parts := strings.Split(string(raw), " ")
	return parts, err == nil && len(parts) == fields
}

func badCursor(name string) *Problem {
	return Invalid(FieldError{Field: name, Message: "is not a next_cursor that this gateway gave out",
		Example: exampleCursor})
}
