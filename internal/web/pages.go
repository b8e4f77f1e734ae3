package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
)

//go:embed templates static
var files embed.FS

// pages are the parsed templates, by name, and the files that they refer to.
type pages struct {
	templates map[string]*template.Template
	assets    map[string]asset
}

// asset is a static file; version is a part of its hash and of the URL that pages use, so that it can be cached for
// ever.
type asset struct {
	body        []byte
	contentType string
	version     string
}

func loadPages() (*pages, error) {
	p := &pages{templates: make(map[string]*template.Template), assets: make(map[string]asset)}
	names, err := fs.Glob(files, "static/*")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		body, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		p.assets[path.Base(name)] = asset{body, mime.TypeByExtension(path.Ext(name)), hex.EncodeToString(sum[:6])}
	}
	funcs := template.FuncMap{
		"asset": func(name string) (string, error) {
			a, ok := p.assets[name]
			if !ok {
				return "", fmt.Errorf("web: no asset %q", name)
			}
			return "/assets/" + name + "?v=" + a.version, nil
		},
		"moment": moment,
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"amount": func(a models.Amount, decimals uint8) string { return a.Decimal(decimals) },
		"short":  short,
		"millis": func(micros int64) string { return strconv.FormatFloat(float64(micros)/1000, 'f', 1, 64) + " ms" },
		"words":  func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "_", " ") },
	}
	names, err = fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base == "layout" {
			continue
		}
		t, err := template.New(base).Funcs(funcs).Option("missingkey=error").ParseFS(files, "templates/layout.html", name)
		if err != nil {
			return nil, fmt.Errorf("web: %w", err)
		}
		p.templates[base] = t
	}
	return p, nil
}

// write renders a page whole before it sends the first byte.
func (p *pages) write(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&page, "page", data); err != nil {
		return fmt.Errorf("web: render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // a reader who has gone is not our error
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// asset serves a static file: for ever under the version that pages name, for a minute otherwise.
func (s *Site) asset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.pages.assets[r.PathValue("name")]
	if !ok {
		s.fail(w, r, nil, models.ErrNotFound)
		return
	}
	h := w.Header()
	h.Del("X-Robots-Tag")
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "public, max-age=60")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("ETag", `"`+a.version+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
}

// moment writes a time for people, in UTC; a time that has not come is a dash.
func moment(t any) string {
	switch t := t.(type) {
	case time.Time:
		return t.UTC().Format("2 Jan 2006, 15:04:05")
	case *time.Time:
		if t != nil {
			return moment(*t)
		}
	}
	return "–"
}

// short keeps the two ends of a hash or an address.
func short(s string) string {
	if len(s) <= 16 {
		return s
	}
	return s[:8] + "…" + s[len(s)-6:]
}
