package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook request. HTTP ignores their case; net/http sends Webhook-Id and so on.
const (
	HeaderSignature         = "X-Webhook-Signature"          // hex HMAC-SHA256 of the body under the current secret
	HeaderSignaturePrevious = "X-Webhook-Signature-Previous" // the same under the newest older secret, while it lives
	HeaderSignatureNext     = "X-Webhook-Signature-Next"     // the same under the secret that will become current
	HeaderID                = "webhook-id"                   // evt_… or bat_…, the same on every attempt and replay
	HeaderTimestamp         = "webhook-timestamp"            // Unix seconds of this attempt
	// v1,<base64>, several separated by one space; then v1a,<base64>
	HeaderStandardSignature = "webhook-signature"
	HeaderAttempt           = "webhook-attempt" // 1…n
)

// UserAgent and ContentType are what the gateway sends in the headers of these names.
const (
	UserAgent   = "ctrip-webhook/1"
	ContentType = "application/json"
)

const standardVersion = "v1"

// SignBody is the scheme this gateway has always had, the value of X-Webhook-Signature: the lower-case hex HMAC-SHA256
// of body, keyed with the bytes of the secret string as issued, prefix included. It is "" for the zero Secret.
func SignBody(secret Secret, body []byte) string {
	if secret.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, []byte((*secret.keys).issued))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Sign is the Standard Webhooks scheme, one entry of webhook-signature: "v1," and the padded standard base64 of the
// HMAC-SHA256 of "<id>.<timestamp in Unix seconds>.<body>", keyed with the bytes that whsec_ encodes (with all bytes of
// a secret that was brought along). id must not contain a dot. It is "" for the zero Secret.
func Sign(secret Secret, id string, timestamp time.Time, body []byte) string {
	if secret.IsZero() {
		return ""
	}
	mac := hmac.New(sha256.New, (*secret.keys).key)
	mac.Write(signedBytes(id, timestamp, body))
	return standardVersion + "," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Secrets are the secrets of one endpoint that live now.
type Secrets struct {
	Current  Secret
	Previous []Secret // older ones within their overlap, the newest first
	Next     *Secret  // will become current; receivers may have it already
	// SigningKeys sign beside the secrets, for an endpoint that asked for it; the newest first.
	SigningKeys []SigningKey
}

// All returns every live secret in the order in which they sign: current, next, then the older ones.
func (s Secrets) All() []Secret {
	all := make([]Secret, 0, 2+len(s.Previous))
	if !s.Current.IsZero() {
		all = append(all, s.Current)
	}
	if s.Next != nil && !s.Next.IsZero() {
		all = append(all, *s.Next)
	}
	for _, p := range s.Previous {
		if !p.IsZero() {
			all = append(all, p)
		}
	}
	return all
}

// SetHeaders signs body under every live secret and signing key and sets all webhook headers of one attempt, in place
// of any that were there. id is that of the event or batch, timestamp the moment of this attempt, attempt counts from
// 1. Without a current secret no signature header is set.
func (s Secrets) SetHeaders(h http.Header, id string, timestamp time.Time, attempt int, body []byte) {
	for _, name := range []string{HeaderSignature, HeaderSignaturePrevious, HeaderSignatureNext, HeaderStandardSignature} {
		h.Del(name)
	}
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, unixSeconds(timestamp))
	h.Set(HeaderAttempt, strconv.Itoa(attempt))
	if s.Current.IsZero() {
		return
	}
	var standard []string
	for _, secret := range s.All() {
		standard = append(standard, Sign(secret, id, timestamp, body))
	}
	for _, key := range s.SigningKeys {
		standard = append(standard, key.Sign(id, timestamp, body))
	}
	h.Set(HeaderStandardSignature, strings.Join(standard, " "))
	h.Set(HeaderSignature, SignBody(s.Current, body))
	if len(s.Previous) > 0 && !s.Previous[0].IsZero() {
		h.Set(HeaderSignaturePrevious, SignBody(s.Previous[0], body))
	}
	if s.Next != nil && !s.Next.IsZero() {
		h.Set(HeaderSignatureNext, SignBody(*s.Next, body))
	}
}

// signedBytes are what the Standard Webhooks schemes sign.
func signedBytes(id string, timestamp time.Time, body []byte) []byte {
	signed := make([]byte, 0, len(id)+len(body)+16)
	signed = append(signed, id...)
	signed = append(signed, '.')
	signed = strconv.AppendInt(signed, timestamp.Unix(), 10)
	signed = append(signed, '.')
	return append(signed, body...)
}

func unixSeconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
