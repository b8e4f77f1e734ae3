package reference

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS []byte

//go:embed page.js
var pageJS []byte

// Policy is the content security policy of the page: it loads its own style sheet, script and icon, and
// nothing else.
const Policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// CSS is the style sheet of the page, which the page loads from /docs/reference.css. Callers do not change it.
func CSS() []byte { return pageCSS }

// Script copies code and searches the page, which loads it from /docs/reference.js. Callers do not change it.
func Script() []byte { return pageJS }

// HTML renders the page; it is the same for everybody.
func (p *Page) HTML() ([]byte, error) {
	t, err := template.New("reference").Funcs(template.FuncMap{"prose": prose}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	return b.Bytes(), nil
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// prose turns the little Markdown of openapi.yaml, paragraphs and code spans, into HTML.
func prose(s string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		if paragraph != "" {
			b.WriteString("<p>" + codeSpan.ReplaceAllString(html.EscapeString(paragraph), "<code>$1</code>") + "</p>")
		}
	}
	return template.HTML(b.String())
}
