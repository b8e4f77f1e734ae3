package devnet

import (
	"fmt"
	"log/slog"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// MaxReorg is the deepest reorganisation, in blocks. The chain keeps the states of the last 128 blocks only.
const MaxReorg = 64

// Reorganised tells what a reorganisation did. Hashes are 0x and 64 lower-case digits.
type Reorganised struct {
	Ancestor Head // the last block that both branches share
	OldHead  Head
	NewHead  Head
	Depth    int // blocks that are gone
	// Remined lists transactions that the new branch holds again, one block later than before.
	Remined []string
	// Dropped lists what is in neither branch nor pool, as if its sender had never sent it; it may be sent again.
	Dropped []string
	// Returned lists transactions that could not stand without a dropped one (later nonces of its sender, money that
	// it had brought); those that may still become valid are back in the pool.
	Returned []string
}

// Reorg replaces the last depth blocks by a branch that is one block longer, in one step: no reader sees the chain
// shorter than it was. The transactions of the replaced blocks are mined again one block later, those named in drop are
// left out. It may run beside Run and with transactions in the pool.
//
// It fails, and changes nothing, if depth is not between 1 and MaxReorg or exceeds the head's number, or if a
// transaction in drop is not in the replaced blocks.
func (c *Chain) Reorg(depth int, drop ...string) (Reorganised, error) {
	return c.reorg(drop, func(*types.Header) (int, error) { return depth, nil })
}

// ReorgOut reorganises just as deep as needed to drop the named transactions, however many blocks have been mined on
// top of them meanwhile. It fails as Reorg does.
func (c *Chain) ReorgOut(drop ...string) (Reorganised, error) {
	return c.reorg(drop, func(head *types.Header) (int, error) {
		depth := 0
		for _, hash := range drop {
			mined, err := c.receipt(common.HexToHash(hash))
			if err != nil {
				return 0, err
			}
			if mined == nil {
				return 0, fmt.Errorf("transaction %s is not in the chain", hash)
			}
			depth = max(depth, int(head.Number.Uint64()-mined.Block.Number)+1)
		}
		return depth, nil
	})
}

// reorg is Reorg with a depth that is chosen when nothing can be mined any more.
func (c *Chain) reorg(drop []string, choose func(head *types.Header) (int, error)) (Reorganised, error) {
	c.mining.Lock()
	defer c.mining.Unlock()
	head := c.blockchain.CurrentBlock()
	depth, err := choose(head)
	if err != nil {
		return Reorganised{}, fmt.Errorf("reorg: %w", err)
	}
	if depth < 1 || depth > MaxReorg || uint64(depth) > head.Number.Uint64() {
		return Reorganised{}, fmt.Errorf("reorg: depth %d at block %d: want 1 to %d, above block 0",
			depth, head.Number, MaxReorg)
	}
	old := make([]*types.Block, depth) // oldest first
	for i := range old {
		old[i] = c.blockchain.GetBlockByNumber(head.Number.Uint64() - uint64(depth-1-i))
	}
	dropped, err := named(drop, old)
	if err != nil {
		return Reorganised{}, fmt.Errorf("reorg of %d blocks: %w", depth, err)
	}
	ancestor := c.blockchain.GetBlockByHash(old[0].ParentHash())
	b := branch{chain: c, tip: ancestor, dropped: dropped, gapped: make(map[common.Address]bool)}
	b.done = Reorganised{Ancestor: headOf(ancestor), OldHead: headOf(old[depth-1]), Depth: depth}
	if err := b.grow(old); err != nil {
		return Reorganised{}, fmt.Errorf("reorg: %w", err)
	}
	if err := c.adopt(b.tip, b.returned); err != nil {
		return Reorganised{}, fmt.Errorf("reorg: %w", err)
	}
	done := b.done
	done.NewHead = headOf(b.tip)
	c.logger.Info("devnet.reorganised", slog.Int("depth", depth), slog.Uint64("block", done.NewHead.Number),
		slog.String("hash", done.NewHead.Hash), slog.Int("remined", len(done.Remined)),
		slog.Int("dropped", len(done.Dropped)))
	return done, nil
}

// named turns hashes into a set, and insists that the blocks hold each of them.
func named(hashes []string, blocks []*types.Block) (map[common.Hash]bool, error) {
	set := make(map[common.Hash]bool, len(hashes))
	for _, text := range hashes {
		hash, found := common.HexToHash(text), false
		for _, b := range blocks {
			found = found || b.Transaction(hash) != nil
		}
		if !found {
			return nil, fmt.Errorf("transaction %s is not in the replaced blocks", text)
		}
		set[hash] = true
	}
	return set, nil
}

// branch is a branch in the making, beside the canonical one.
type branch struct {
	chain    *Chain
	tip      *types.Block
	dropped  map[common.Hash]bool
	gapped   map[common.Address]bool // senders with a gap in their nonces on this branch
	returned []*types.Transaction
	done     Reorganised
}

// grow mines the transactions of the old blocks again, each one block later, with the old timestamps as far as they go,
// so that the branch does not run ahead of the clock.
func (b *branch) grow(old []*types.Block) error {
	for i := 0; i <= len(old); i++ {
		timestamp := uint64(b.chain.now().Unix())
		if i < len(old) {
			timestamp = old[i].Time()
		}
		var txs []*types.Transaction
		var withdrawals []*types.Withdrawal
		if i > 0 {
			txs, withdrawals = old[i-1].Transactions(), old[i-1].Withdrawals()
		}
		if err := b.mine(max(timestamp, b.tip.Time()+1), txs, withdrawals); err != nil {
			return fmt.Errorf("block %d: %w", b.tip.NumberU64()+1, err)
		}
	}
	return nil
}

// mine adds one block with those of txs that are neither dropped nor impossible without a dropped one.
func (b *branch) mine(timestamp uint64, txs []*types.Transaction, withdrawals []*types.Withdrawal) error {
	var wanted []*types.Transaction
	for _, tx := range txs {
		sender, err := types.Sender(b.chain.pool.signer, tx)
		if err != nil {
			return fmt.Errorf("sender of %s: %w", tx.Hash(), err)
		}
		switch {
		case b.dropped[tx.Hash()]:
			b.gapped[sender] = true
			b.done.Dropped = append(b.done.Dropped, tx.Hash().Hex())
		case b.gapped[sender]:
			b.giveUp(tx)
		default:
			wanted = append(wanted, tx)
		}
	}
	block, refused, err := b.chain.build(b.tip.Header(), timestamp, wanted, withdrawals)
	if err != nil {
		return err
	}
	for _, tx := range refused {
		sender, _ := types.Sender(b.chain.pool.signer, tx) // worked above
		b.gapped[sender] = true
		b.giveUp(tx)
	}
	for _, tx := range block.Transactions() {
		b.done.Remined = append(b.done.Remined, tx.Hash().Hex())
	}
	b.tip = block
	return nil
}

// giveUp leaves a transaction to the pool.
func (b *branch) giveUp(tx *types.Transaction) {
	b.returned = append(b.returned, tx)
	b.done.Returned = append(b.done.Returned, tx.Hash().Hex())
}
