package access

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	maxSupportURL   = 2048
	maxSupportEmail = 254
)

// Profile is what a merchant changes of how payers see them: nil leaves a field as it is, and a pointer to nil takes
// it away.
type Profile struct {
	Name         *string
	SupportURL   **string
	SupportEmail **string
	Languages    *[]string // none is all
	Logo         **string  // base64 of an image
}

// ChangeProfile changes what payers see of a merchant, and writes one audit line that names the fields. It fails with
// [models.FieldErrors] or [models.ErrNotFound].
func (s *Service) ChangeProfile(ctx context.Context, tx *store.Tx, actor models.Actor, merchantID string,
	change Profile) (models.Merchant, error) {
	logo, broken := change.check()
	if broken != nil {
		return models.Merchant{}, broken
	}
	m, err := tx.LockMerchant(ctx, merchantID)
	if err != nil {
		return models.Merchant{}, err
	}
	now := s.now()
	changed := change.apply(&m)
	if change.Logo != nil {
		changed["logo"], m.LogoHash = "none", nil
		if logo != nil {
			logo.MerchantID, logo.CreatedAt = merchantID, now
			changed["logo"], m.LogoHash = logo.MediaType+" "+logo.Hash, &logo.Hash
		}
		if err := tx.ReplaceLogo(ctx, merchantID, logo); err != nil {
			return models.Merchant{}, err
		}
	}
	if len(changed) == 0 {
		return m, nil
	}
	m.UpdatedAt = now
	if err := tx.SaveProfile(ctx, m); err != nil {
		return models.Merchant{}, err
	}
	s.forget(tx, merchantID)
	return m, s.audit(ctx, tx, actor, merchantID, models.AuditEntry{Action: "merchant.profile_changed", Detail: changed})
}

// check holds every field against the rules, and reads the logo.
func (c Profile) check() (logo *models.Logo, broken models.FieldErrors) {
	bad := func(field, example, message string) {
		broken = append(broken, models.FieldError{Field: field, Message: message, Example: example})
	}
	if c.Name != nil {
		if problem := badName(*c.Name); problem != "" {
			bad("name", "Tea & Sons", problem)
		}
	}
	if c.SupportURL != nil && *c.SupportURL != nil && !isLink(**c.SupportURL) {
		bad("support_url", "https://shop.example/help",
			fmt.Sprintf("must be an absolute http or https URL of at most %d bytes, without a password", maxSupportURL))
	}
	if c.SupportEmail != nil && *c.SupportEmail != nil && !isEmail(**c.SupportEmail) {
		bad("support_email", "help@shop.example", "must be one plain e-mail address")
	}
	if c.Languages != nil {
		for i, l := range *c.Languages {
			if !slices.Contains(models.Languages, l) || slices.Contains((*c.Languages)[:i], l) {
				bad("languages", `["de","en"]`, "must name each language once, of "+strings.Join(models.Languages, ", "))
				break
			}
		}
	}
	if c.Logo != nil && *c.Logo != nil {
		content, err := base64.StdEncoding.DecodeString(**c.Logo)
		l, problem := readLogo(content)
		if err != nil {
			problem = "must be the base64 of an image"
		}
		if problem != "" {
			bad("logo", "iVBORw0KGgo…", problem)
		}
		logo = &l
	}
	return logo, broken
}

func isLink(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil &&
		len(raw) <= maxSupportURL && !strings.ContainsFunc(raw, unicode.IsControl)
}

// isEmail takes an address alone: no name, no second one, nothing that a mailto link would take for more.
func isEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s && len(s) <= maxSupportEmail &&
		!strings.ContainsAny(s, "?&%<>\"' ,")
}

// apply writes what changes into m, and returns it in words; the logo is the caller's.
func (c Profile) apply(m *models.Merchant) map[string]string {
	changed := make(map[string]string)
	if c.Name != nil && *c.Name != m.Name {
		m.Name, changed["name"] = *c.Name, *c.Name
	}
	for _, f := range []struct {
		name  string
		given **string
		to    **string
	}{{"support_url", c.SupportURL, &m.SupportURL}, {"support_email", c.SupportEmail, &m.SupportEmail}} {
		if f.given == nil || orNone(*f.given) == orNone(*f.to) {
			continue
		}
		*f.to, changed[f.name] = *f.given, orNone(*f.given)
	}
	if c.Languages != nil && !slices.Equal(*c.Languages, m.Languages) {
		m.Languages, changed["languages"] = *c.Languages, strings.Join(*c.Languages, " ")
	}
	return changed
}

func orNone(s *string) string {
	if s == nil {
		return "none"
	}
	return *s
}

// LogoURL is where the gateway serves a merchant's logo; nil without one.
func (s *Service) LogoURL(m models.Merchant) *string {
	if m.LogoHash == nil {
		return nil
	}
	return new(s.publicURL + "/logos/" + *m.LogoHash)
}
