package devnet

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Run mines until ctx ends, then returns nil; it returns an error only when a block could not be made. Every
// transaction in the pool goes into the next block.
func (c *Chain) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		parent := int64(c.blockchain.CurrentBlock().Time)
		timer.Reset(untilNextBlock(c.blockTime, parent, c.now()))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if _, err := c.Mine(); err != nil {
			return err
		}
	}
}

// untilNextBlock is how long to wait before mining on top of a block with that timestamp (Unix seconds). At one second
// a block it waits for the wall clock to pass the parent's second; a chain that is ahead of the clock gets longer
// pauses, not a standstill.
func untilNextBlock(blockTime time.Duration, parent int64, now time.Time) time.Duration {
	if blockTime < DefaultBlockTime {
		return blockTime
	}
	wait := time.Unix(parent+1, 0).Sub(now)
	if wait > DefaultBlockTime {
		return DefaultBlockTime * 3 / 2
	}
	return max(wait, 0)
}

// Mine makes one block at once, with every transaction of the pool that fits, and returns it.
func (c *Chain) Mine() (Head, error) {
	c.mining.Lock()
	defer c.mining.Unlock()
	parent := c.blockchain.CurrentBlock()
	number := parent.Number.Uint64() + 1
	statedb, err := c.blockchain.State()
	if err != nil {
		return Head{}, fmt.Errorf("mine block %d: %w", number, err)
	}
	timestamp := max(uint64(c.now().Unix()), parent.Time+1)
	block, _, err := c.build(parent, timestamp, c.pool.ready(statedb), c.withdrawals.take())
	if err != nil {
		return Head{}, fmt.Errorf("mine block %d: %w", number, err)
	}
	if err := c.adopt(block, nil); err != nil {
		return Head{}, fmt.Errorf("mine block %d: %w", number, err)
	}
	head := headOf(block)
	c.logger.Debug("devnet.block_mined", slog.Uint64("block", head.Number), slog.String("hash", head.Hash),
		slog.Int("transactions", head.Transactions))
	return head, nil
}
