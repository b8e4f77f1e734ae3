package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Verdict is what [Verify] found out about a saved request.
type Verdict struct {
	// Verified is what a receiver goes by: the standard scheme fits, in time, and the ids agree.
	Verified  bool            `json:"verified"`
	Schemes   []SchemeVerdict `json:"schemes"`
	ID        string          `json:"id,omitempty"` // webhook-id of a verified request
	Timestamp *time.Time      `json:"timestamp,omitempty"`
	Events    []EventSeen     `json:"events,omitempty"`
	// Transfers is what a node says, after [Verdict.Prove].
	Transfers []proof.TransferVerdict `json:"transfers,omitempty"`
	Hint      string                  `json:"hint,omitempty"`

	events []webhook.Event
}

// SchemeVerdict is about one signature scheme.
type SchemeVerdict struct {
	Header  string `json:"header"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// EventSeen is an event of a verified request.
type EventSeen struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Verify judges a saved request as a receiver with the given secrets would have judged it at the moment at, and with
// the public keys that an option may give. Tolerance 0 is [webhook.DefaultTolerance].
func Verify(h http.Header, body []byte, secrets []webhook.Secret, at time.Time, tolerance time.Duration,
	keys ...webhook.Option) Verdict {
	if tolerance == 0 {
		tolerance = webhook.DefaultTolerance
	}
	clock := append(keys, webhook.WithNow(func() time.Time { return at }), webhook.WithTolerance(tolerance))
	m, err := webhook.VerifyMessage(h, body, secrets, clock...)
	_, old := webhook.VerifyBody(h, body, secrets)
	v := Verdict{Verified: err == nil, Schemes: []SchemeVerdict{
		schemeVerdict(webhook.HeaderStandardSignature, err), schemeVerdict(webhook.HeaderSignature, old),
	}}
	if err != nil {
		v.Hint = hint(h, body, secrets, err, clock)
		return v
	}
	v.ID, v.Timestamp, v.events = m.ID, &m.Timestamp, m.Events
	for _, e := range m.Events {
		v.Events = append(v.Events, EventSeen{e.ID, string(e.Type)})
	}
	return v
}

func schemeVerdict(header string, err error) SchemeVerdict {
	if err == nil {
		return SchemeVerdict{Header: header, OK: true}
	}
	return SchemeVerdict{Header: header, Problem: strings.TrimPrefix(err.Error(), "webhook: ")}
}

// hint names the mistake that people make most often where it explains the verdict.
func hint(h http.Header, body []byte, secrets []webhook.Secret, err error, clock []webhook.Option) string {
	switch {
	case errors.Is(err, webhook.ErrTimestamp):
		return "the signature is genuine; to judge an old request as of when it came, give its time with --at"
	case errors.Is(err, webhook.ErrNoSignature):
		return "were the headers saved in full? a proxy may have dropped them"
	case !errors.Is(err, webhook.ErrBadSignature):
		return ""
	}
	for _, other := range [][]byte{bytes.TrimRight(body, "\r\n"), append(bytes.Clone(body), '\n'),
		bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))} {
		if fits := webhook.VerifySignature(h, other, secrets, clock...); fits == nil ||
			errors.Is(fits, webhook.ErrTimestamp) {
			return "it fits once the line ends of the body are changed: the saved body is not the one that was sent"
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		if fits := webhook.VerifySignature(h, compact.Bytes(), secrets, clock...); fits == nil ||
			errors.Is(fits, webhook.ErrTimestamp) {
			return "it fits once the JSON is made compact: verify the raw body, before anything parses and prints it again"
		}
	}
	return "another secret signed this, or the body was changed on its way"
}

// Signed is the headers of one attempt.
type Signed struct {
	Headers map[string]string `json:"headers"`
}

// Lines are the headers as "name: value", in alphabetical order.
func (s Signed) Lines() []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		lines = append(lines, name+": "+s.Headers[name])
	}
	return lines
}

// Sign returns the headers with which the gateway would send a body: as attempt number attempt at the moment at. With
// id "" it is the "id" of the body.
func Sign(secret webhook.Secret, id string, at time.Time, attempt int, body []byte) (Signed, error) {
	if id == "" {
		var event struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(body, &event); err != nil || event.ID == "" {
			return Signed{}, errors.New(`the body is not a JSON object with an "id": give the webhook-id with --id`)
		}
		id = event.ID
	}
	switch {
	case secret.IsZero():
		return Signed{}, webhook.ErrNoSecrets
	case strings.ContainsAny(id, ". \t\r\n"):
		return Signed{}, fmt.Errorf("the id %q must hold neither a dot nor white space", id)
	case attempt < 1:
		return Signed{}, errors.New("attempts count from 1")
	}
	h := http.Header{}
	webhook.Secrets{Current: secret}.SetHeaders(h, id, at, attempt, body)
	h.Set("Content-Type", webhook.ContentType)
	h.Set("User-Agent", webhook.UserAgent)
	s := Signed{Headers: make(map[string]string, len(h))}
	for name := range h {
		s.Headers[strings.ToLower(name)] = h.Get(name)
	}
	return s, nil
}
