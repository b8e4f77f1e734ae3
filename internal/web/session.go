package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	cookieName  = "ctrip_portal"
	cookiePath  = "/portal"
	sessionFor  = 8 * time.Hour
	sealedFor   = "portal/session"
	maxForm     = 16 << 10  // bytes of a posted form
	maxPEMForm  = 512 << 10 // of one with certificates, which grow when browsers encode them
	csrfField   = "csrf"
	maxSealed   = 4 << 10
	randomBytes = 24
	oldSessions = "Your session has ended. Please sign in again."
)

// session is what the sealed cookie says. The key's own record decides what it may see, at every request.
type session struct {
	ID         string    `json:"s"` // random; its hash is the row without which the cookie opens nothing
	KeyID      string    `json:"k"`
	MerchantID string    `json:"m"`
	CSRF       string    `json:"c"`
	EndsAt     time.Time `json:"e"`
}

// hash is under which the record keeps the session.
func (x session) hash() string {
	sum := sha256.Sum256([]byte(x.ID))
	return hex.EncodeToString(sum[:])
}

// visitor is somebody with a session and a live key.
type visitor struct {
	session
	Key      models.APIKey
	Merchant models.Merchant
	IP       string
	share    *limits.Share // of the database, while the request uses it
}

// Payments, Webhooks, Keys and the verbs say what the templates may offer.
func (v *visitor) Payments() bool  { return v.Key.Allows(models.ScopePaymentsRead) }
func (v *visitor) Cancel() bool    { return v.Key.Allows(models.ScopePaymentsWrite) }
func (v *visitor) Webhooks() bool  { return v.Key.Allows(models.ScopeWebhooksRead) }
func (v *visitor) Redeliver() bool { return v.Key.Allows(models.ScopeWebhooksWrite) }
func (v *visitor) Change() bool    { return v.Key.Allows(models.ScopeWebhooksWrite) }
func (v *visitor) Keys() bool      { return v.Key.Allows(models.ScopeKeysWrite) }

// by names the visitor in the audit log.
func (v *visitor) by() models.Actor {
	if models.IsID(models.PrefixPortalLink, v.Key.ID) {
		return models.Actor{Name: access.LinkActor(v.Key.ID), IP: v.IP}
	}
	return models.Actor{Name: "key:" + v.Key.ID, IP: v.IP}
}

// begin records a session of a key that has just been presented, and gives it to the browser.
func (s *Site) begin(w http.ResponseWriter, r *http.Request, v *visitor) error {
	now := s.now()
	v.session = session{ID: random(), KeyID: v.Key.ID, MerchantID: v.Merchant.ID, CSRF: random(),
		EndsAt: now.Add(sessionFor)}
	plain, err := json.Marshal(v.session)
	if err != nil {
		return err
	}
	sealed, err := s.opts.Sealer.Seal(plain, sealedFor)
	if err != nil {
		return err
	}
	err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		row := models.PortalSession{Hash: v.hash(), MerchantID: v.MerchantID, KeyID: v.KeyID, CreatedAt: now,
			EndsAt: v.EndsAt}
		if err := tx.InsertPortalSession(r.Context(), row); err != nil {
			return err
		}
		return s.audit(r.Context(), tx, v, "portal.signed_in", v.KeyID)
	})
	if err != nil {
		return err
	}
	s.setCookie(w, cookieName, base64.RawURLEncoding.EncodeToString(sealed), int(sessionFor.Seconds()))
	return nil
}

func random() string {
	raw := make([]byte, randomBytes)
	rand.Read(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// forget takes the session from the browser.
func (s *Site) forget(w http.ResponseWriter) { s.setCookie(w, cookieName, "", -1) }

func (s *Site) setCookie(w http.ResponseWriter, name, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: cookiePath, MaxAge: maxAge, HttpOnly: true, Secure: s.https,
		SameSite: http.SameSiteStrictMode,
	})
}

// visitor reads the session of a request. It is nil when there is none, or none any more: the cookie does not open, its
// time is over, somebody signed out, or its key was revoked or has expired.
func (s *Site) visitor(r *http.Request) (*visitor, error) {
	cookie, err := r.Cookie(cookieName)
	if err != nil || len(cookie.Value) > maxSealed {
		return nil, nil
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return nil, nil
	}
	plain, err := s.opts.Sealer.Open(sealed, sealedFor)
	if err != nil {
		return nil, nil
	}
	v := &visitor{IP: peer(r)}
	now := s.now()
	if err := json.Unmarshal(plain, &v.session); err != nil || v.CSRF == "" || v.ID == "" || !now.Before(v.EndsAt) {
		return nil, nil
	}
	if models.IsID(models.PrefixPortalLink, v.KeyID) {
		if ok, err := s.byLink(r.Context(), v); err != nil || !ok {
			return nil, err
		}
		return v, nil
	}
	row, err := s.opts.Store.PortalSession(r.Context(), v.hash(), now)
	if errors.Is(err, models.ErrNotFound) || err == nil && (row.KeyID != v.KeyID || row.MerchantID != v.MerchantID) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	v.Key, err = s.opts.Store.APIKey(r.Context(), v.MerchantID, v.KeyID)
	if errors.Is(err, models.ErrNotFound) || err == nil && !v.Key.Live(now) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	v.Merchant, err = s.opts.Store.Merchant(r.Context(), v.MerchantID)
	return v, err
}

