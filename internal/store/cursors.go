package store

import (
	"context"

	"github.com/ctrip-gateway/ctrip/models"
)

// Heads returns the head of every chain as its scanner last saw it.
func (q *Queries) Heads(ctx context.Context) (map[uint64]uint64, error) {
	var cursors []models.ChainCursor
	if err := q.with(ctx).Select("chain_id", "head_number").Find(&cursors).Error; err != nil {
		return nil, wrap("heads", err)
	}
	heads := make(map[uint64]uint64, len(cursors))
	for _, c := range cursors {
		heads[c.ChainID] = c.HeadNumber
	}
	return heads, nil
}

// Cursors reads how far every chain has been recorded.
func (q *Queries) Cursors(ctx context.Context) ([]models.ChainCursor, error) {
	var cursors []models.ChainCursor
	err := q.with(ctx).Order("chain_id").Find(&cursors).Error
	return cursors, wrap("cursors", err)
}

// Cursor reads how far one chain has been recorded.
func (q *Queries) Cursor(ctx context.Context, chainID uint64) (models.ChainCursor, error) {
	var c models.ChainCursor
	err := q.with(ctx).Where("chain_id = ?", chainID).Take(&c).Error
	return c, one("cursor", err)
}
