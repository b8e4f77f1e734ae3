package test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// raw sends bytes to the receiver as they are and returns the status of the answer, 0 when there is none.
func (s *sample) raw(head string, header http.Header, body string) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	var request bytes.Buffer
	request.WriteString("POST /hooks HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Type: application/json\r\n" +
		head)
	if err := header.Write(&request); err != nil {
		s.t.Fatal(err)
	}
	request.WriteString("\r\n" + body)
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Write(request.Bytes()); err != nil {
		s.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// chunked writes a body in chunks of at most n bytes.
func chunked(body string, n int) string {
	var b strings.Builder
	for part := range slices.Chunk([]byte(body), n) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}

// TestSampleReceiversOddRequests: headers given twice, bodies in chunks or of two lengths, and what is signed well and
// has not the form of events. Each is answered, none is a failure of the receiver, and nothing of it has an effect
// that should not.
func TestSampleReceiversOddRequests(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile("../webhook/testdata/payment.confirmed.json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := webhook.Decode(good)
	if err != nil {
		t.Fatal(err)
	}
	const batchID = "bat_00000000000000000000000001"
	signed := func(id, body string) http.Header {
		h := make(http.Header)
		webhook.Secrets{Current: secret}.SetHeaders(h, id, time.Now(), 1, []byte(body))
		return h
	}
	length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
	for name, s := range samples(t, secret) {
		t.Run(name, func(t *testing.T) {
			s.t = t
			s.start()
			defer s.kill()
			refused := func(what string, status int) {
				t.Helper()
				// What has no payment has no effect, and may be taken for an event of a type that is not known yet.
				passes := status == http.StatusOK &&
					slices.ContainsFunc([]string{"a batch in a batch", `confirmed"}]`, `"data":[]}]`},
						func(part string) bool { return strings.Contains(what, part) })
				closed := status == 0 && name == "php" // php -S answers nothing to what is not HTTP
				if (status < 400 || status >= 500) && !passes && !closed || len(s.orders()) != 0 {
					t.Errorf("%s: answered %d, orders %v", what, status, s.orders())
				}
			}
			body := string(good)
			for _, header := range []string{"webhook-id: evt_00000000000000000000000009", "webhook-timestamp: 1795428000",
				"Webhook-ID: " + e.ID} {
				refused(header+" twice", s.raw(length(body)+header+"\r\n", signed(e.ID, body), body))
			}
			for what, odd := range oddMessages(body, e.ID) {
				for _, id := range []string{e.ID, batchID} {
					refused(what+" as "+id[:3], s.raw(length(odd), signed(id, odd), odd))
				}
			}
			refused("two lengths", s.raw(length(body)+"Content-Length: 5\r\n", signed(e.ID, body), body))
			refused("no length", s.raw("Content-Length: x\r\n", signed(e.ID, body), body))
			refused("a broken chunk", s.raw("Transfer-Encoding: chunked\r\n", signed(e.ID, body), "zz\r\n"+body))
			refused("too large, in chunks", s.raw("Transfer-Encoding: chunked\r\n", signed(e.ID, body),
				chunked(strings.Repeat("x", 300<<10), 1000)))
			if status := s.raw("Transfer-Encoding: chunked\r\n", signed(e.ID, body), chunked(body, 100)); status != 200 ||
				s.orders()[e.Data.Payment.ID] != "confirmed" {
				t.Errorf("an event in chunks: answered %d, orders %v", status, s.orders())
			}
		})
	}
}

// oddMessages are bodies that nobody but the holder of the secret could sign, and that are no events all the same.
func oddMessages(good, id string) map[string]string {
	event := strings.Replace(good, id, "evt_00000000000000000000000008", 1)
	odd := map[string]string{
		"null": "null", "a list": "[]", "a text": `"batch"`, "a number": "7", "an empty object": "{}",
		"a batch without events": `{"type":"batch"}`, "an event in a batch that is no batch": `{"type":"batch","id":"` + id + `"}`,
		"a batch in a batch": `{"type":"batch","events":[{"type":"batch","id":"x","data":{},"events":[` + event + `]}]}`,
		"deep":               `{"type":"batch","events":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`,
		"many events":        `{"type":"batch","events":[` + strings.TrimSuffix(strings.Repeat(`{"id":"x","type":"y","data":{}},`, 101), ",") + `]}`,
	}
	for _, events := range []string{"null", `"abc"`, "7", "{}", "[]", "[null]", "[7]", `["evt_1"]`, "[[]]", "[{}]",
		`[{"id":7,"type":"payment.confirmed","data":{}}]`, `[{"id":"evt_1","type":7,"data":{}}]`,
		`[{"id":"evt_1","type":"payment.confirmed"}]`, `[{"id":"evt_1","type":"payment.confirmed","data":[]}]`,
		`[{"id":"evt_1","type":"payment.confirmed","data":{"payment":7}}]`,
		`[{"id":"evt_1","type":"payment.confirmed","data":{"payment":{"id":{},"order_id":"A","sequence":1,"status":"x"}}}]`,
		`[{"id":"evt_1","type":"payment.confirmed","data":{"payment":{"id":"p","order_id":[],"sequence":1,"status":"x"}}}]`,
		`[{"id":"evt_1","type":"payment.confirmed","data":{"payment":{"id":"p","order_id":"A","sequence":"1","status":"x"}}}]`,
		"[" + event + ",null]", "[" + event + `,{"id":"evt_1"}]`} {
		odd["a batch of "+events[:min(len(events), 90)]] = `{"type":"batch","events":` + events + `}`
	}
	return odd
}
