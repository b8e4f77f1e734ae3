package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/headers"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/models"
)

// Prefixes are the paths under which a Site answers; whoever mounts it sends everything there that begins so.
var Prefixes = []string{"/pay/", "/portal", "/assets/", "/live/"}

// Access knows API keys, makes and ends them. Authenticate returns access.ErrUnauthenticated for a key that is not a
// live one.
type Access interface {
	Authenticate(ctx context.Context, key string) (models.APIKey, models.Merchant, error)
	CreateKey(ctx context.Context, tx *store.Tx, actor models.Actor, r access.KeyRequest) (models.APIKey, string, error)
	RevokeKey(ctx context.Context, tx *store.Tx, actor models.Actor, r access.Revocation) error
}

// Sealer encrypts and authenticates what a browser keeps for us. aad names the place that a value was sealed for; it
// opens nowhere else.
type Sealer interface {
	Seal(plaintext []byte, aad string) ([]byte, error)
	Open(sealed []byte, aad string) ([]byte, error)
}

// Options are what a Site needs.
type Options struct {
	Store      *store.Store
	Payments   *payments.Service
	Endpoints  *endpoints.Service
	Redelivery *redelivery.Service
	Chains     []config.Chain
	Access     Access
	Links      Links // nil opens none
	Sealer     Sealer
	// PublicURL is the address of the gateway as browsers see it; when it is https, cookies are Secure and HSTS is sent.
	PublicURL string
	Now       func() time.Time
	Logger    *slog.Logger
	// Merchants bounds what the sessions of a merchant ask for, together with their API keys; nil sets no limit.
	Merchants *limits.Merchants
	// Shares bounds how many requests of a merchant use the database at once; nil sets no limit.
	Shares *limits.Shares
	// PageRate and PageBurst bound the requests of one address; a PageRate of 0 sets no limit.
	PageRate  float64
	PageBurst int
	Metrics   *telemetry.Metrics
	// EgressIPs are the addresses that webhook requests come from, shown for firewalls; may be empty.
	EgressIPs []string
}

// Site is the checkout page and the portal.
type Site struct {
	opts   Options
	https  bool
	chains map[uint64]config.Chain
	pages  *pages
	origin *http.CrossOriginProtection
	routes http.Handler
	// pagesOf bounds all the pages that an address asks for, signInsOf how often it tries to sign in.
	pagesOf, signInsOf limits.Addresses
	exporting          limits.Slots // by merchant
	streams            limits.Slots // by merchant, by payment, and "" for all
	live, portalLooks  live         // of checkouts; of the portal
	languages          map[string]dictionary
	closing            chan struct{} // closed when the process ends
	closeOnce          sync.Once
}

// New checks the options and reads the templates.
func New(o Options) (*Site, error) {
	if o.Store == nil || o.Payments == nil || o.Endpoints == nil || o.Redelivery == nil || o.Access == nil ||
		o.Sealer == nil || o.Now == nil || o.Logger == nil {
		return nil, errors.New("web: Store, Payments, Endpoints, Redelivery, Access, Sealer, Now and Logger are needed")
	}
	public, err := url.Parse(o.PublicURL)
	if err != nil || public.Host == "" || public.Scheme != "https" && public.Scheme != "http" {
		return nil, fmt.Errorf("web: PublicURL %q is not an http or https URL", o.PublicURL)
	}
	s := &Site{opts: o, https: public.Scheme == "https", chains: make(map[uint64]config.Chain),
		origin: http.NewCrossOriginProtection(), closing: make(chan struct{}),
		pagesOf:   limits.Addresses{PerSecond: o.PageRate, Burst: o.PageBurst},
		signInsOf: limits.Addresses{PerSecond: min(o.PageRate, signInRate), Burst: signInBurst}}
	for _, c := range o.Chains {
		s.chains[c.ChainID] = c
	}
	if err := s.origin.AddTrustedOrigin(public.Scheme + "://" + public.Host); err != nil {
		return nil, fmt.Errorf("web: PublicURL: %w", err)
	}
	if s.pages, err = loadPages(); err != nil {
		return nil, err
	}
	if s.languages, err = loadLanguages(); err != nil {
		return nil, err
	}
	s.live.read, s.portalLooks.read = s.billVersions, s.merchantVersions
	s.routes = s.mux()
	return s, nil
}

