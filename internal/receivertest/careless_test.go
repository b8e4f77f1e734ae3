package receivertest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/webhook"
)

// careless is a receiver of somebody's own making with one flaw, by name; with "" it has none.
type careless struct {
	flaw   string
	secret webhook.Secret
	orders *orders

	mu   sync.Mutex
	seen map[string]bool
}

func (c *careless) is(flaws ...string) bool { return slices.Contains(flaws, c.flaw) }

func (c *careless) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = c.judge(r.Header, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var batch struct {
		Events []json.RawMessage `json:"events"`
	}
	if json.Unmarshal(body, &batch) != nil || batch.Events == nil {
		batch.Events = []json.RawMessage{body}
	} else if c.is("knows no batches") {
		http.Error(w, "what is this?", http.StatusBadRequest)
		return
	}
	if c.is("dedupes by webhook-id") && !c.first(r.Header.Get("webhook-id")) {
		return
	}
	for _, raw := range batch.Events {
		e, err := webhook.Decode(raw)
		if err == nil {
			err = c.handle(r.Header, e)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
	}
}

// first takes an id.
func (c *careless) first(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.seen[id]
	c.seen[id] = true
	return !was
}

func (c *careless) handle(h http.Header, e webhook.Event) error {
	switch {
	case c.is("knows all types") && !slices.Contains(webhook.EventTypes(), e.Type):
		return errors.New("no such type")
	case c.is("wants them in order") && c.orders.next(e) != e.Data.Payment.Sequence:
		return errors.New("out of order")
	case c.is("dedupes by webhook-id"):
	case c.is("dedupes nothing"):
	case c.is("dedupes by signature"):
		if !c.first(h.Get("webhook-signature")) {
			return nil
		}
	case c.is("looks, works, and then remembers"):
		c.mu.Lock()
		was := c.seen[e.ID]
		c.mu.Unlock()
		if was {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
		c.orders.apply(e, true)
		c.first(e.ID)
		return nil
	default:
		if !c.first(e.ID) {
			if c.is("answers duplicates with a failure") {
				return errors.New("a duplicate")
			}
			return nil
		}
	}
	c.orders.apply(e, c.is("forgets the order", "dedupes nothing", "dedupes by signature", "dedupes by webhook-id"))
	return nil
}

var errNo = errors.New("no")

// judge verifies a request, but for the flaw.
func (c *careless) judge(h http.Header, body []byte) error {
	id, timestamp, signatures := h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature")
	switch {
	case c.is("verifies nothing"):
		return nil
	case c.is("goes by the older scheme"), c.is("falls back on the older scheme") && signatures == "":
		_, err := webhook.VerifyBody(h, body, []webhook.Secret{c.secret})
		return err
	case c.is("verifies only what is signed") && signatures == "", c.is("needs no time") && timestamp == "",
		c.is("needs no id") && id == "":
		return nil
	case id == "" || timestamp == "" || signatures == "":
		return errNo
	}
	signed := body
	switch c.flaw {
	case "trims the body":
		signed = bytes.TrimSpace(body)
	case "drops letters":
		signed = bytes.Map(func(r rune) rune {
			if r > 127 {
				return -1
			}
			return r
		}, body)
	case "signs the body's id":
		if e, err := webhook.Decode(body); err == nil {
			id = e.ID
		}
	}
	if !c.fits(signatures, id+"."+timestamp+".", signed) {
		return errNo
	}
	return c.inTime(timestamp)
}

func (c *careless) inTime(timestamp string) error {
	unix, err := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case c.is("lets in what is no time") && err != nil:
		return nil
	case err != nil:
		return err
	}
	past, future := int64(300), int64(300)
	switch c.flaw {
	case "has an hour":
		past = 3600
	case "has a minute":
		past = 60
	case "looks back only":
		future = 1e9
	case "has no clock":
		past, future = 1e9, 1e9
	}
	if age := time.Now().Unix() - unix; age > past || -age > future {
		return errNo
	}
	return nil
}

// fits compares every signature with what the secret gives.
func (c *careless) fits(signatures, before string, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.secret.RevealStandard(), "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(before))
	mac.Write(body)
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	entries := strings.Split(signatures, " ")
	if c.is("tries one signature") {
		entries = entries[:1]
	}
	for _, entry := range entries {
		version, given, _ := strings.Cut(entry, ",")
		switch {
		case version != "v1" && !c.is("ignores the version"):
			continue
		case given == want, c.is("compares the beginning") && strings.HasPrefix(want, given), c.is("reads hex") &&
			given == hex.EncodeToString(mac.Sum(nil)):
			return true
		}
	}
	return false
}

// TestEveryCheckCanFail: for each thing that is fired there is a receiver that gets it wrong and is told so, and one
// without a flaw passes everything.
func TestEveryCheckCanFail(t *testing.T) {
	secret, err := webhook.NewSecret(nil)
	if err != nil {
		t.Fatal(err)
	}
	caught := make(map[string][]string) // flaws by what was fired
	for _, c := range []struct {
		flaw string
		by   []string // all of these tell
	}{
		{"", nil},
		{"verifies nothing", []string{"a stranger's signature", "another amount in the body", "another amount in a batch", "no signature headers", "a signature cut short"}},
		{"verifies only what is signed", []string{"no signature headers", "the older signature alone"}},
		{"needs no time", []string{"no webhook-timestamp"}},
		{"needs no id", []string{"no webhook-id"}},
		{"goes by the older scheme", []string{"the older signature alone", "a new timestamp under an old signature", "another webhook-id", "a timestamp of a week ago, well signed"}},
		{"falls back on the older scheme", []string{"the older signature alone"}},
		{"trims the body", []string{"one byte more in the body"}},
		{"drops letters", []string{"letters beyond ASCII"}},
		{"signs the body's id", []string{"another webhook-id"}},
		{"lets in what is no time", []string{"a timestamp that is no number, well signed"}},
		{"has an hour", []string{"a timestamp of 6 minutes ago, well signed"}},
		{"has a minute", []string{"a timestamp of 4 minutes ago"}},
		{"has no clock", []string{"a timestamp of 6 minutes ago, well signed", "a timestamp of a week ago, well signed", "a timestamp 6 minutes ahead, well signed"}},
		{"looks back only", []string{"a timestamp 6 minutes ahead, well signed"}},
		{"tries one signature", []string{"the good signature last among others"}},
		{"ignores the version", []string{"a good signature under a version that does not exist"}},
		{"compares the beginning", []string{"a signature cut short", "a signature of one character", "an empty signature"}},
		{"reads hex", []string{"a signature in hex"}},
		{"knows no batches", []string{"a batch of two new events"}},
		{"knows all types", []string{"an event of a type that does not exist yet"}},
		{"wants them in order", []string{"payment.confirmed, sequence 3, first of its payment"}},
		{"forgets the order", []string{"payment.detected, sequence 2, after sequence 3", "payment.created, sequence 1, after sequence 3"}},
		{"dedupes nothing", []string{"the same request again", "the same event, retried with a new timestamp", "eight copies of an event at once",
			"the same batch, retried with a new timestamp", "an event of the batch, alone", "the same events in another batch"}},
		{"dedupes by signature", []string{"the same event, retried with a new timestamp", "the same event once more, after the copies"}},
		{"dedupes by webhook-id", []string{"an event of the batch, alone", "the same events in another batch", "a batch of an event that came alone before and a new one"}},
		{"looks, works, and then remembers", []string{"eight copies of an event at once"}},
		{"answers duplicates with a failure", []string{"the same request again", "the same event once more, after the copies"}},
		{"is not there", []string{"a genuine event"}},
	} {
		t.Run(c.flaw, func(t *testing.T) {
			failed := failures(t, secret, shop(t, func(o *orders) http.Handler {
				if c.flaw == "is not there" {
					return http.NotFoundHandler()
				}
				return &careless{flaw: c.flaw, secret: secret, orders: o, seen: map[string]bool{}}
			}), true)
			if c.flaw == "" && len(failed) > 0 {
				t.Fatalf("a good receiver failed %q", failed)
			}
			for _, name := range failed {
				caught[name] = append(caught[name], c.flaw)
			}
			for _, name := range c.by {
				if !slices.Contains(failed, name) {
					t.Errorf("it got away with %q; told: %q", name, failed)
				}
			}
		})
	}
	shots, err := maker{secret: secret, now: time.Now(), batches: true}.shots()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range shots {
		if len(slices.DeleteFunc(caught[s.name], func(flaw string) bool {
			return flaw == "is not there" || flaw == "verifies nothing"
		})) == 0 && !plain[s.name] {
			t.Errorf("only a receiver that is not there, or verifies nothing, fails %q", s.name)
		}
	}
}

// plain is what nobody gets wrong who verifies at all.
var plain = map[string]bool{
	"a genuine event": true, "another amount in the body": true, "another amount in a batch": true, "a stranger's signature": true,
}
