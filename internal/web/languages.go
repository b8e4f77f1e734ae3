package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed languages
var languageFiles embed.FS

// english is the language that the texts of the pages are written in, and the one of whoever asks for none of ours.
const english = "en"

// dictionary is a language's words for the English ones.
type dictionary map[string]string

// loadLanguages reads the files of the languages, by their names.
func loadLanguages() (map[string]dictionary, error) {
	all := map[string]dictionary{english: {}}
	entries, err := languageFiles.ReadDir("languages")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		raw, err := languageFiles.ReadFile("languages/" + e.Name())
		if err != nil {
			return nil, err
		}
		var words dictionary
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, fmt.Errorf("web: language %s: %w", e.Name(), err)
		}
		all[strings.TrimSuffix(e.Name(), path.Ext(e.Name()))] = words
	}
	return all, nil
}

// tongue is a language that a page speaks.
type tongue struct {
	Lang  string
	words dictionary
}

// Text is an English text, with what belongs into it, in the page's language.
func (t tongue) Text(text string, args ...any) string {
	if own, ok := t.words[text]; ok {
		text = own
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// scriptWords are the texts that the script of the checkout page shows.
var scriptWords = []string{"Copy", "Copied", "Failed", "%s left", "You are taken back in %s s.",
	"Your wallet has sent it. This page notices when the chain has it.", "Please look into your wallet.",
	"Your wallet does not know %s. Add it there, and try again.", "Your wallet is not on %s. Nothing was sent.",
	"You declined it in your wallet. Nothing was sent.", "Your wallet did not send it."}

// Words are those of the script, as JSON.
func (t tongue) Words() (string, error) {
	words := make(map[string]string, len(scriptWords))
	for _, w := range scriptWords {
		words[w] = t.Text(w)
	}
	raw, err := json.Marshal(words)
	return string(raw), err
}

// tongueOf is the language of a request: the one of ?lang, or the best of those that the browser prefers.
func (s *Site) tongueOf(r *http.Request) tongue {
	if words, ok := s.languages[r.URL.Query().Get("lang")]; ok {
		return tongue{r.URL.Query().Get("lang"), words}
	}
	best, weight := english, 0.0
	header := r.Header.Get("Accept-Language")
	for part := range strings.SplitSeq(header[:min(len(header), maxPreferences)], ",") {
		tag, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if _, ok := s.languages[primary]; !ok {
			continue
		}
		q := 1.0
		if value, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(value, 64); err != nil {
				continue
			}
		}
		if q > weight {
			best, weight = primary, q
		}
	}
	return tongue{best, s.languages[best]}
}

// maxPreferences bounds how much of a browser's preferences is read, in bytes.
const maxPreferences = 1 << 10
