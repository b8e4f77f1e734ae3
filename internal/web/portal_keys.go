package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

type keyRow struct {
	models.APIKey
	Live, Mine bool // Mine is the key of this session
	Revocable  bool
}

type keysView struct {
	list
	Form form
}

// keyForm asks for a key with scopes that the visitor's own has.
func keyForm(v *visitor) form {
	f := form{Action: "/portal/keys", Submit: "Make the key", Fields: []field{
		{Name: "name", Label: "Name", Kind: "text", Needed: true, Hint: "What it is for."},
		{Name: "scopes", Label: "Scopes", Kind: "checks", Choices: choices(nil, names(v.Key.Scopes)...),
			Hint: "No wider than those of the key that you signed in with."},
		{Name: "expires_at", Label: "Ends (UTC)", Kind: "datetime-local", Hint: "Left empty, it ends when yours does."},
	}}
	if !v.Key.Test {
		f.Fields = append(f.Fields, field{Name: "test", Label: "A test key, which sees and makes only what is of test mode",
			Kind: "check"})
	}
	return f
}

// listKeys shows the merchant's keys, newest first, ended ones included.
func (s *Site) listKeys(w http.ResponseWriter, r *http.Request, v *visitor) error {
	view, err := s.keysView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, r, v, "keys", "API keys", "keys", view)
}

func (s *Site) keysView(r *http.Request, v *visitor) (keysView, error) {
	view := keysView{Form: keyForm(v)}
	q := queryOf(r)
	page := q.page()
	if q.err != nil {
		return view, q.err
	}
	found, err := s.opts.Store.ListAPIKeys(r.Context(), v.Merchant.ID, v.Key.Test, page)
	if err != nil {
		return view, err
	}
	found, older := cut(found, r, func(k models.APIKey) (time.Time, string) { return k.CreatedAt, k.ID })
	rows := make([]keyRow, len(found))
	for i, k := range found {
		live := k.Live(s.now())
		rows[i] = keyRow{APIKey: k, Live: live, Mine: k.ID == v.Key.ID, Revocable: live && v.Key.Covers(k)}
	}
	view.list = list{Rows: rows, Empty: len(rows) == 0, Older: older, Further: page.Before != nil}
	return view, nil
}

// createKey makes a key, and shows it once.
func (s *Site) createKey(w http.ResponseWriter, r *http.Request, v *visitor) error {
	var problems models.FieldErrors
	ask := access.KeyRequest{MerchantID: v.Merchant.ID, Name: text(r.PostForm, "name"),
		Test: v.Key.Test || r.PostForm.Has("test"), ExpiresAt: timeOf(r.PostForm, "expires_at", &problems), Granter: &v.Key}
	for _, scope := range r.PostForm["scopes"] {
		ask.Scopes = append(ask.Scopes, models.Scope(scope))
	}
	var secret string
	err := error(problems)
	if len(problems) == 0 {
		err = s.opts.Store.InTx(r.Context(), func(tx *store.Tx) (err error) {
			_, secret, err = s.opts.Access.CreateKey(r.Context(), tx, v.by(), ask)
			return err
		})
	}
	if err == nil {
		return s.then(w, r, v, "/portal/keys", flash{Text: "The key was made. Copy it now: it is shown this once.",
			Label: "API key", Secret: secret})
	}
	view, viewErr := s.keysView(r, v)
	if viewErr != nil {
		return viewErr
	}
	view.Form.fill(r.PostForm)
	if err := view.Form.refuse(err); err != nil {
		return err
	}
	return s.pages.write(w, http.StatusBadRequest, "keys", s.frame(r.Context(), v, "API keys", "keys", view))
}

// revokeKey ends a key, and with a tick those that it made. Ending the key of the session ends the session.
func (s *Site) revokeKey(w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := s.opts.Store.InTx(r.Context(), func(tx *store.Tx) error {
		return s.opts.Access.RevokeKey(r.Context(), tx, v.by(), access.Revocation{ID: r.PathValue("id"), Asker: &v.Key,
			WithChildren: r.PostForm.Has("with_children")})
	})
	if errors.Is(err, access.ErrWiderKey) {
		return &problem{http.StatusForbidden, "Not with this key", "That key, or one that it made, has scopes which yours " +
			"does not have. Nothing was revoked."}
	} else if err != nil {
		return err
	}
	return s.then(w, r, v, "/portal/keys", flash{Text: "The key was revoked."})
}

type auditRow struct {
	models.AuditEntry
	Who     string
	Details []detail
}

type detail struct{ Name, Value string }

// readable are the prefixes of actions whose lines a scope lets somebody read.
var readable = map[models.Scope][]string{
	models.ScopePaymentsRead: {"payment.", "payments.", "doubt."},
	models.ScopeWebhooksRead: {"endpoint.", "delivery.", "deliveries.", "attempts.", "replay."},
	models.ScopeKeysWrite:    {"key.", "portal.", "merchant."},
}

// activityLook is how many lines of a merchant one page looks at, whether it may show them or not.
const activityLook = 5000

// activity shows the merchant's audit log, newest first: what the key of the session did, and what its scopes cover. A
// test key sees what test keys did.
func (s *Site) activity(w http.ResponseWriter, r *http.Request, v *visitor) error {
	f := store.AuditFilter{Actors: []string{v.by().Name}, TestKeys: v.Key.Test, Limit: pageSize + 1,
		Look: activityLook}
	for scope, prefixes := range readable {
		if v.Key.Allows(scope) {
			f.Prefixes = append(f.Prefixes, prefixes...)
		}
	}
	q := queryOf(r)
	if f.Before = q.number("before"); q.err != nil {
		return q.err
	}
	lines, next, err := s.opts.Store.MerchantAudit(r.Context(), v.Merchant.ID, f)
	if err != nil {
		return err
	}
	older := ""
	if len(lines) > pageSize {
		lines = lines[:pageSize]
		next = lines[pageSize-1].Seq
	}
	if next > 0 {
		older = "/portal/activity?before=" + strconv.FormatInt(next, 10)
	}
	rows := make([]auditRow, len(lines))
	for i, l := range lines {
		rows[i] = s.auditRow(l, v)
	}
	return s.show(w, r, v, "activity", "Activity", "activity", list{Rows: rows, Empty: len(rows) == 0, Older: older,
		Further: f.Before > 0})
}

// auditRow is a line as a merchant reads it. Where an operator sits is not for merchants.
func (s *Site) auditRow(l models.AuditEntry, v *visitor) auditRow {
	row := auditRow{AuditEntry: l, Who: l.Actor}
	switch {
	case l.Actor == v.by().Name:
		row.Who = "your key " + v.Key.Prefix + "…"
	case !strings.HasPrefix(l.Actor, "key:"):
		row.IP = ""
	}
	for name, value := range l.Detail {
		if value != "" {
			row.Details = append(row.Details, detail{name, value})
		}
	}
	slices.SortFunc(row.Details, func(a, b detail) int { return strings.Compare(a.Name, b.Name) })
	return row
}
