package endpoints

import (
	"slices"
	"strings"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/models"
)

// applyFilter checks a filter: a name that no payment can have would keep everything from the endpoint, silently. Names
// of retired chains and tokens are good, since payments there may still be open.
func (s *Service) applyFilter(e *models.Endpoint, f *models.EndpointFilter,
	bad func(field, example, format string, args ...any)) {
	if f.Empty() {
		e.Filter = nil
		return
	}
	for _, name := range f.Chains {
		if !slices.ContainsFunc(s.opts.Chains, func(c config.Chain) bool { return c.Name == name }) {
			bad("filter.chains", s.someChain(), "has %q, which is no chain of this gateway", models.Clip(name))
		}
	}
	for _, name := range f.Assets {
		if !slices.ContainsFunc(s.opts.Chains, func(c config.Chain) bool { return onChain(f, c) && lists(c, name) }) {
			bad("filter.assets", models.AssetNative, "has %q, which is no asset of these chains", models.Clip(name))
		}
	}
	for _, status := range f.Statuses {
		if !slices.Contains(models.PaymentStatuses, status) {
			bad("filter.statuses", string(models.PaymentConfirmed), "has %q, which is no status of a payment",
				models.Clip(string(status)))
		}
	}
	e.Filter = f
}

// lists reports whether a chain has an asset by this name: its symbol, its contract, or "native".
func lists(c config.Chain, name string) bool {
	return name == models.AssetNative || strings.EqualFold(name, c.Native.Symbol) ||
		slices.ContainsFunc(c.Tokens, func(t config.Token) bool {
			return strings.EqualFold(name, t.Symbol) || strings.EqualFold(name, t.Contract)
		})
}

func onChain(f *models.EndpointFilter, c config.Chain) bool {
	return len(f.Chains) == 0 || slices.Contains(f.Chains, c.Name)
}

func (s *Service) someChain() string {
	if len(s.opts.Chains) == 0 {
		return "ethereum"
	}
	return s.opts.Chains[0].Name
}
