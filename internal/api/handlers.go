package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/limits"
	"github.com/ctrip-gateway/ctrip/internal/operate"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/redelivery"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/telemetry"
	"github.com/ctrip-gateway/ctrip/internal/vault"
	"github.com/ctrip-gateway/ctrip/models"
)

// handlers implement StrictServerInterface, one file a resource. They translate; the operations are in
// internal/payments, internal/endpoints, internal/redelivery, internal/access and internal/operate.
type handlers struct {
	store      *store.Store
	payments   *payments.Service
	endpoints  *endpoints.Service
	redelivery *redelivery.Service
	access     *access.Service
	operate    *operate.Service
	vault      *vault.Vault
	chains     []config.Chain
	proof      Prove
	limits     config.API
	limiter    *limiter
	merchants  *limits.Merchants
	shares     *limits.Shares
	operators  access.OperatorTokens
	metrics    *telemetry.Metrics
	timeout    time.Duration // of a webhook request where the endpoint has none of its own
	now        func() time.Time
	log        *slog.Logger
	verdicts   *verdicts
	waiting    limits.Slots // tests that wait
	exporting  limits.Slots
	proving    limits.Slots
}

var _ StrictServerInterface = (*handlers)(nil)

// answer is a JSON answer, encoded as events are: without HTML escaping.
func answer(status int, v any) (savedAnswer, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return savedAnswer{}, err
	}
	return savedAnswer{status: status, body: bytes.TrimSuffix(b.Bytes(), []byte("\n"))}, nil
}

// orNotFound names the thing that is not there.
func (h *handlers) orNotFound(err error, what string) error {
	if errors.Is(err, models.ErrNotFound) {
		return NotFound(what).Because(err)
	}
	return err
}
