package openapi

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzDecodeJSON: whatever the strict reader lets pass is an object or value that encodes and reads back; nothing
// panics.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"chain":"ethereum","asset":"USDC","amount":"1500000"}`,
		`{"a":{"a":[{"a":1},{"a":2}]}}`, `{"a":1,"\u0061":2}`, `"\ud83d\ude00"`, `"\\ud83d"`, "[1,]", "\xff", "1 2", `"\u"`,
		"{}{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decodeJSON(body)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Reason != ReasonJSON {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if _, err := decodeJSON(encoded); err != nil {
			t.Fatalf("%q became %q: %v", body, encoded, err)
		}
	})
}
