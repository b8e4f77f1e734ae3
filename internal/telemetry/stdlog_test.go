package telemetry_test

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/telemetry"
)

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// TestBodyOfA204: the bytes that a receiver sends where there is no body do not come out with the log.
func TestBodyOfA204(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\nraw bytes of the receiver")
	}()
	var out lockedBuffer
	to, err := telemetry.NewLogger(telemetry.LogOptions{Writer: &out, Level: "debug"})
	if err != nil {
		t.Fatal(err)
	}
	before, flags := log.Writer(), log.Flags()
	defer func() { log.SetOutput(before); log.SetFlags(flags) }()
	telemetry.CaptureStandardLog(to)
	res, err := (&http.Transport{}).RoundTrip(mustRequest(t, "http://"+l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), "unsolicited"); {
		if time.Now().After(deadline) {
			t.Fatalf("net/http did not tell of it: %s", out.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
	log.Print("another line")
	if text := out.String(); strings.Contains(text, "raw bytes") || !strings.Contains(text, `"text":"another line"`) {
		t.Error(text)
	}
}

func mustRequest(t *testing.T, url string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}
