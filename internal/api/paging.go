package api

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	defaultLimit = 20
	// exampleCursor is what a cursor looks like, here and in openapi.yaml.
	exampleCursor = "MTc5NTQyODE5MjQ1NjAwMCBwYXlfMGszbXpxOHI1djd3Mng5eTRiNmMxZDBlZmc"
)

// pageOf reads the two parameters that every list has.
func pageOf(limit *int, cursor *string) (store.Page, error) {
	p := store.Page{Limit: limitOf(limit)}
	if cursor == nil || *cursor == "" {
		return p, nil
	}
	at, id, ok := models.ParseCursor(*cursor)
	if !ok {
		return p, badCursor("cursor")
	}
	p.Before = &store.Position{CreatedAt: at, ID: id}
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
	c := models.Cursor(at, id)
	return &c
}

// sealCursor is the cursor of events in their order of commit: base64 of its fields, opaque to merchants.
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
