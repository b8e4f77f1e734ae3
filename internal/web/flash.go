package web

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

const (
	flashName = "ctrip_once"
	flashFor  = 2 * time.Minute
)

// flash is what the next page shows once: what was done, and a secret that nobody can read again. Until then the
// browser holds it, sealed for its session.
type flash struct {
	Text   string    `json:"t"`
	Label  string    `json:"l,omitempty"` // of the secret
	Secret string    `json:"s,omitempty"`
	EndsAt time.Time `json:"e"`
}

func flashAAD(v *visitor) string { return "portal/once/" + v.hash() }

// then sends the visitor on to a page, which tells what was done.
func (s *Site) then(w http.ResponseWriter, r *http.Request, v *visitor, path string, f flash) error {
	f.EndsAt = s.now().Add(flashFor)
	plain, err := json.Marshal(f)
	if err != nil {
		return err
	}
	sealed, err := s.opts.Sealer.Seal(plain, flashAAD(v))
	if err != nil {
		return err
	}
	s.setCookie(w, flashName, base64.RawURLEncoding.EncodeToString(sealed), int(flashFor.Seconds()))
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

// takeFlash reads what the page is to show once, and takes it from the browser.
func (s *Site) takeFlash(w http.ResponseWriter, r *http.Request, v *visitor) *flash {
	cookie, err := r.Cookie(flashName)
	if err != nil || v == nil || len(cookie.Value) > maxSealed {
		return nil
	}
	s.setCookie(w, flashName, "", -1)
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return nil
	}
	plain, err := s.opts.Sealer.Open(sealed, flashAAD(v))
	if err != nil {
		return nil
	}
	var f flash
	if json.Unmarshal(plain, &f) != nil || !s.now().Before(f.EndsAt) {
		return nil
	}
	return &f
}
