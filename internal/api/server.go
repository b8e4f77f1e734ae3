package api

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/api/openapi"
	"github.com/ctrip-gateway/ctrip/internal/api/reference"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/webhook"
)

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI returns the OpenAPI file, as /openapi.yaml serves it.
func OpenAPI() []byte { return bytes.Clone(openAPI) }

// Options are what a Server needs.
type Options struct {
	Logger *slog.Logger
	Now    func() time.Time
	// HTTPS says that merchants reach the gateway by https, so browsers may be told to insist on it.
	HTTPS bool

	Store      *store.Store
	Payments   *payments.Service
	Endpoints  *endpoints.Service
	Redelivery *redelivery.Service
	Access     *access.Service
	Operate    *operate.Service
	Vault      *vault.Vault
	Chains     []config.Chain
	Limits     config.API
	// Prove collects what proves the transfers of a payment; nil proves none.
	Prove Prove
	// Merchants bounds what a merchant asks for with all their keys; nil bounds it in this process, by Limits.
	Merchants *limits.Merchants
	// Shares bounds how many requests of a merchant use the database at once; nil has shares of its connections.
	Shares  *limits.Shares
	Metrics *telemetry.Metrics
	Tracing *telemetry.Tracing
	// WebhookTimeout is WEBHOOK_TIMEOUT. The test of an endpoint without a timeout of its own waits a little longer than
	// this.
	WebhookTimeout time.Duration
	// OperatorToken opens the operator's routes, OperatorReadToken those of them that change nothing. An empty one opens
	// nothing.
	OperatorToken, OperatorReadToken string
}

// Server answers merchants.
type Server struct {
	log     *slog.Logger
	now     func() time.Time
	https   bool
	metrics *telemetry.Metrics
	tracing *telemetry.Tracing
	spec    *openapi.Spec
	echo    *echo.Echo
	mounted []string // prefixes
}

// New reads the OpenAPI file and sets up every route.
func New(o Options) (*Server, error) {
	if o.Logger == nil || o.Now == nil {
		return nil, errors.New("api: Logger and Now are needed")
	}
	spec, err := openapi.Load(openAPI)
	if err != nil {
		return nil, fmt.Errorf("api: openapi.yaml: %w", err)
	}
	docs, err := newReference(spec)
	if err != nil {
		return nil, err
	}
	s := &Server{log: o.Logger, now: o.Now, https: o.HTTPS, metrics: o.Metrics, tracing: o.Tracing, spec: spec,
		echo: echo.New()}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.answerError
	s.echo.IPExtractor = echo.ExtractIPDirect()
	s.echo.Pre(s.requestID, s.trace, s.count, s.accessLog, s.recover, deadline(o.Limits.Timeout), s.secure,
		crossOrigin(o.Limits.Origins), s.textPath)
	asJSON, err := spec.JSON()
	if err != nil {
		return nil, err
	}
	s.page("/", s.front)
	s.page("/openapi.yaml", static("application/yaml", "", openAPI))
	s.page("/openapi.json", static("application/json", "", asJSON))
	s.page("/logos/:hash", logo(o.Store))
	if err := errors.Join(s.serveReference(docs), s.serveSchemas()); err != nil {
		return nil, err
	}
	s.page("/.well-known/webhook-keys.json", keySet(o.Endpoints.KeySet))
	s.page("/.well-known/test-webhook-keys.json", keySet(o.Endpoints.TestKeySet))
	if o.Merchants == nil {
		o.Merchants = limits.NewMerchants(limits.Options{PerSecond: o.Limits.Rate, Burst: o.Limits.Burst, Now: o.Now,
			Logger: o.Logger})
	}
	if o.Shares == nil {
		o.Shares = sharesOf(o.Store)
	}
	h := &handlers{
		merchants: o.Merchants, shares: o.Shares,
		store: o.Store, payments: o.Payments, endpoints: o.Endpoints, redelivery: o.Redelivery, access: o.Access,
		operate: o.Operate,
		vault:   o.Vault, chains: o.Chains, proof: o.Prove,
		limits: o.Limits, limiter: newLimiter(o.Limits.Rate, o.Limits.Burst, o.Now), metrics: o.Metrics, now: o.Now,
		log: o.Logger,
		verdicts: &verdicts{attempted: func(ctx context.Context, ids []string) ([]string, error) {
			return o.Store.Attempted(ctx, ids)
		}},
		operators: access.NewOperatorTokens(o.OperatorToken, o.OperatorReadToken), timeout: o.WebhookTimeout,
	}
	RegisterHandlersWithOptions(s.echo, NewStrictHandler(h, nil),
		RegisterHandlersOptions{OperationMiddlewares: s.middleware(h.authenticate, h.shared)})
	return s, nil
}

