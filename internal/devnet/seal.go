package devnet

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/miner"
)

// epoch is the number of blocks after which the node's "finalized" tag moves, as in geth's own development mode.
const epoch = 32

// Run mines until ctx ends, then returns nil; it returns an error only when a block could not be made. Every
// transaction in the pool goes into the next block.
func (c *Chain) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		parent := int64(c.eth.BlockChain().CurrentBlock().Time)
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

// untilNextBlock is how long to wait before sealing on top of a block with that timestamp (Unix seconds). At one second a block it waits
// for the wall clock to pass the parent's second; a chain that is ahead of the clock gets longer pauses, not a standstill.
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
	c.sealing.Lock()
	defer c.sealing.Unlock()
	parent := c.eth.BlockChain().CurrentBlock()
	timestamp := max(uint64(c.now().Unix()), parent.Time+1)
	block, err := c.build(parent.Hash(), timestamp, nil, fromPool)
	if err != nil {
		return Head{}, fmt.Errorf("mine block %d: %w", parent.Number.Uint64()+1, err)
	}
	if err := c.adopt(block); err != nil {
		return Head{}, fmt.Errorf("mine block %d: %w", block.NumberU64(), err)
	}
	head := headOf(block)
	c.logger.Debug("devnet.block_mined", slog.Uint64("block", head.Number), slog.String("hash", head.Hash),
		slog.Int("transactions", head.Transactions))
	return head, nil
}

// contents says where the transactions of a new block come from.
type contents bool

const (
	fromPool  contents = false
	exactList contents = true
)

// build makes a block on parent and stores it beside the canonical branch. Each block is unique, even with the same parent, time
// and transactions.
func (c *Chain) build(parent common.Hash, timestamp uint64, txs []*types.Transaction, from contents) (*types.Block, error) {
	var random common.Hash
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	args := &miner.BuildPayloadArgs{Parent: parent, Timestamp: timestamp, Random: random, BeaconRoot: &common.Hash{}}
	// An empty list means "take the pool" to geth; an empty block has to be asked for.
	empty := from == exactList && len(txs) == 0
	block, _, err := c.eth.Miner().BuildTestingPayload(args, txs, empty, []byte("ctrip-devnet"))
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	if _, err := c.eth.BlockChain().InsertBlockWithoutSetHead(context.Background(), block, false); err != nil {
		return nil, fmt.Errorf("insert: %w", err)
	}
	return block, nil
}

// adopt makes block, which is stored already, the head of the canonical branch, with the safe and finalized tags, and waits until
// the pool knows: geth tells it in the background, and until then it offers what the head has and judges by old balances.
func (c *Chain) adopt(block *types.Block) error {
	chain := c.eth.BlockChain()
	if _, err := chain.SetCanonical(block); err != nil {
		return fmt.Errorf("set head: %w", err)
	}
	chain.SetSafe(block.Header())
	chain.SetFinalized(chain.GetHeaderByNumber(block.NumberU64() / epoch * epoch))
	return c.syncPool()
}

// syncPool waits until the pool has caught up with the head. geth's Sync forgets one of two callers, who then waits for ever.
func (c *Chain) syncPool() error {
	c.syncing.Lock()
	defer c.syncing.Unlock()
	if err := c.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	return nil
}
