package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/egress"
	"github.com/ctrip-gateway/ctrip/internal/wiring"
	"github.com/ctrip-gateway/ctrip/models"
)

// certificateSoon is how long before its certificate ends an endpoint has a problem.
const certificateSoon = 14 * 24 * time.Hour

// EndpointCheck is what was found at one endpoint's host. No request was made to the endpoint itself.
type EndpointCheck struct {
	ID         string           `json:"id"`
	MerchantID string           `json:"merchant_id"`
	URL        string           `json:"url"`
	TLS        string           `json:"tls"` // "TLS 1.3"; "" without TLS
	Issuer     string           `json:"issuer"`
	NotAfter   *time.Time       `json:"not_after"` // of the first certificate of the chain to end
	SPKI       []string         `json:"spki"`      // what may be pinned, the server's own first
	Port80     egress.Plaintext `json:"port_80"`   // "" when the endpoint did not answer
	Problems   []string         `json:"problems"`
}

// EndpointChecks are the verdicts on some endpoints.
type EndpointChecks struct {
	Data []EndpointCheck `json:"data"`
}

// OK reports whether no problem was found.
func (c EndpointChecks) OK() bool {
	for _, one := range c.Data {
		if len(one.Problems) > 0 {
			return false
		}
	}
	return true
}

// CheckEndpoints connects to the hosts of one endpoint, of all of a merchant's, or with neither of everybody's, as the
// workers would: TLS with the endpoint's own settings must work, its certificates must not end soon, and port 80 must
// not answer without TLS other than by pointing to https.
func (a *Admin) CheckEndpoints(ctx context.Context, of Scope) (EndpointChecks, error) {
	out := EndpointChecks{Data: []EndpointCheck{}}
	service, err := a.endpoints()
	if err != nil {
		return out, err
	}
	client, err := wiring.Egress(a.cfg)
	if err != nil {
		return out, err
	}
	defer client.Close()
	rows, err := a.endpointsIn(ctx, of)
	if err != nil {
		return out, err
	}
	for _, e := range rows {
		check := EndpointCheck{ID: e.ID, MerchantID: e.MerchantID, URL: e.URL, SPKI: []string{}, Problems: []string{}}
		settings, err := service.TLSSettings(e)
		if err != nil {
			return out, err
		}
		found, err := client.Probe(ctx, egress.Tenant{Merchant: e.MerchantID, Default: e.IsDefault}, e.URL, settings)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		out.Data = append(out.Data, a.judge(check, found, err))
	}
	return out, nil
}

func (a *Admin) judge(check EndpointCheck, found egress.ProbeResult, err error) EndpointCheck {
	problem := func(format string, args ...any) {
		check.Problems = append(check.Problems, fmt.Sprintf(format, args...))
	}
	if err != nil {
		problem("%v", err)
		return check
	}
	check.TLS, check.Issuer, check.Port80 = found.TLSVersion, found.Issuer, found.Port80
	check.SPKI = append(check.SPKI, found.SPKI...)
	if found.TLSVersion == "" {
		problem("it is reached without TLS")
	}
	if !found.NotAfter.IsZero() {
		check.NotAfter = &found.NotAfter
		if left := found.NotAfter.Sub(a.now()); left < certificateSoon {
			problem("a certificate ends on %s", found.NotAfter.Format(time.DateOnly))
		}
	}
	if found.Port80 == egress.PlaintextAnswered && found.TLSVersion != "" {
		problem("port 80 answers without TLS; it should refuse, or redirect to https")
	}
	return check
}

// endpointsIn are the endpoints of a scope.
func (a *Admin) endpointsIn(ctx context.Context, of Scope) ([]models.Endpoint, error) {
	switch {
	case of.EndpointID != "":
		e, err := a.store.EndpointByID(ctx, of.EndpointID)
		return []models.Endpoint{e}, notFound(err, "webhook endpoint", of.EndpointID)
	case of.MerchantID != "":
		if err := a.requireMerchant(ctx, of.MerchantID); err != nil {
			return nil, err
		}
		return a.store.EndpointsOf(ctx, of.MerchantID)
	}
	merchants, err := a.store.Merchants(ctx)
	if err != nil {
		return nil, err
	}
	var all []models.Endpoint
	for _, m := range merchants {
		rows, err := a.store.EndpointsOf(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
