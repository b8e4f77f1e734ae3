package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Links opens the links that lead into the portal without a key. It returns access.ErrLinkEnded for one that opens
// nothing any more.
type Links interface {
	LinkWaits(ctx context.Context, token string) error
	OpenLink(ctx context.Context, tx *store.Tx, ip, token, sessionHash string, endsAt time.Time) (models.PortalLink, error)
	LinkSession(ctx context.Context, sessionHash string) (models.APIKey, models.PortalLink, error)
}

var errLinkEnded = &problem{http.StatusNotFound, "This link has ended",
	"A link opens the portal once, and only for a short time. Please ask for another one."}

// linkPage asks whoever follows a link to go on. Opening it by itself would spend it on the first program that looks
// what is behind it, as messengers and mail scanners do.
func (s *Site) linkPage(w http.ResponseWriter, r *http.Request) error {
	if err := s.opts.Links.LinkWaits(r.Context(), r.PathValue("token")); err != nil {
		return linkProblem(err)
	}
	return s.pages.write(w, http.StatusOK, "link", frame{Title: "Open the portal", Body: r.URL.Path})
}

// openLink opens a session with a link, which ends with that.
func (s *Site) openLink(w http.ResponseWriter, r *http.Request) error {
	if err := s.sameOrigin(w, r, maxForm); err != nil {
		return err
	}
	if s.tooMany(w, s.signInsOf.Take(r.RemoteAddr, s.now())) {
		return errTooMany
	}
	x := session{ID: random(), CSRF: random(), EndsAt: s.now().Add(sessionFor)}
	err := s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		link, err := s.opts.Links.OpenLink(r.Context(), tx, peer(r), r.PathValue("token"), x.hash(), x.EndsAt)
		x.KeyID, x.MerchantID = link.ID, link.MerchantID
		return err
	})
	if errors.Is(err, access.ErrLinkEnded) {
		s.opts.Metrics.SignInFailed()
		s.opts.Logger.WarnContext(r.Context(), "portal.link_refused", "remote", peer(r))
	}
	if err != nil {
		return linkProblem(err)
	}
	plain, err := json.Marshal(x)
	if err != nil {
		return err
	}
	sealed, err := s.opts.Sealer.Seal(plain, sealedFor)
	if err != nil {
		return err
	}
	s.setCookie(w, cookieName, base64.RawURLEncoding.EncodeToString(sealed), int(sessionFor.Seconds()))
	http.Redirect(w, r, "/portal", http.StatusSeeOther)
	return nil
}

func linkProblem(err error) error {
	if errors.Is(err, access.ErrLinkEnded) {
		return errLinkEnded
	}
	return err
}

// byLink makes a visitor of a session that a link opened; false when it has ended.
func (s *Site) byLink(ctx context.Context, v *visitor) (bool, error) {
	if s.opts.Links == nil || !models.IsID(models.PrefixPortalLink, v.KeyID) {
		return false, nil
	}
	key, link, err := s.opts.Links.LinkSession(ctx, v.hash())
	if errors.Is(err, access.ErrLinkEnded) || err == nil && (link.ID != v.KeyID || link.MerchantID != v.MerchantID) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	v.Key = key
	v.Merchant, err = s.opts.Store.Merchant(ctx, v.MerchantID)
	return err == nil, err
}
