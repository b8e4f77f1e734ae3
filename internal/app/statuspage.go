package app

import (
	"context"
	"crypto/rand"
	_ "embed"
	"html/template"
	"log/slog"
	"net/http"

	"github.com/ctrip-gateway/ctrip/internal/operate"
)

//go:embed status.html
var statusHTML string

var statusTemplate = template.Must(template.New("status").Parse(statusHTML))

// statusPage shows operators the state of the whole gateway, the same as `ctripctl status`. It changes nothing.
func statusPage(read func(context.Context) (operate.Status, error), log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := read(r.Context())
		if err != nil {
			log.WarnContext(r.Context(), "status.failed", "error", err)
			http.Error(w, "the state could not be read: see status.failed in the log", http.StatusServiceUnavailable)
			return
		}
		nonce := rand.Text()
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := statusTemplate.Execute(w, struct {
			Nonce     string
			Status    operate.Status
			Attention []string
		}{nonce, s, s.Attention()}); err != nil {
			log.DebugContext(r.Context(), "status.not_written", "error", err)
		}
	})
}
