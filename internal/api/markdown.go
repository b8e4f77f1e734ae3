package api

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

//go:embed reference.md.tmpl
var referenceMarkdown string

// Reference returns the reference page as Markdown, for readers of the repository: docs/api.md.
func Reference() (string, error) {
	s, err := loadSpec()
	if err != nil {
		return "", err
	}
	page, err := s.referencePage()
	if err != nil {
		return "", err
	}
	t, err := template.New("reference").Funcs(template.FuncMap{"anchor": anchor, "cell": cell, "join": strings.Join, "trim": strings.TrimSpace}).Parse(referenceMarkdown)
	if err != nil {
		return "", fmt.Errorf("api: reference in Markdown: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, page); err != nil {
		return "", fmt.Errorf("api: reference in Markdown: %w", err)
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
