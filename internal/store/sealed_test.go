package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
)

// TestEverySealedColumnIsKnown: whatever column of the schema holds bytes is sealed, and then re-encrypted with all
// others, or is one of those that hold what went over the wire.
func TestEverySealedColumnIsKnown(t *testing.T) {
	_, db := storetest.Owned(t)
	found := rows(t, db, `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = current_schema() AND (data_type = 'bytea' OR column_name LIKE '%sealed%' OR column_name LIKE '%secret%' OR column_name LIKE '%private%')`)
	got := strings.Fields(found)
	open := []string{"attempts.response_body", "batches.body", "events.body", "logos.image"}
	want := append(store.SealedColumns(), open...)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("columns that may hold a secret: %v\nsealed, or known to be open:    %v", got, want)
	}
}
