package store

import "context"

// OpenAsset is something that open payments wait for.
type OpenAsset struct {
	ChainID  uint64
	Chain    string
	Asset    string
	Symbol   string
	Payments int
}

// OpenAssets tells what the open payments of each chain wait for.
func (q *Queries) OpenAssets(ctx context.Context) ([]OpenAsset, error) {
	var open []OpenAsset
	err := q.with(ctx).Table("payments").
		Select("chain_id, asset, max(chain) AS chain, max(asset_symbol) AS symbol, count(*) AS payments").
		Where("status IN ('pending', 'detected')").Group("chain_id, asset").Order("chain_id, asset").Find(&open).Error
	return open, wrap("open assets", err)
}
