package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm/clause"

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

// SaveCursor writes how far a chain has been recorded. It belongs into the transaction that records the block.
func (tx *Tx) SaveCursor(ctx context.Context, c models.ChainCursor) error {
	return wrap("save cursor", tx.with(ctx).Clauses(clause.OnConflict{UpdateAll: true}).Create(&c).Error)
}

// InsertBlocks records canonical blocks.
func (tx *Tx) InsertBlocks(ctx context.Context, blocks []models.Block) error {
	if len(blocks) == 0 {
		return nil
	}
	return wrap("insert blocks", tx.with(ctx).CreateInBatches(blocks, chunk).Error)
}

// Blocks reads the newest recorded blocks of a chain, oldest first.
func (q *Queries) Blocks(ctx context.Context, chainID uint64, limit int) ([]models.Block, error) {
	var blocks []models.Block
	err := q.with(ctx).Where("chain_id = ?", chainID).Order("number DESC").Limit(limit).Find(&blocks).Error
	slices.Reverse(blocks)
	return blocks, wrap("blocks", err)
}

// DropBlocksFrom forgets the blocks of a branch that a reorg has replaced.
func (tx *Tx) DropBlocksFrom(ctx context.Context, chainID, from uint64) error {
	return wrap("drop blocks", tx.with(ctx).Where("chain_id = ? AND number >= ?", chainID,
		from).Delete(&models.Block{}).Error)
}

// PruneBlocks forgets blocks below a number that nothing can reach any more.
func (tx *Tx) PruneBlocks(ctx context.Context, chainID, below uint64) error {
	return wrap("prune blocks", tx.with(ctx).Where("chain_id = ? AND number < ?", chainID,
		below).Delete(&models.Block{}).Error)
}

// BlockAt reads one recorded block of a chain.
func (q *Queries) BlockAt(ctx context.Context, chainID, number uint64) (models.Block, error) {
	var b models.Block
	err := q.with(ctx).Where("chain_id = ? AND number = ?", chainID, number).Take(&b).Error
	return b, one("block", err)
}

// FirstRecorded is the number of the oldest block that is recorded of a chain.
func (q *Queries) FirstRecorded(ctx context.Context, chainID uint64) (uint64, error) {
	var b models.Block
	err := q.with(ctx).Select("number").Where("chain_id = ?", chainID).Order("number").Take(&b).Error
	return b.Number, one("first block", err)
}

// AcceptReorg lets a halted chain go on: its final point is given up, so that the scanner may walk back below it.
func (tx *Tx) AcceptReorg(ctx context.Context, chainID uint64) error {
	return wrap("accept reorg", tx.with(ctx).Model(&models.ChainCursor{}).Where("chain_id = ?", chainID).
		Updates(map[string]any{"halted_at": nil, "halt_reason": "", "final_number": 0}).Error)
}

// BlocksBetween reads recorded blocks of a range, oldest first.
func (q *Queries) BlocksBetween(ctx context.Context, chainID, from, to uint64, limit int) ([]models.Block, error) {
	var blocks []models.Block
	err := q.with(ctx).Where("chain_id = ? AND number BETWEEN ? AND ?", chainID, from, to).Order("number").Limit(limit).
		Find(&blocks).Error
	return blocks, wrap("blocks", err)
}

// SeeChain notes that a chain answered, unless that was noted less than every ago.
func (s *Store) SeeChain(ctx context.Context, chainID uint64, now time.Time, every time.Duration) error {
	return wrap("see chain", s.with(ctx).Model(&models.ChainCursor{}).
		Where("chain_id = ? AND (seen_at IS NULL OR seen_at < ?)", chainID, now.Add(-every)).
		Update("seen_at", now).Error)
}