// sharesOf are shares of a store's connections. Without a store a server answers what needs none.
func sharesOf(s *store.Store) *limits.Shares {
	if s == nil {
		return limits.NewShares(0)
	}
	return limits.NewShares(s.PoolStats().MaxOpenConnections)
}

// ServeHTTP answers one request. HEAD on the API is answered as GET, of which net/http sends the headers alone.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/api/v1/") {
		asGet := *r
		asGet.Method, r = http.MethodGet, &asGet
	}
	s.echo.ServeHTTP(w, r)
}

// Mount serves everything under prefix, which ends in a slash, by h: pages that are not part of the API. They get a
// request id, a log line without their path, and the security headers, which h may override.
func (s *Server) Mount(prefix string, h http.Handler) {
	s.mounted = append(s.mounted, prefix)
	s.echo.Any(prefix+"*", echo.WrapHandler(h))
}

// page is a document for everybody, beside the routes of the OpenAPI file.
func (s *Server) page(path string, h echo.HandlerFunc) {
	s.echo.Match([]string{http.MethodGet, http.MethodHead}, path, h)
}

// static serves bytes that do not change while the process runs.
func static(contentType, policy string, body []byte) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Cache-Control", "no-cache")
		if policy != "" {
			h.Set("Content-Security-Policy", policy)
		}
		return c.Blob(http.StatusOK, contentType, body)
	}
}

// serveReference publishes the API reference with its style sheet and its script.
func (s *Server) serveReference(docs *reference.Page) error {
	page, err := docs.HTML()
	s.page("/docs", static("text/html; charset=utf-8", reference.Policy, page))
	s.page("/docs/reference.css", static("text/css; charset=utf-8", "", reference.CSS()))
	s.page("/docs/reference.js", static("text/javascript; charset=utf-8", "", reference.Script()))
	return err
}

// serveSchemas publishes the JSON Schema of each event type, self-contained, under the name that it has in
// webhook.SchemaFS.
func (s *Server) serveSchemas() error {
	var names []string
	for _, t := range webhook.EventTypes() {
		name := string(t) + ".json"
		names = append(names, name)
		s.page("/schemas/"+name, static("application/schema+json", "", webhook.Schema(t)))
	}
	index, err := json.Marshal(map[string][]string{"schemas": names})
	s.page("/schemas", static("application/json", "", index))
	return err
}

// keySet tells everybody public keys of the gateway's Ed25519 signatures.
func keySet(keys func(context.Context) (webhook.KeySet, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		set, err := keys(c.Request().Context())
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "public, max-age=300")
		return c.JSON(http.StatusOK, set)
	}
}

// middleware is what runs before each operation's handler, by operation id: what authenticate returns for the scopes
// that the operation needs (authentication, rate limits), then the size of the body, then the OpenAPI file, then last.
func (s *Server) middleware(authenticate func(scopes []string) []echo.MiddlewareFunc,
	last ...echo.MiddlewareFunc) map[string][]echo.MiddlewareFunc {
	all := make(map[string][]echo.MiddlewareFunc)
	for _, op := range s.spec.Operations() {
		all[op.ID] = append(append(authenticate(op.Scopes), bodyLimit(op.ID), hashBody, s.validate(op)), last...)
	}
	return all
}

// newReference is the reference of the API, with the table of problem codes.
func newReference(spec *openapi.Spec) (*reference.Page, error) {
	problems := make([]reference.Problem, len(kinds))
	for i, k := range kinds {
		problems[i] = reference.Problem{Code: string(k.code), Status: k.status, Title: k.title}
	}
	return reference.New(spec, problems)
}
