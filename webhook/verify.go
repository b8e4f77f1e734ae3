package webhook

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// DefaultTolerance is how far webhook-timestamp may lie from the receiver's clock, either way.
const DefaultTolerance = 5 * time.Minute

// Errors of the verifiers; test for them with errors.Is. None carries any part of a secret or a signature.
var (
	ErrNoSecrets    = errors.New("webhook: no secret to verify with")
	ErrNoSignature  = errors.New("webhook: a signature header is missing")
	ErrBadSignature = errors.New("webhook: no signature fits the request")
	ErrTimestamp    = errors.New("webhook: webhook-timestamp is outside the tolerance")
	ErrIDMismatch   = errors.New("webhook: webhook-id is not the id of the body")
	ErrMalformed    = errors.New("webhook: malformed request")
	ErrMerchant     = errors.New("webhook: the event is another merchant's")
	ErrBatch        = errors.New("webhook: the body is a batch: use VerifyMessage")
)

// Message is a verified request: one event, or a batch of several.
type Message struct {
	// ID is webhook-id: evt_… or bat_…. After [VerifyBody] it is the event's id, and "" for a batch.
	ID string
	// Timestamp is the moment of this attempt, to the second; zero after [VerifyBody], whose scheme signs none.
	Timestamp time.Time
	// Batch tells a batch of one event from an event.
	Batch bool
	// Events holds at least one event. Dedupe by the id of each.
	Events []Event

	bodies [][]byte // the bytes of each event
}

// Option changes how a verifier judges the timestamp.
type Option func(*settings)

type settings struct {
	tolerance time.Duration
	now       func() time.Time
	merchant  string
	keys      []PublicKey
}

// WithTolerance replaces [DefaultTolerance]. It counts whole seconds; zero or less accepts the current second only.
func WithTolerance(d time.Duration) Option { return func(s *settings) { s.tolerance = d } }

// WithNow replaces time.Now.
func WithNow(now func() time.Time) Option { return func(s *settings) { s.now = now } }

// WithPublicKeys also accepts a v1a signature of one of keys, which are those of the gateway, for events of this
// merchant alone: the same keys sign for every merchant, and another one could pass on what was sent to it. With no
// secrets, v1a is the only signature accepted, and a leaked secret forges nothing.
func WithPublicKeys(merchantID string, keys ...PublicKey) Option {
	return func(s *settings) { s.merchant, s.keys = merchantID, keys }
}

// Verify checks the request that carried one event and returns it. body must be the raw bytes as received. The standard
// scheme must be there and fit one of secrets ([ErrNoSignature], [ErrBadSignature]), webhook-timestamp must lie within
// the tolerance ([ErrTimestamp]) and webhook-id must be the body's id ([ErrIDMismatch]). X-Webhook-Signature alone is
// not enough: whoever holds an old request could otherwise strip the headers that make it old. A batch is [ErrBatch];
// endpoints that asked for batches use [VerifyMessage].
func Verify(h http.Header, body []byte, secrets []Secret, opts ...Option) (Event, error) {
	m, err := VerifyMessage(h, body, secrets, opts...)
	if err != nil {
		return Event{}, err
	}
	if m.Batch {
		return Event{}, ErrBatch
	}
	return m.Events[0], nil
}

// VerifyMessage is [Verify] for requests that carry an event or a batch. The webhook-id of a batch begins with bat_.
func VerifyMessage(h http.Header, body []byte, secrets []Secret, opts ...Option) (Message, error) {
	s := newSettings(opts)
	id, timestamp, fit, err := s.verify(h, body, secrets)
	if err != nil {
		return Message{}, err
	}
	m, err := parseMessage(body)
	if err != nil {
		return Message{}, err
	}
	for _, e := range m.Events {
		if fit == asymmetricVersion && e.MerchantID != s.merchant {
			return Message{}, ErrMerchant
		}
	}
	if m.Batch && !strings.HasPrefix(id, batchPrefix) || !m.Batch && m.ID != id {
		return Message{}, ErrIDMismatch
	}
	m.ID, m.Timestamp = id, timestamp
	return m, nil
}

// VerifySignature checks only the Standard Webhooks headers, whatever the body is: signature, then timestamp. Use
// [Verify] unless the body is not an event of this gateway: nothing here looks whose event it is.
func VerifySignature(h http.Header, body []byte, secrets []Secret, opts ...Option) error {
	_, _, _, err := newSettings(opts).verify(h, body, secrets)
	return err
}

// VerifyBody checks X-Webhook-Signature alone, with -Previous and -Next beside it during a rotation. That scheme signs
// no time: whoever relies on it must dedupe by the id of each event for as long as the gateway keeps events (90 days),
// and must not judge freshness by the body's timestamp, which a late retry or a replay leaves unchanged.
func VerifyBody(h http.Header, body []byte, secrets []Secret) (Message, error) {
	secrets, err := usable(secrets)
	if err != nil {
		return Message{}, err
	}
	var offered []string
	for _, name := range []string{HeaderSignature, HeaderSignaturePrevious, HeaderSignatureNext} {
		for _, v := range values(h, name) {
			offered = append(offered, strings.FieldsFunc(strings.ToLower(v), func(r rune) bool {
				return r == ' ' || r == ','
			})...)
		}
	}
	if len(offered) == 0 {
		return Message{}, fmt.Errorf("%w: %s", ErrNoSignature, HeaderSignature)
	}
	fits := false
	for _, secret := range secrets {
		fits = anyEqual(offered, SignBody(secret, body)) || fits
	}
	if !fits {
		return Message{}, ErrBadSignature
	}
	return parseMessage(body)
}

