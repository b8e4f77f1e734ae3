package models

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// latest is the last moment that a cursor may name, in Unix microseconds: the end of the year 9999.
const latest = 253_402_300_799_999_999

// cursorID is what the ids in cursors look like.
var cursorID = regexp.MustCompile(`^[a-z]+_[0-9a-z]+$`)

// Cursor names the row of a list that was made at a time and has an id. It is opaque to those who are given it.
func Cursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at.UnixMicro(), 10) + " " + id))
}

// ParseCursor reads what [Cursor] made. It believes nothing else: neither times that no database keeps nor ids that
// are not text.
func ParseCursor(c string) (at time.Time, id string, ok bool) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	first, id, found := strings.Cut(string(raw), " ")
	micros, notNumber := strconv.ParseInt(first, 10, 64)
	if err != nil || !found || notNumber != nil || micros < 0 || micros > latest || !cursorID.MatchString(id) {
		return time.Time{}, "", false
	}
	return time.UnixMicro(micros).UTC(), id, true
}
