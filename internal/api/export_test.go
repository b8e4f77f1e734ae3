package api

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

func TestExports(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		merchantID, key := c.merchant(t, "a", false)
		_, stranger := c.merchant(t, "b", false)
		decoded[map[string]any](t, c.ask(key, "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/hooks"}`),
			http.StatusCreated)
		decoded[Payment](t, c.ask(stranger, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"7"}`),
			http.StatusCreated)
		const n = payments.ExportRows + 3
		for i := range n {
			decoded[Payment](t, c.ask(key, "POST", "/api/v1/payments",
				fmt.Sprintf(
					`{"chain":"ethereum","asset":"USDC","amount":"%d","order_id":"=cmd|'%d'","metadata":{"a":"x,\"y\"\u00fc"}}`, i+1,
					i)), http.StatusCreated)
		}
		read := func(path string) [][]string {
			t.Helper()
			w := c.ask(key, "GET", path, "", "Accept", "text/csv")
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" ||
				!strings.Contains(w.Header().Get("Content-Disposition"), ".csv") {
				t.Fatalf("%s: %d %v", path, w.Code, w.Header())
			}
			rows, err := csv.NewReader(w.Body).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		rows := read("/api/v1/payments")
		ids := make(map[string]bool)
		for _, row := range rows[1:] {
			ids[row[0]] = true
			if !strings.HasPrefix(row[1], "'=cmd") || row[19] != `{"a":"x,\"y\"ü"}` || row[12] == "7" && row[8] == "ETH" {
				t.Fatalf("%q", row)
			}
		}
		if !slices.Equal(rows[0], payments.Columns) || len(rows) != n+1 || len(ids) != n {
			t.Fatalf("%d rows, %d payments, %q", len(rows), len(ids), rows[0])
		}
		if rows := read("/api/v1/payments?status=canceled"); len(rows) != 1 {
			t.Errorf("%d rows of nothing", len(rows))
		}
		if rows := read("/api/v1/deliveries?event_type=payment.created"); len(rows) != n+1 ||
			!slices.Equal(rows[0], deliveryColumns) || rows[1][5] != "pending" {
			t.Errorf("%d rows, %q", len(rows), rows[:2])
		}
		w := c.ask(key, "GET", "/api/v1/payments?limit=5&cursor=x", "", "Accept", "text/csv")
		if p := decoded[Problem](t, w, http.StatusBadRequest); len(p.Errors) == 0 {
			t.Errorf("%+v", p)
		}
		if w := c.ask(key, "GET", "/api/v1/payments?limit=5", "", "Accept",
			"application/json, text/csv"); !strings.HasPrefix(w.Body.String(), `{"data"`) {
			t.Errorf("JSON was preferred: %.60s", w.Body)
		}
		lines, err := s.AuditAbout(t.Context(), []string{merchantID})
		if err != nil ||
			!slices.ContainsFunc(lines, func(l models.AuditEntry) bool { return l.Action == "payments.exported" }) {
			t.Errorf("an export is not in the audit log: %v, %v", lines, err)
		}
	})
}

// TestBrokenExport: what fails in the middle breaks the connection off; what fails before the first row is a problem.
func TestBrokenExport(t *testing.T) {
	c := newCounter(t, storetest.SQLite(t))
	_, key := c.merchant(t, "a", false)
	calls := 0
	e := export{name: "x", columns: []string{"a"}, ctx: t.Context()}
	fail := func(at int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			calls = 0
			e.next = broken(&calls, at)
			if err := e.write(w); err != nil {
				http.Error(w, "no", http.StatusInternalServerError)
			}
		}
	}
	for at, want := range map[int]bool{1: false, 2: true} {
		if got := aborted(t, fail(at)); got != want {
			t.Errorf("failing at page %d: broken off %v", at, got)
		}
	}
	if w := c.ask(key, "GET", "/api/v1/payments", "", "Accept", "text/csv; charset=utf-8"); w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
}

// broken gives full pages, and fails at one of them.
func broken(calls *int, at int) func(context.Context, store.Page) ([][]string, store.Position, error) {
	return func(context.Context, store.Page) ([][]string, store.Position, error) {
		if *calls++; *calls == at {
			return nil, store.Position{}, errors.New("the database is gone")
		}
		rows := make([][]string, payments.ExportRows)
		for i := range rows {
			rows[i] = []string{"x"}
		}
		return rows, store.Position{}, nil
	}
}

// aborted reports whether a client sees that an answer is not whole.
func aborted(t *testing.T, h http.Handler) bool {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	res, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	return err != nil
}

// TestExportIsFlat: a hundred thousand rows are written as they are read; no more than a few pages are in memory at
// once.
func TestExportIsFlat(t *testing.T) {
	const pages = 200
	before, most, written, page := heap(), uint64(0), 0, 0
	e := export{name: "x", columns: []string{"a", "b"}, ctx: t.Context(),
		next: func(context.Context, store.Page) ([][]string, store.Position, error) {
			if page++; page%20 == 0 {
				most = max(most, heap())
			}
			rows := make([][]string, payments.ExportRows)
			for i := range rows {
				rows[i] = []string{strings.Repeat("x", 200), fmt.Sprint(page, i)}
			}
			if page == pages {
				rows = rows[:payments.ExportRows-1]
			}
			written += len(rows)
			return rows, store.Position{}, nil
		}}
	if err := e.write(nowhere{http.Header{}}); err != nil {
		t.Fatal(err)
	}
	if grown := int64(most) - int64(before); written != pages*payments.ExportRows-1 || grown > 4<<20 {
		t.Errorf("%d rows, and the heap grew by %d bytes", written, grown)
	}
}

// nowhere is a reader who keeps nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestExportsHaveADeadlineAPage: an export may take longer than any answer, as long as its reader takes each page of it
// in time; one who does not read is cut off.
func TestExportsHaveADeadlineAPage(t *testing.T) {
	const pages = 12
	gone := make(chan struct{})
	handler := func(patience time.Duration, endless bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page := 0
			e := export{name: "payments", columns: []string{"id"}, ctx: r.Context(), patience: patience}
			e.next = func(context.Context, store.Page) ([][]string, store.Position, error) {
				if page++; page == pages && !endless {
					return nil, store.Position{}, nil
				}
				if !endless {
					time.Sleep(100 * time.Millisecond) // in all longer than the server gives an answer
				}
				return slices.Repeat([][]string{{strings.Repeat("x", 1000)}}, payments.ExportRows), store.Position{}, nil
			}
			if endless {
				defer close(gone)
			}
			if err := e.write(w); err != nil {
				t.Error(err)
			}
		})
	}
	serve := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.WriteTimeout = 500 * time.Millisecond
		s.Start()
		t.Cleanup(s.Close)
		return s
	}
	res, err := http.Get(serve(handler(30*time.Second, false)).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err != nil || n < (pages-1)*payments.ExportRows*1000 {
		t.Errorf("a reader who takes every page got %d bytes: %v", n, err)
	}
	silent, err := net.Dial("tcp", serve(handler(200*time.Millisecond, true)).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := io.WriteString(silent, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("an export that nobody reads goes on for ever")
	}
}
