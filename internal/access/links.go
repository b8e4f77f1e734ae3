package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// How long a link to the portal waits to be opened.
const (
	MinLinkLife     = 10 * time.Second
	MaxLinkLife     = time.Hour
	DefaultLinkLife = 5 * time.Minute
)

// ErrLinkEnded is returned for a link that was opened before, has expired, or whose key has ended.
var ErrLinkEnded = errors.New("access: no such link any more")

// LinkRequest asks for a link that opens the portal once.
type LinkRequest struct {
	MerchantID string
	Scopes     []models.Scope
	Test       bool
	ExpiresIn  time.Duration // 0 means [DefaultLinkLife]
	// Granter is the key that asks: it grants only scopes that it has, and what the link opens ends with it. Nil is the
	// operator.
	Granter *models.APIKey
}

// CreateLink makes a link that opens the portal once. The URL is returned once; only a hash of it is stored. It fails
// with [models.FieldErrors], [models.ErrNotFound] or [ErrWiderKey].
func (s *Service) CreateLink(ctx context.Context, tx *store.Tx, actor models.Actor,
	r LinkRequest) (link models.PortalLink, url string, err error) {
	if r.ExpiresIn == 0 {
		r.ExpiresIn = DefaultLinkLife
	}
	if broken := r.check(); broken != nil {
		return link, "", broken
	}
	if r.Granter != nil && !r.Granter.Covers(models.APIKey{Scopes: r.Scopes}) {
		return link, "", ErrWiderKey
	}
	if _, err := tx.Merchant(ctx, r.MerchantID); err != nil {
		return link, "", err
	}
	now := s.now()
	token := models.NewToken(models.PrefixLinkToken)
	link = models.PortalLink{
		ID: models.NewID(models.PrefixPortalLink, now), Hash: hashKey(token), MerchantID: r.MerchantID,
		Scopes: inOrder(r.Scopes), Test: r.Test, CreatedBy: actor.Name, CreatedAt: now, ExpiresAt: now.Add(r.ExpiresIn),
	}
	if r.Granter != nil {
		link.KeyID = &r.Granter.ID
	}
	if err := tx.InsertPortalLink(ctx, link); err != nil {
		return link, "", err
	}
	return link, s.publicURL + "/portal/link/" + token, tx.Audit(ctx, models.AuditEntry{
		At: now, Actor: actor.Name, IP: actor.IP, Action: "portal.link_created", Subject: link.ID, Merchant: r.MerchantID,
		Detail: map[string]string{"scopes": joinScopes(link.Scopes), "mode": string(models.ModeOf(link.Test)),
			"expires_at": link.ExpiresAt.Format(time.RFC3339)},
	})
}

func (r LinkRequest) check() (broken models.FieldErrors) {
	bad := func(field, example, format string, args ...any) {
		broken = append(broken, models.FieldError{Field: field, Message: fmt.Sprintf(format, args...), Example: example})
	}
	const example = `["payments:read"]`
	if len(r.Scopes) == 0 {
		bad("scopes", example, "must name at least one scope")
	}
	for _, scope := range r.Scopes {
		switch {
		case !slices.Contains(models.Scopes, scope):
			bad("scopes", example, "has %q, which is no scope", models.Clip(string(scope)))
		case scope == models.ScopeKeysWrite:
			bad("scopes", example, "has %q: a key would outlive the session", scope)
		}
	}
	if r.Granter != nil && r.Granter.Test && !r.Test {
		bad("test", "true", "must be true: a test key makes only test links")
	}
	if r.ExpiresIn < MinLinkLife || r.ExpiresIn > MaxLinkLife {
		bad("expires_in", "300", "must be %d to %d seconds", int(MinLinkLife.Seconds()), int(MaxLinkLife.Seconds()))
	}
	return broken
}

// OpenLink ends a link and opens a session with it, which is recorded by its hash. It fails with [ErrLinkEnded].
func (s *Service) OpenLink(ctx context.Context, tx *store.Tx, ip, token, sessionHash string,
	endsAt time.Time) (models.PortalLink, error) {
	link, err := s.waitingLink(ctx, &tx.Queries, token)
	if err != nil {
		return link, err
	}
	if err := tx.UsePortalLink(ctx, link.Hash, sessionHash, s.now(), endsAt); err != nil {
		return link, linkEnded(err)
	}
	return link, tx.Audit(ctx, models.AuditEntry{At: s.now(), Actor: LinkActor(link.ID), IP: ip,
		Action: "portal.signed_in", Subject: link.ID, Merchant: link.MerchantID})
}

// LinkWaits reports whether a link can still be opened. It fails with [ErrLinkEnded] when it cannot.
func (s *Service) LinkWaits(ctx context.Context, token string) error {
	_, err := s.waitingLink(ctx, &s.store.Queries, token)
	return err
}

func (s *Service) waitingLink(ctx context.Context, q *store.Queries, token string) (models.PortalLink, error) {
	if !strings.HasPrefix(token, models.PrefixLinkToken+"_") || len(token) > maxKeyLength {
		return models.PortalLink{}, ErrLinkEnded
	}
	link, err := q.PortalLink(ctx, hashKey(token), s.now())
	if err != nil {
		return link, linkEnded(err)
	}
	_, err = s.linkKey(ctx, q, link)
	return link, err
}

// LinkSession returns what a session that a link opened may do: as a key that has the link's scopes, as far as the key
// that made the link still has them. It fails with [ErrLinkEnded].
func (s *Service) LinkSession(ctx context.Context, sessionHash string) (models.APIKey, models.PortalLink, error) {
	link, err := s.store.LinkOfSession(ctx, sessionHash, s.now())
	if err != nil {
		return models.APIKey{}, link, linkEnded(err)
	}
	key, err := s.linkKey(ctx, &s.store.Queries, link)
	return key, link, err
}

func (s *Service) linkKey(ctx context.Context, q *store.Queries, link models.PortalLink) (models.APIKey, error) {
	as := models.APIKey{ID: link.ID, MerchantID: link.MerchantID, Name: "Portal link", Test: link.Test,
		Scopes:    link.Scopes,
		CreatedAt: link.CreatedAt, ExpiresAt: link.SessionEndsAt}
	if link.KeyID == nil {
		return as, nil
	}
	key, err := q.APIKey(ctx, link.MerchantID, *link.KeyID)
	if err != nil {
		return as, linkEnded(err)
	}
	if !key.Live(s.now()) || key.Test && !link.Test {
		return as, ErrLinkEnded
	}
	as.Scopes = slices.DeleteFunc(slices.Clone(link.Scopes), func(scope models.Scope) bool { return !key.Allows(scope) })
	return as, nil
}

func linkEnded(err error) error {
	if errors.Is(err, models.ErrNotFound) {
		return ErrLinkEnded
	}
	return err
}

// LinkActor is the name under which the audit log knows whoever came by a link.
func LinkActor(linkID string) string { return "portal_link:" + linkID }