func newSettings(opts []Option) settings {
	s := settings{tolerance: DefaultTolerance, now: time.Now}
	for _, o := range opts {
		o(&s)
	}
	return s
}

// verify judges the signature before the time, so that ErrTimestamp always speaks of a genuine request. fit is the
// version of the signature that fits: v1 where one of both versions does.
func (s settings) verify(h http.Header, body []byte,
	secrets []Secret) (id string, timestamp time.Time, fit string, err error) {
	fail := func(err error) (string, time.Time, string, error) { return "", time.Time{}, "", err }
	if secrets, err = usable(secrets); err != nil && len(s.keys) == 0 {
		return fail(err)
	}
	if id, err = single(h, HeaderID); err != nil {
		return fail(err)
	}
	seconds, err := single(h, HeaderTimestamp)
	if err != nil {
		return fail(err)
	}
	headers := values(h, HeaderStandardSignature)
	if strings.Join(headers, "") == "" {
		return fail(fmt.Errorf("%w: %s", ErrNoSignature, HeaderStandardSignature))
	}
	if strings.Contains(id, ".") { // the dot separates what is signed
		return fail(fmt.Errorf("%w: %s holds a dot", ErrMalformed, HeaderID))
	}
	if timestamp, err = parseSeconds(seconds); err != nil {
		return fail(err)
	}
	offered := standardSignatures(headers, standardVersion)
	for _, secret := range secrets {
		if anyEqual(offered, Sign(secret, id, timestamp, body)) {
			fit = standardVersion
		}
	}
	if fit == "" && s.anyVerifies(standardSignatures(headers, asymmetricVersion), id, timestamp, body) {
		fit = asymmetricVersion
	}
	if fit == "" {
		return fail(ErrBadSignature)
	}
	off := s.now().Unix() - timestamp.Unix()
	if limit := int64(max(s.tolerance, 0) / time.Second); off > limit || off < -limit {
		return fail(fmt.Errorf("%w: %d seconds behind the clock", ErrTimestamp, off))
	}
	return id, timestamp, fit, nil
}

func (s settings) anyVerifies(offered []string, id string, timestamp time.Time, body []byte) bool {
	for _, entry := range offered[:min(len(offered), maxAsymmetric)] {
		for _, key := range s.keys {
			if key.Verify(entry, id, timestamp, body) {
				return true
			}
		}
	}
	return false
}

// standardSignatures picks the entries of a version out of webhook-signature. Entries are separated by spaces, and by
// commas where a proxy merged two headers; whatever is not "<version>,<something>" is skipped, so that nothing can hide
// a good entry.
func standardSignatures(headers []string, version string) []string {
	var found []string
	for _, h := range headers {
		for _, field := range strings.Split(h, " ") {
			parts := strings.Split(field, ",")
			for i := 0; i+1 < len(parts); i++ {
				if parts[i] == version && parts[i+1] != "" {
					found = append(found, version+","+parts[i+1])
				}
			}
		}
	}
	return found
}

// anyEqual compares want with every offer, in a time that does not depend on which fits or how much of it. Signatures
// are compared as text: the base64 of an HMAC-SHA256 has one canonical spelling, so nothing is decoded before it is
// trusted.
func anyEqual(offered []string, want string) bool {
	fits := false
	for _, o := range offered {
		fits = hmac.Equal([]byte(o), []byte(want)) || fits
	}
	return fits
}

// parseSeconds reads decimal digits only: no sign, space, fraction, exponent or leading zero, and at most 12 of them,
// which is far beyond any date and short of milliseconds.
func parseSeconds(s string) (time.Time, error) {
	if s == "" || len(s) > 12 || strings.Trim(s, "0123456789") != "" || len(s) > 1 && s[0] == '0' {
		return time.Time{}, fmt.Errorf("%w: %s is not Unix seconds", ErrMalformed, HeaderTimestamp)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s is not Unix seconds", ErrMalformed, HeaderTimestamp)
	}
	return time.Unix(n, 0).UTC(), nil
}

// single returns the value of a header that must be there exactly once: two ids would leave open which one was signed.
func single(h http.Header, name string) (string, error) {
	v := values(h, name)
	if strings.Join(v, "") == "" {
		return "", fmt.Errorf("%w: %s", ErrNoSignature, name)
	}
	if len(v) > 1 {
		return "", fmt.Errorf("%w: %s given %d times", ErrMalformed, name, len(v))
	}
	return v[0], nil
}

// values finds a header in any spelling, also in a map that was not filled through http.Header's methods.
func values(h http.Header, name string) []string {
	var found []string
	for k, v := range h {
		if strings.EqualFold(k, name) {
			found = append(found, v...)
		}
	}
	return found
}

func usable(secrets []Secret) ([]Secret, error) {
	found := make([]Secret, 0, len(secrets))
	for _, s := range secrets {
		if !s.IsZero() {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, ErrNoSecrets
	}
	return found, nil
}

func parseMessage(body []byte) (Message, error) {
	if !utf8.Valid(body) {
		return Message{}, fmt.Errorf("%w: body is not UTF-8", ErrMalformed)
	}
	if isBatch(body) {
		return parseBatch(body)
	}
	e, err := Decode(body)
	if err != nil {
		return Message{}, err
	}
	return Message{ID: e.ID, Events: []Event{e}, bodies: [][]byte{body}}, nil
}
