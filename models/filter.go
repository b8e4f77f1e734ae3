package models

import (
	"slices"
	"strings"
)

// EndpointFilter narrows the events of payments that an endpoint gets. A part that is empty narrows nothing; where
// several are given, each has to hold.
type EndpointFilter struct {
	Chains   []string        `json:"chains,omitempty"`
	Assets   []string        `json:"assets,omitempty"` // symbols, contracts, or AssetNative
	Statuses []PaymentStatus `json:"statuses,omitempty"`
	// Metadata names keys, and the values of which the payment has one.
	Metadata map[string][]string `json:"metadata,omitempty"`
}

// EventFacts are what an event of a payment says that a filter asks about.
type EventFacts struct {
	// Asked is what the payment may be paid in: one asset, or several while it has options of which none is decided.
	Asked    []AskedAsset
	Status   PaymentStatus
	Metadata map[string]string
}

// AskedAsset is an asset of a chain.
type AskedAsset struct{ Chain, Symbol, Contract string } // Contract is "" for the chain's own coin

// Takes reports whether the filter lets an event of these facts through. A nil filter takes everything.
func (f *EndpointFilter) Takes(e EventFacts) bool {
	if f == nil {
		return true
	}
	if !slices.ContainsFunc(e.Asked, func(a AskedAsset) bool { return f.takesAsset(a) }) {
		return false
	}
	if len(f.Statuses) > 0 && !slices.Contains(f.Statuses, e.Status) {
		return false
	}
	for key, values := range f.Metadata {
		if value, ok := e.Metadata[key]; !ok || !slices.Contains(values, value) {
			return false
		}
	}
	return true
}

// takesAsset asks for chain and asset together: a payment that may be paid in USDC on one chain and in coin on another
// is nothing for whoever wants USDC on the other one.
func (f *EndpointFilter) takesAsset(a AskedAsset) bool {
	if len(f.Chains) > 0 && !slices.Contains(f.Chains, a.Chain) {
		return false
	}
	return len(f.Assets) == 0 || slices.ContainsFunc(f.Assets, func(name string) bool {
		switch {
		case strings.EqualFold(name, a.Symbol):
			return true
		case a.Contract == "":
			return name == AssetNative
		}
		return strings.EqualFold(name, a.Contract)
	})
}

// Empty reports whether the filter narrows nothing.
func (f *EndpointFilter) Empty() bool {
	return f == nil || len(f.Chains) == 0 && len(f.Assets) == 0 && len(f.Statuses) == 0 && len(f.Metadata) == 0
}
