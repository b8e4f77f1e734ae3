package reference

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

//go:embed page.md.tmpl
var pageMarkdown string

// Markdown renders the same content for readers of the repository: docs/api.md.
func (p *Page) Markdown() (string, error) {
	funcs := template.FuncMap{"anchor": anchor, "cell": cell, "join": strings.Join, "trim": strings.TrimSpace}
	t, err := template.New("reference").Funcs(funcs).Parse(pageMarkdown)
	if err != nil {
		return "", fmt.Errorf("reference: Markdown: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, p); err != nil {
		return "", fmt.Errorf("reference: Markdown: %w", err)
	}
	return b.String(), nil
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 _-]`)

// anchor is the name by which a heading is linked to.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchors.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// cell puts text into a table's cell, which holds neither lines nor bars.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
