package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// pageSize is how many rows a list shows.
const pageSize = 25

// frame is what every page of the portal shares. Visitor is nil on pages without a session.
type frame struct {
	Title   string
	Nav     string
	Visitor *visitor
	// Disabled are the merchant's endpoints that hold their deliveries, for the banner.
	Disabled []models.Endpoint
	// Once is what a page tells once, after something was done.
	Once *flash
	Body any
}

// frame puts a page into its frame. The banner is left out when it cannot be read: the page itself says more.
func (s *Site) frame(ctx context.Context, v *visitor, title, nav string, body any) frame {
	f := frame{Title: title, Nav: nav, Visitor: v, Body: body}
	if v == nil || !v.Webhooks() {
		return f
	}
	endpoints, err := s.endpoints(ctx, v)
	if err != nil {
		s.opts.Logger.WarnContext(ctx, "banner.not_read", "error", err)
	}
	f.Disabled = slices.DeleteFunc(endpoints, func(e models.Endpoint) bool { return e.Status == models.EndpointEnabled })
	return f
}

func (s *Site) show(w http.ResponseWriter, r *http.Request, v *visitor, page, title, nav string, body any) error {
	f := s.frame(r.Context(), v, title, nav, body)
	f.Once = s.takeFlash(w, r, v)
	return s.pages.write(w, http.StatusOK, page, f)
}

// front is the form to sign in with, or the first page that the key may see.
func (s *Site) front(w http.ResponseWriter, r *http.Request) error {
	v, err := s.visitor(r)
	switch {
	case err != nil:
		return err
	case v == nil:
		note := ""
		if _, err := r.Cookie(cookieName); err == nil {
			note = oldSessions
			s.forget(w)
		}
		return s.signInPage(w, http.StatusOK, note)
	case v.Payments() || v.Webhooks():
		http.Redirect(w, r, "/portal/overview", http.StatusSeeOther)
	case v.Keys():
		http.Redirect(w, r, "/portal/keys", http.StatusSeeOther)
	default:
		http.Redirect(w, r, "/portal/activity", http.StatusSeeOther)
	}
	return nil
}

func (s *Site) signInPage(w http.ResponseWriter, code int, note string) error {
	return s.pages.write(w, code, "signin", frame{Title: "Sign in", Body: note})
}

// signIn opens a session for a key. That the form comes from our own page is asked of the browser, because there is no
// session yet that a token could belong to.
func (s *Site) signIn(w http.ResponseWriter, r *http.Request) error {
	if err := s.sameOrigin(w, r, maxForm); err != nil {
		return err
	}
	if s.tooMany(w, s.signInsOf.Take(r.RemoteAddr, s.now())) {
		return errTooMany
	}
	key, merchant, err := s.opts.Access.Authenticate(r.Context(), strings.TrimSpace(r.PostFormValue("key")))
	if errors.Is(err, access.ErrUnauthenticated) {
		s.opts.Metrics.SignInFailed()
		s.opts.Logger.WarnContext(r.Context(), "portal.sign_in_refused", "remote", peer(r))
		return s.signInPage(w, http.StatusUnauthorized,
			"That is not a key that can be used: it is unknown, revoked or expired.")
	} else if err != nil {
		return err
	}
	if err := s.begin(w, r, &visitor{Key: key, Merchant: merchant, IP: peer(r)}); err != nil {
		return err
	}
	http.Redirect(w, r, "/portal", http.StatusSeeOther)
	return nil
}

// signOut ends the session in the record, so that whoever has a copy of the cookie has nothing any more.
func (s *Site) signOut(w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		if err := tx.EndPortalSession(r.Context(), v.hash()); err != nil {
			return err
		}
		if err := tx.EndLinkSession(r.Context(), v.hash()); err != nil {
			return err
		}
		return s.audit(r.Context(), tx, v, "portal.signed_out", v.KeyID)
	})
	if err != nil {
		return err
	}
	s.forget(w)
	http.Redirect(w, r, "/portal", http.StatusSeeOther)
	return nil
}

// audit writes a line about what a visitor did.
func (s *Site) audit(ctx context.Context, tx *store.Tx, v *visitor, action, subject string) error {
	return tx.Audit(ctx, models.AuditEntry{At: s.now(), Actor: v.by().Name, IP: v.IP, Action: action, Subject: subject,
		Merchant: v.Merchant.ID})
}

// query is the filter of a list, as the address line carries it. An empty field is no filter.
type query struct {
	values url.Values
	err    error
}

func queryOf(r *http.Request) *query { return &query{values: r.URL.Query()} }

// text reads a field of at most 255 bytes.
func (q *query) text(name string) string {
	v := strings.TrimSpace(q.values.Get(name))
	if len(v) > 255 || !models.IsText(v) {
		q.refuse(name)
		return ""
	}
	return v
}

// oneOf reads a field that must be one of some values.
func (q *query) oneOf(name string, allowed []string) string {
	v := q.text(name)
	if v != "" && !slices.Contains(allowed, v) {
		q.refuse(name)
	}
	return v
}

// day reads a date, the zero time for none.
func (q *query) day(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, v)
	if err != nil || t.Year() < 1 {
		q.refuse(name)
	}
	return t
}

// number reads a number that counts something, 0 for none.
func (q *query) number(name string) int64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 0 {
		q.refuse(name)
	}
	return n
}

// given are fields as they were given, for the form that shows them again.
func (q *query) given(names ...string) map[string]string {
	out := make(map[string]string, len(names))
	for _, name := range names {
		out[name] = q.text(name)
	}
	return out
}

// page reads the place in the list.
func (q *query) page() store.Page {
	p := store.Page{Limit: pageSize + 1}
	c := q.text("cursor")
	if c == "" {
		return p
	}
	at, id, ok := models.ParseCursor(c)
	if !ok {
		q.refuse("cursor")
		return p
	}
	p.Before = &store.Position{CreatedAt: at, ID: id}
	return p
}

func (q *query) refuse(name string) {
	q.err = &problem{http.StatusBadRequest, "Not understood", "The address of this page has a value for " + name +
		" that makes no sense here."}
}

// cut takes the row too many from a list and returns the link to what follows, "" at the end. place tells a row's
// place.
func cut[T any](rows []T, r *http.Request, position func(T) (time.Time, string)) (page []T, older string) {
	if len(rows) <= pageSize {
		return rows, ""
	}
	at, id := position(rows[pageSize-1])
	next := r.URL.Query()
	next.Set("cursor", models.Cursor(at, id))
	return rows[:pageSize], r.URL.Path + "?" + next.Encode()
}

// list is a page of a list, for its template.
type list struct {
	Rows    any
	Empty   bool
	Older   string // link
	Further bool   // this is not the first page
	Filter  map[string]string
	Choices map[string][]string
	Export  string // link to all rows as CSV; "" where there is none
}

// Filtered reports whether the list is narrowed.
func (l list) Filtered() bool {
	for _, v := range l.Filter {
		if v != "" {
			return true
		}
	}
	return false
}

func names[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
