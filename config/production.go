package config

import (
	"encoding/base64"
	"net/url"
	"strings"
	"time"
)

// validateProduction adds what only production refuses: secrets that are missing, short, a default or used twice, and
// plain http where strangers could listen. Missing ones are found by required.
func (c *Config) validateProduction(errs *FieldErrors) {
	if strings.HasPrefix(c.PublicURL, "http://") {
		errs.add("PUBLIC_URL", "must be https in production")
	}
	if strings.HasPrefix(strings.ToLower(string(c.Webhook.URL)), "http://") {
		errs.add("WEBHOOK_URL", "must be https in production")
	}
	if c.Webhook.URL != "" && c.Webhook.Secret == "" && !errs.Has("WEBHOOK_SECRET") {
		errs.add("WEBHOOK_SECRET", "is required in production when WEBHOOK_URL is set")
	}
	if c.ShutdownGrace < 35*time.Second && !errs.Has("SHUTDOWN_GRACE") {
		errs.add("SHUTDOWN_GRACE", "must be 35s or more in production: the largest endpoint timeout and a commit")
	}
	for name, token := range map[string]Secret{"OPERATOR_TOKEN": c.OperatorToken,
		"OPERATOR_READ_TOKEN": c.OperatorReadToken} {
		if token != "" && len(token) < 32 {
			errs.add(name, "has fewer than 32 characters")
		}
	}
	if c.Redis.Server.InsecureSkipVerify {
		errs.add("REDIS_URL", "has insecure_skip_verify, which lets anybody answer; give the authority as REDIS_CA")
	}
	c.refuseWeak(errs)
}

// secretInUse is one secret and the place it is used in; two places may not share a value.
type secretInUse struct {
	name, value string
	// random secrets are made by machines, so that few different characters betray one that was made up.
	random bool
}

func (c *Config) secrets() []secretInUse {
	list := []secretInUse{
		{"OPERATOR_TOKEN", string(c.OperatorToken), true},
		{"OPERATOR_READ_TOKEN", string(c.OperatorReadToken), true},
		{"WEBHOOK_SECRET", string(c.Webhook.Secret.bytes()), true},
		{"DATABASE_URL", passwordOf(c.Database.URL), false},
		{"REDIS_URL", string(c.Redis.Server.Password), false},
	}
	if s := c.Redis.Server; s.SentinelPassword != s.Password {
		list = append(list, secretInUse{"REDIS_URL", string(s.SentinelPassword), false})
	}
	if p := passwordOf(c.Database.MigrateURL); p != passwordOf(c.Database.URL) { // the same role may be meant
		list = append(list, secretInUse{"DATABASE_MIGRATE_URL", p, false})
	}
	for _, key := range c.MasterKeys {
		list = append(list, secretInUse{"MASTER_KEYS", string(key.Key[:]), true})
	}
	return list
}

func (c *Config) refuseWeak(errs *FieldErrors) {
	used := map[string]string{}
	for _, s := range c.secrets() {
		if s.value == "" {
			continue
		}
		if isPlaceholder(s.value) || wellKnown[strings.ToLower(s.value)] {
			errs.add(s.name, "holds a default or example secret; make one with: openssl rand -base64 32")
		} else if s.random && fewDifferent(s.value) && !errs.Has(s.name) {
			errs.add(s.name, "holds a secret that was not made at random; make one with: openssl rand -base64 32")
		}
		// The same 32 bytes may be written raw in one place and as base64 in another.
		forms := []string{s.value}
		if raw, err := decodeBase64(s.value); err == nil && len(raw) >= 16 {
			forms = append(forms, string(raw))
		}
		for _, form := range forms {
			if first, twice := used[form]; twice {
				errs.add(s.name, "repeats a secret of %s; every secret has one place", first)
				break
			}
		}
		for _, form := range forms {
			used[form] = s.name
		}
	}
}

// wellKnown are passwords that installers and examples ship with.
var wellKnown = map[string]bool{
	"secret": true, "password": true, "passwd": true, "admin": true, "admin123": true, "postgres": true, "redis": true,
	"root": true, "test": true, "dev": true, "development": true, "default": true, "ctrip": true, "guest": true,
	"1234":  true,
	"12345": true, "123456": true, "12345678": true, "password123": true, "letmein": true, "qwerty": true,
}

func isPlaceholder(s string) bool {
	s = strings.ToLower(s)
	for _, mark := range []string{"changeme", "change-me", "change_me", "replace-me", "replaceme", "placeholder",
		"your-secret", "example"} {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return false
}

func fewDifferent(s string) bool {
	seen := map[byte]bool{}
	for i := range len(s) {
		seen[s[i]] = true
	}
	return len(seen) < 8
}

// bytes are what the secret keys with: whsec_ secrets hold base64, others are taken as they are.
func (s Secret) bytes() []byte {
	encoded, prefixed := strings.CutPrefix(string(s), "whsec_")
	if !prefixed {
		return []byte(s)
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil
	}
	return raw
}

func passwordOf(u URL) string {
	p, _ := splitURL(string(u))
	if password, err := url.PathUnescape(p.password); err == nil && password != "" {
		return password
	}
	_, query, _ := strings.Cut(p.rest, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get("password")
}