func (s *Site) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{name}", s.asset)
	mux.HandleFunc("GET /pay/{token}", s.public(s.checkout))
	mux.HandleFunc("GET /pay/{token}/status", s.public(s.checkoutStatus))
	mux.HandleFunc("GET /live/{token}", s.public(s.checkoutLive))
	mux.HandleFunc("GET /portal", s.public(s.front))
	mux.HandleFunc("GET /portal/live", s.signedIn("", s.portalLive))
	mux.HandleFunc("GET /portal/overview", s.signedIn("", s.overview))
	mux.Handle("GET /portal/{$}", http.RedirectHandler("/portal", http.StatusSeeOther))
	mux.HandleFunc("POST /portal/sign-in", s.public(s.signIn))
	if s.opts.Links != nil {
		mux.HandleFunc("GET /portal/link/{token}", s.public(s.linkPage))
		mux.HandleFunc("POST /portal/link/{token}", s.public(s.openLink))
	}
	mux.HandleFunc("POST /portal/sign-out", s.changing("", s.signOut))
	mux.HandleFunc("GET /portal/payments", s.signedIn(models.ScopePaymentsRead, s.listPayments))
	mux.HandleFunc("GET /portal/payments/{id}", s.signedIn(models.ScopePaymentsRead, s.showPayment))
	s.endpointRoutes(mux)
	mux.HandleFunc("GET /portal/payments.csv", s.signedIn(models.ScopePaymentsRead, s.exportPayments))
	mux.HandleFunc("POST /portal/payments/{id}/cancel", s.changing(models.ScopePaymentsWrite, s.cancelPayment))
	mux.HandleFunc("GET /portal/keys", s.signedIn(models.ScopeKeysWrite, s.listKeys))
	mux.HandleFunc("POST /portal/keys", s.changing(models.ScopeKeysWrite, s.createKey))
	mux.HandleFunc("POST /portal/keys/{id}/revoke", s.changing(models.ScopeKeysWrite, s.revokeKey))
	mux.HandleFunc("GET /portal/activity", s.signedIn("", s.activity))
	mux.HandleFunc("GET /portal/deliveries", s.signedIn(models.ScopeWebhooksRead, s.listDeliveries))
	mux.HandleFunc("GET /portal/deliveries/{id}", s.signedIn(models.ScopeWebhooksRead, s.showDelivery))
	mux.HandleFunc("POST /portal/deliveries/{id}/redeliver", s.changing(models.ScopeWebhooksWrite, s.redeliver))
	mux.HandleFunc("/", s.public(func(http.ResponseWriter, *http.Request) error { return models.ErrNotFound }))
	return mux
}

func (s *Site) endpointRoutes(mux *http.ServeMux) {
	read, write := models.ScopeWebhooksRead, models.ScopeWebhooksWrite
	mux.HandleFunc("GET /portal/endpoints", s.signedIn(read, s.listEndpoints))
	mux.HandleFunc("GET /portal/endpoints/new", s.signedIn(write, s.newEndpoint))
	mux.HandleFunc("POST /portal/endpoints", s.changingUpTo(maxPEMForm, write, s.createEndpoint))
	mux.HandleFunc("GET /portal/endpoints/{id}", s.signedIn(read, s.showEndpoint))
	mux.HandleFunc("GET /portal/endpoints/{id}/edit", s.signedIn(write, s.editEndpoint))
	mux.HandleFunc("POST /portal/endpoints/{id}", s.changingUpTo(maxPEMForm, write, s.saveEndpoint))
	mux.HandleFunc("POST /portal/endpoints/{id}/enable", s.changing(write,
		s.onEndpoint("The endpoint is enabled. What was held for it is on its way.", s.enableEndpoint)))
	mux.HandleFunc("POST /portal/endpoints/{id}/disable", s.changing(write,
		s.onEndpoint("The endpoint is disabled. Its deliveries are held until it is enabled.", s.disableEndpoint)))
	mux.HandleFunc("POST /portal/endpoints/{id}/delete", s.changing(write, s.deleteEndpoint))
	mux.HandleFunc("POST /portal/endpoints/{id}/rotate", s.changing(write, s.rotateSecret))
	mux.HandleFunc("POST /portal/endpoints/{id}/test", s.changing(write, s.testEndpoint))
	mux.HandleFunc("POST /portal/endpoints/{id}/replay", s.changing(write, s.replay))
	mux.HandleFunc("GET /portal/endpoints/{id}/replay", s.signedIn(read, s.afterPlan))
	mux.HandleFunc("GET /portal/replays/{id}", s.signedIn(read, s.showReplay))
	mux.HandleFunc("POST /portal/replays/{id}/cancel", s.changing(write, s.cancelReplay))
}

