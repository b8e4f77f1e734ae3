package payments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// CheckListed returns an error for every chain and token that open payments wait for and that is not among the chains:
// what is paid there would not be seen.
func CheckListed(ctx context.Context, s *store.Store, chains []config.Chain) error {
	open, err := s.OpenAssets(ctx)
	if err != nil {
		return err
	}
	var missing []error
	for _, o := range open {
		i := slices.IndexFunc(chains, func(c config.Chain) bool { return c.ChainID == o.ChainID })
		if i >= 0 && (o.Asset == models.AssetNative ||
			slices.ContainsFunc(chains[i].Tokens, func(t config.Token) bool { return t.Contract == o.Asset })) {
			continue
		}
		what := fmt.Sprintf("chain %s (chain_id %d)", o.Chain, o.ChainID)
		if i >= 0 {
			what = fmt.Sprintf("token %s (%s) of chain %s", o.Symbol, o.Asset, chains[i].Name)
		}
		missing = append(missing, fmt.Errorf("CHAINS_FILE lacks the %s, for which %d payments are open: put it back, with "+
			"`retired: true` if no new payments are to be made there", what, o.Payments))
	}
	return errors.Join(missing...)
}