// peer is the address that a request came from.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

type portalHandler func(http.ResponseWriter, *http.Request, *visitor) error

// signedIn serves a page to visitors whose key has a scope; "" is any key. Others are sent to the front page.
func (s *Site) signedIn(scope models.Scope, f portalHandler) http.HandlerFunc {
	return s.signedInAfter(func(http.ResponseWriter, *http.Request, *visitor) error { return nil }, scope, f)
}

// signedInAfter is signedIn with something that comes before the visitor takes a share of the database.
func (s *Site) signedInAfter(first portalHandler, scope models.Scope, f portalHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visitor(r)
		if err == nil && v == nil {
			http.Redirect(w, r, "/portal", http.StatusSeeOther)
			return
		}
		if err == nil && s.opts.Merchants != nil && s.tooMany(w, s.opts.Merchants.Take(r.Context(), v.Merchant).Wait) {
			s.fail(w, r, nil, errTooMany)
			return
		}
		if err == nil && scope != "" && !v.Key.Allows(scope) {
			err = needs(scope)
		}
		if err == nil {
			err = first(w, r, v)
		}
		if err == nil && s.opts.Shares != nil {
			if v.share, err = s.share(w, r, v); err != nil {
				s.fail(w, r, nil, err)
				return
			}
			defer v.share.Leave()
			w = sharedWriter{w, v.share}
		}
		if err == nil {
			err = f(w, r, v)
		}
		if err != nil {
			s.fail(w, r, v, err)
		}
	}
}

// sharePatience is how long a page waits for others of its merchant.
const sharePatience = 10 * time.Second

// share takes a merchant's share of the database for a page, and waits for it a while.
func (s *Site) share(w http.ResponseWriter, r *http.Request, v *visitor) (*limits.Share, error) {
	waiting, cancel := context.WithTimeout(r.Context(), sharePatience)
	defer cancel()
	x, err := s.opts.Shares.Take(waiting, v.MerchantID)
	if err != nil && !errors.Is(r.Context().Err(), context.Canceled) {
		s.tooMany(w, time.Second)
		return nil, errTooMany
	}
	return x, err
}

// sharedWriter gives the share back before the first byte of the answer: whoever reads slowly holds none meanwhile.
type sharedWriter struct {
	http.ResponseWriter
	share *limits.Share
}

// WriteHeader implements [http.ResponseWriter].
func (w sharedWriter) WriteHeader(status int) {
	w.share.Leave()
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w sharedWriter) Write(b []byte) (int, error) {
	w.share.Leave()
	return w.ResponseWriter.Write(b)
}

// Unwrap is for [http.ResponseController].
func (w sharedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func needs(scope models.Scope) *problem {
	return &problem{http.StatusForbidden, "Not with this key", "This page needs a key with the scope " + string(scope) +
		", which yours does not have."}
}

// changing is signedIn for what changes something: the request must come from a page of ours and carry the session's
// token.
func (s *Site) changing(scope models.Scope, f portalHandler) http.HandlerFunc {
	return s.changingUpTo(maxForm, scope, f)
}

// seen are the scopes without which what was changed could not be shown afterwards, the secret that is shown once
// neither.
var seen = map[models.Scope]models.Scope{models.ScopePaymentsWrite: models.ScopePaymentsRead,
	models.ScopeWebhooksWrite: models.ScopeWebhooksRead}

// changingUpTo is changing for a form of so many bytes, which is read before a share of the database is taken.
func (s *Site) changingUpTo(most int64, scope models.Scope, f portalHandler) http.HandlerFunc {
	return s.signedInAfter(func(w http.ResponseWriter, r *http.Request, v *visitor) error {
		if read, ok := seen[scope]; ok && !v.Key.Allows(read) {
			return needs(read)
		}
		if err := s.sameOrigin(w, r, most); err != nil {
			return err
		}
		if subtle.ConstantTimeCompare([]byte(r.PostFormValue(csrfField)), []byte(v.CSRF)) != 1 {
			return errForeign
		}
		for _, values := range r.PostForm {
			for _, value := range values {
				if !models.IsText(value) {
					return &problem{http.StatusBadRequest, "Not understood", "The form has text that is not UTF-8."}
				}
			}
		}
		return nil
	}, scope, f)
}

var errForeign = &problem{http.StatusForbidden, "Refused",
	"This request did not come from a page of this portal. Please go back, reload the page and try again."}

// sameOrigin refuses forms that another site sent, and reads the form.
func (s *Site) sameOrigin(w http.ResponseWriter, r *http.Request, most int64) error {
	if err := s.origin.Check(r); err != nil {
		return errForeign
	}
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if err := r.ParseForm(); err != nil {
		return &problem{http.StatusBadRequest, "Not understood", "The form could not be read."}
	}
	return nil
}