// policy forbids everything but our own files; nothing is inline, nobody may frame a page, and forms come back to us.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP answers one request.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	headers.Page(w.Header(), policy, s.https)
	if strings.HasPrefix(r.URL.Path, "/portal") { // its forms need an Origin header, which no-referrer would take away
		w.Header().Set("Referrer-Policy", "same-origin")
	}
	if !strings.HasPrefix(r.URL.Path, "/assets/") && s.tooMany(w, s.pagesOf.Take(r.RemoteAddr, s.now())) {
		s.fail(w, r, nil, errTooMany)
		return
	}
	switch query, err := url.QueryUnescape(r.URL.RawQuery); {
	case !models.IsText(r.URL.Path):
		s.fail(w, r, nil, models.ErrNotFound)
	case err != nil || !models.IsText(query):
		s.fail(w, r, nil, errQuery)
	default:
		s.routes.ServeHTTP(w, r)
	}
}

var errQuery = &problem{http.StatusBadRequest, "Not understood", "The address of this page is broken. Perhaps it was " +
	"changed when it was copied."}

const (
	// signInRate and signInBurst bound how often one address may try to sign in.
	signInRate  = 0.2
	signInBurst = 20
)

var errTooMany = &problem{http.StatusTooManyRequests, "Too many requests",
	"More was asked for than may be at once. Please wait a moment and try again."}

// tooMany says for how long somebody has to wait, and whether they have to.
func (s *Site) tooMany(w http.ResponseWriter, wait time.Duration) bool {
	if wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	return wait > 0
}

// now is the time to the microsecond, which is what both databases keep.
func (s *Site) now() time.Time { return models.Now(s.opts.Now) }

// public serves a page that needs no session.
func (s *Site) public(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := f(w, r); err != nil {
			s.fail(w, r, nil, err)
		}
	}
}

// problem is an error that a person is told in these words.
type problem struct {
	Status      int
	Title, Text string
}

func (p *problem) Error() string { return p.Title + ": " + p.Text }

// fail answers an error with a page. What is not a person's doing is logged by its route, never by its path, because
// the path of a checkout page is its key.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, models.ErrNotFound):
		p = &problem{http.StatusNotFound, "Nothing here",
			"This page does not exist. Perhaps the link was cut short when it was copied."}
	case errors.Is(err, models.ErrConflict):
		p = &problem{http.StatusConflict, "That cannot be done now", sentence(err)}
	case errors.Is(r.Context().Err(), context.Canceled):
		return // nobody is there to read an answer
	case r.Context().Err() != nil:
		p = &problem{http.StatusServiceUnavailable, "This took too long", "Please try again in a moment."}
	case store.IsBadText(err):
		p = errQuery
	default:
		s.opts.Logger.ErrorContext(r.Context(), "page.failed", "route", r.Pattern, "error", err)
		p = &problem{http.StatusInternalServerError, "Something went wrong",
			"It is our fault and has been noted. Please try again in a moment."}
	}
	if strings.HasSuffix(r.Pattern, "/status") {
		writeJSON(w, p.Status, map[string]string{"error": p.Title})
		return
	}
	if err := s.pages.write(w, p.Status, "problem", s.frame(r.Context(), v, p.Title, "", p)); err != nil {
		s.opts.Logger.ErrorContext(r.Context(), "page.failed", "route", r.Pattern, "error", err)
	}
}

// sentence is the text of an error without the package's name and with a capital.
func sentence(err error) string {
	text := strings.TrimSuffix(err.Error(), ": "+models.ErrConflict.Error())
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
