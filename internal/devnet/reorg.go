package devnet

import (
	"fmt"
	"log/slog"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// MaxReorg is the deepest reorganisation, in blocks: geth returns the transactions of a deeper one to nobody.
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
	// it had brought); the node took back into its pool those that may still become valid.
	Returned []string
}

// Reorg replaces the last depth blocks by a branch that is one block longer, in one step: no reader sees the chain shorter than
// it was. The transactions of the replaced blocks are mined again one block later, those named in drop are left out.
// It waits for RPC requests under way and may run beside Run and with transactions in the pool.
//
// It fails, and changes nothing, if depth is not between 1 and MaxReorg or exceeds the head's number, or if a transaction in
// drop is not in the replaced blocks.
func (c *Chain) Reorg(depth int, drop ...string) (Reorganised, error) {
	return c.reorg(drop, func(*types.Header) (int, error) { return depth, nil })
}

// ReorgOut reorganises just as deep as needed to drop the named transactions, however many blocks have been mined on top
// of them meanwhile. It fails as Reorg does.
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
	c.gate.Lock()
	defer c.gate.Unlock()
	c.sealing.Lock()
	defer c.sealing.Unlock()

	chain := c.eth.BlockChain()
	head := chain.CurrentBlock()
	depth, err := choose(head)
	if err != nil {
		return Reorganised{}, fmt.Errorf("reorg: %w", err)
	}
	if depth < 1 || depth > MaxReorg || uint64(depth) > head.Number.Uint64() {
		return Reorganised{}, fmt.Errorf("reorg: depth %d at block %d: want 1 to %d, above block 0", depth, head.Number, MaxReorg)
	}
	old := make([]*types.Block, depth) // oldest first
	for i := range old {
		old[i] = chain.GetBlockByNumber(head.Number.Uint64() - uint64(depth-1-i))
	}
	ancestor := chain.GetBlockByHash(old[0].ParentHash())
	dropped, err := named(drop, old)
	if err != nil {
		return Reorganised{}, fmt.Errorf("reorg of %d blocks: %w", depth, err)
	}

	done := Reorganised{Ancestor: headOf(ancestor), OldHead: headOf(old[depth-1]), Depth: depth}
	signer := types.LatestSignerForChainID(chain.Config().ChainID)
	stranded := make(map[common.Address]bool) // senders with a gap in their nonces on the new branch
	tip := ancestor
	for i := 0; i <= depth; i++ {
		// The branch keeps the old timestamps as far as it can, so that it does not run ahead of the clock.
		timestamp, wanted := uint64(c.now().Unix()), types.Transactions(nil)
		if i < depth {
			timestamp = old[i].Time()
		}
		if i > 0 {
			wanted = old[i-1].Transactions()
		}
		var keep []*types.Transaction
		for _, tx := range wanted {
			sender, err := types.Sender(signer, tx)
			if err != nil {
				return Reorganised{}, fmt.Errorf("reorg: sender of %s: %w", tx.Hash(), err)
			}
			switch {
			case dropped[tx.Hash()]:
				stranded[sender] = true
				done.Dropped = append(done.Dropped, tx.Hash().Hex())
			case stranded[sender]:
				done.Returned = append(done.Returned, tx.Hash().Hex())
			default:
				keep = append(keep, tx)
			}
		}
		block, refused, err := c.buildValid(tip.Hash(), max(timestamp, tip.Time()+1), keep)
		if err != nil {
			return Reorganised{}, fmt.Errorf("reorg: block %d: %w", tip.NumberU64()+1, err)
		}
		for _, tx := range refused {
			sender, _ := types.Sender(signer, tx) // decoded above
			stranded[sender] = true
			done.Returned = append(done.Returned, tx.Hash().Hex())
		}
		for _, tx := range block.Transactions() {
			done.Remined = append(done.Remined, tx.Hash().Hex())
		}
		tip = block
	}
	if err := c.adopt(tip); err != nil {
		return Reorganised{}, fmt.Errorf("reorg: %w", err)
	}
	c.forget(dropped)
	done.NewHead = headOf(tip)
	c.logger.Info("devnet.reorganised", slog.Int("depth", depth), slog.Uint64("block", done.NewHead.Number),
		slog.String("hash", done.NewHead.Hash), slog.Int("remined", len(done.Remined)), slog.Int("dropped", len(done.Dropped)))
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

// buildValid builds a block from txs and, where that fails, from those of them that the state allows.
func (c *Chain) buildValid(parent common.Hash, timestamp uint64, txs []*types.Transaction) (*types.Block, []*types.Transaction, error) {
	block, err := c.build(parent, timestamp, txs, exactList)
	if err == nil || len(txs) == 0 {
		return block, nil, err
	}
	var valid, refused []*types.Transaction
	for _, tx := range txs {
		attempt := append(valid[:len(valid):len(valid)], tx)
		if _, err := c.build(parent, timestamp, attempt, exactList); err != nil {
			refused = append(refused, tx)
			continue
		}
		valid = attempt
	}
	block, err = c.build(parent, timestamp, valid, exactList)
	return block, refused, err
}

// forget removes transactions from the pool, to which geth has returned them with the rest of the replaced blocks. geth only knows
// how to clear the whole pool, so everything else is put back; the gate keeps new arrivals out meanwhile. Clear syncs the pool
// by itself, which nobody else can be doing, as the caller holds gate and sealing.
func (c *Chain) forget(dropped map[common.Hash]bool) {
	if len(dropped) == 0 {
		return
	}
	pool := c.eth.TxPool()
	pending, queued := pool.Content()
	pool.Clear()
	for _, accounts := range []map[common.Address][]*types.Transaction{pending, queued} {
		for _, txs := range accounts {
			var keep []*types.Transaction
			for _, tx := range txs {
				if !dropped[tx.Hash()] {
					keep = append(keep, tx)
				}
			}
			for i, err := range pool.Add(keep, true) {
				if err != nil {
					c.logger.Warn("devnet.transaction_lost", slog.String("tx_hash", keep[i].Hash().Hex()), slog.Any("error", err))
				}
			}
		}
	}
}
