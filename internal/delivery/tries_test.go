package delivery_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// closesAfterOne answers one request of each connection, reads the next and closes without a word.
func closesAfterOne(t *testing.T) (url string, accepts func() string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	accept := make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for i := range 2 {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					accept <- r.Header.Get("Accept")
					if _, err := io.Copy(io.Discard, r.Body); err != nil || i > 0 {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), func() string { return <-accept }
}

// TestTriesAreRecorded: a request that was sent once more is one attempt, which says so.
func TestTriesAreRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		url, accepts := closesAfterOne(t)
		m := w.Merchant()
		w.Endpoint(m, url)
		sender := w.Sender()
		for i, want := range []int{0, 2} {
			d := w.Publish(m, 1)[0]
			if out := sender.Attempt(t.Context(), deliverytest.Task(d)); out.Do != delivery.Ack {
				t.Fatalf("%+v", out)
			}
			as, err := s.Attempts(t.Context(), m, d.ID)
			if err != nil || len(as) != 1 || len(as[0].Tries) != want || w.Get(d).State != models.DeliveryDelivered {
				t.Fatalf("%d: %+v, %v", i, as, err)
			}
			if want == 0 {
				continue
			}
			first, second := as[0].Tries[0], as[0].Tries[1]
			if !strings.HasPrefix(first.Error, "reset: ") || second.Error != "" || first.RemoteIP != "127.0.0.1" ||
				second.RemoteIP != "127.0.0.1" || second.At.Before(first.At) || first.At.Before(as[0].StartedAt) {
				t.Errorf("%+v", as[0].Tries)
			}
		}
		for range 3 {
			if got := accepts(); got != "*/*" {
				t.Errorf("Accept: %q", got)
			}
		}
	})
}
