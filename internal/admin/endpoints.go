package admin

import (
	"cmp"
	"context"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Endpoint is a webhook endpoint without its secrets.
type Endpoint struct {
	ID             string                `json:"id"`
	MerchantID     string                `json:"merchant_id"`
	URL            string                `json:"url"`
	Description    string                `json:"description"`
	Events         []string              `json:"events"`
	Mode           models.Mode           `json:"mode"`
	Status         models.EndpointStatus `json:"status"`
	DisabledReason string                `json:"disabled_reason"`
	Default        bool                  `json:"default"` // the deployment's WEBHOOK_URL
	LastSuccessAt  *time.Time            `json:"last_success_at"`
	CreatedAt      time.Time             `json:"created_at"`
}

// EndpointCreated is an endpoint and the secret that it was just given, which is shown this once.
type EndpointCreated struct {
	Endpoint Endpoint `json:"endpoint"`
	Secret   string   `json:"secret"`
}

// EndpointRequest asks for an endpoint. No events are all events, no mode is live; a nil Secret is a new one.
type EndpointRequest struct {
	MerchantID, URL, Description string
	Events                       []string
	Mode                         models.Mode
	Secret                       *string
}

// Rotation is how an endpoint's secret is replaced.
type Rotation = endpoints.Rotation

func endpointOf(e models.Endpoint) Endpoint {
	return Endpoint{
		ID: e.ID, MerchantID: e.MerchantID, URL: e.URL, Description: e.Description, Events: e.Events, Mode: e.Mode,
		Status: e.Status, DisabledReason: e.DisabledReason, Default: e.IsDefault, LastSuccessAt: utc(e.LastSuccessAt),
		CreatedAt: e.CreatedAt.UTC(),
	}
}

// CreateEndpoint makes an enabled endpoint for a merchant, by the rules that the API applies.
func (a *Admin) CreateEndpoint(ctx context.Context, r EndpointRequest) (EndpointCreated, error) {
	service, err := a.endpoints()
	if err != nil {
		return EndpointCreated{}, err
	}
	if err := a.requireMerchant(ctx, r.MerchantID); err != nil {
		return EndpointCreated{}, err
	}
	set := endpoints.Settings{URL: &r.URL, Description: &r.Description, Events: r.Events,
		Mode: cmp.Or(r.Mode, models.ModeLive)}
	var made EndpointCreated
	err = a.store.InTx(ctx, func(tx *store.Tx) error {
		e, secret, err := service.Create(ctx, tx, a.actor, r.MerchantID, set, r.Secret)
		made = EndpointCreated{endpointOf(e), secret.Reveal()}
		return err
	})
	if err != nil {
		return EndpointCreated{}, err
	}
	return made, nil
}

// Endpoints lists a merchant's endpoints, newest first.
func (a *Admin) Endpoints(ctx context.Context, merchantID string) ([]Endpoint, error) {
	if err := a.requireMerchant(ctx, merchantID); err != nil {
		return nil, err
	}
	rows, err := a.store.EndpointsOf(ctx, merchantID)
	return convert(rows, endpointOf), err
}

// SetEndpointMode says which events an endpoint gets, whoever owns it.
func (a *Admin) SetEndpointMode(ctx context.Context, id string, mode models.Mode) (Endpoint, error) {
	service, err := a.endpoints()
	if err != nil {
		return Endpoint{}, err
	}
	e, err := a.store.EndpointByID(ctx, id)
	if err != nil {
		return Endpoint{}, notFound(err, "endpoint", id)
	}
	err = a.store.InTx(ctx, func(tx *store.Tx) (err error) {
		e, err = service.SetMode(ctx, tx, a.actor, e.MerchantID, id, mode)
		return err
	})
	return endpointOf(e), notFound(err, "endpoint", id)
}

// RotateSecret gives an endpoint another secret, whoever owns it.
func (a *Admin) RotateSecret(ctx context.Context, id string, r Rotation) (EndpointCreated, error) {
	service, err := a.endpoints()
	if err != nil {
		return EndpointCreated{}, err
	}
	e, err := a.store.EndpointByID(ctx, id)
	if err != nil {
		return EndpointCreated{}, notFound(err, "endpoint", id)
	}
	var made EndpointCreated
	err = a.store.InTx(ctx, func(tx *store.Tx) error {
		e, secret, err := service.RotateSecret(ctx, tx, a.actor, e.MerchantID, id, r)
		made = EndpointCreated{endpointOf(e), secret.Reveal()}
		return err
	})
	if err != nil {
		return EndpointCreated{}, notFound(err, "endpoint", id)
	}
	return made, nil
}
