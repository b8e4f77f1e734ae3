package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
)

// maxBody is the limit of internal/api for a body, in bytes.
const maxBody = 64 << 10

// fault makes a request whose faults are n times one kind, in about n times unit bytes.
type fault struct {
	name    string
	unit    int
	request func(n int) *http.Request
}

// TestRequestsCostWhatTheirSizeCosts doubles each kind of fault in each place of each operation that can hold it: the
// memory that the answer costs grows with the size and no faster, and is small at the largest size. Memory is the
// measure, since it is the same on a busy machine; the time of the largest request is held with a wide margin.
func TestRequestsCostWhatTheirSizeCosts(t *testing.T) {
	file, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := openapi.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, op := range spec.Operations() {
		params := make(map[string]string)
		for _, p := range append(op.Route.Operation.Parameters, op.Route.PathItem.Parameters...) {
			if p.Value.In == openapi3.ParameterInPath {
				params[p.Value.Name] = openapi.Example(p.Value.Schema.Value)
			}
		}
		for _, f := range faultsOf(op) {
			tried++
			name := op.ID + "/" + f.name
			check := func(n int) (bytes uint64, took time.Duration) {
				return cost(func() {
					err := spec.Check(f.request(n), op, params)
					if e, ok := err.(*openapi.Error); ok && (len(e.Fields) > openapi.MaxListed || len(e.Error()) > 1<<20) {
						t.Errorf("%s: %d fields listed in %d bytes", name, len(e.Fields), len(e.Error()))
					}
				})
			}
			n := maxBody / 2 / f.unit
			whole, took := check(2 * n)
			if whole > 1<<20 { // what costs less is the same for every size
				if half, _ := check(n); whole > 3*half {
					t.Errorf("%s: twice the size costs %.1f times the memory: %d and %d bytes", name, float64(whole)/float64(half),
						half, whole)
				}
			}
			if whole > 16<<20 {
				t.Errorf("%s: a request of %d bytes costs %d bytes", name, 2*n*f.unit, whole)
			}
			if took > time.Second {
				t.Errorf("%s: a request of %d bytes takes %v", name, 2*n*f.unit, took)
			}
		}
	}
	if tried < 300 {
		t.Errorf("only %d kinds of faults were tried", tried)
	}
}

// cost is what f allocates, and the time that it takes, at best of three where it takes long.
func cost(f func()) (bytes uint64, took time.Duration) {
	took = time.Hour
	var before, after runtime.MemStats
	for range 3 {
		runtime.ReadMemStats(&before)
		start := time.Now()
		f()
		took = min(took, time.Since(start))
		runtime.ReadMemStats(&after)
		if took < 100*time.Millisecond {
			break
		}
	}
	return after.TotalAlloc - before.TotalAlloc, took
}

// faultsOf are the kinds of faults that requests of an operation can have.
func faultsOf(op *openapi.Operation) []fault {
	ask := func(query string, header http.Header, body []byte) *http.Request {
		r := httptest.NewRequest(op.Method, "/"+query, bytes.NewReader(body))
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		for name, values := range header {
			r.Header[name] = values
		}
		return r
	}
	faults := []fault{
		{"unknown parameters", 8, func(n int) *http.Request { return ask("?"+repeat(n, "&", "x%05d=1"), nil, nil) }},
		{"empty parameters", 1, func(n int) *http.Request { return ask("?"+strings.Repeat("&", n), nil, nil) }},
	}
	for name := range op.Query {
		faults = append(faults,
			fault{"repeated " + name, len(name) + 3, func(n int) *http.Request {
				return ask("?"+strings.Repeat(name+"=1&", n), nil, nil)
			}},
			fault{"long " + name, 1, func(n int) *http.Request {
				return ask("?"+name+"="+url.QueryEscape(strings.Repeat("1", n)), nil, nil)
			}})
	}
	for name := range op.Header {
		faults = append(faults, fault{"repeated " + name, 1, func(n int) *http.Request {
			return ask("", http.Header{name: strings.Split(strings.Repeat("x", n), "")}, nil)
		}})
	}
	if op.Route.Operation.RequestBody == nil {
		return faults
	}
	body := func(name string, unit int, text func(n int) string) {
		faults = append(faults, fault{name, unit, func(n int) *http.Request { return ask("", nil, []byte(text(n))) }})
	}
	body("unknown names", 11, func(n int) string { return "{" + repeat(n, ",", `"x%05d":1`) + "}" })
	body("a name again and again", 6, func(n int) string {
		return "{" + strings.TrimSuffix(strings.Repeat(`"a":1,`, n), ",") + "}"
	})
	body("a list", 2, func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" })
	body("nested lists", 2, func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) })
	body("nested objects", 6, func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) })
	body("white space", 1, func(n int) string { return strings.Repeat(" ", n) + "{}" })
	body("no JSON", 1, func(n int) string { return strings.Repeat("x", n) })
	schema := op.Route.Operation.RequestBody.Value.Content.Get("application/json").Schema.Value
	for property := range schema.Properties {
		for kind, v := range map[string]struct {
			unit int
			text func(n int) string
		}{
			"digits":   {1, func(n int) string { return `"` + strings.Repeat("9", n) + `"` }},
			"number":   {1, func(n int) string { return "1" + strings.Repeat("0", n) }},
			"text":     {1, func(n int) string { return `"` + strings.Repeat("a", n) + `"` }},
			"escapes":  {6, func(n int) string { return `"` + strings.Repeat(`\u0001`, n) + `"` }},
			"lines":    {2, func(n int) string { return `"` + strings.Repeat(`\n`, n) + `"` }},
			"unicode":  {3, func(n int) string { return `"` + strings.Repeat("€", n) + `"` }},
			"integers": {2, func(n int) string { return "[1" + strings.Repeat(",1", n) + "]" }},
			"texts":    {9, func(n int) string { return "[" + repeat(n, ",", `"x%05d"`) + "]" }},
			"lists":    {3, func(n int) string { return "[[]" + strings.Repeat(",[]", n) + "]" }},
			"entries":  {13, func(n int) string { return "{" + repeat(n, ",", `"x%05d":"y"`) + "}" }},
			"odd names": {16, func(n int) string {
				return "{" + repeat(n, ",", `"\u0001x%05d":1`) + "}"
			}},
			"bad entries": {11, func(n int) string { return "{" + repeat(n, ",", `"x%05d":[]`) + "}" }},
			"deep":        {2, func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }},
		} {
			name, err := json.Marshal(property)
			if err != nil {
				panic(err)
			}
			body(property+": "+kind, v.unit, func(n int) string { return "{" + string(name) + ":" + v.text(n) + "}" })
		}
	}
	return faults
}

// repeat joins n copies of a format that takes the number of the copy.
func repeat(n int, separator, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(separator)
		}
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
