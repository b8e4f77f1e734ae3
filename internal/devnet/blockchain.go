package devnet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/beacon"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/consensus/misc/eip4844"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/params"
)

const (
	// blockGasLimit is what one block may use, as on Ethereum's main network.
	blockGasLimit = 60_000_000
	// finalizedEvery is the number of blocks after which the "finalized" tag moves, as in geth's own development mode.
	finalizedEvery = 32
)

// newBlockChain opens geth's blockchain on a memory database. There is no node around it: no peers, no consensus
// client, no pool of geth's, which keeps what the first run has to compile small.
func newBlockChain(genesisTime time.Time, funded map[common.Address]*big.Int) (*core.BlockChain, error) {
	alloc := core.SystemContractAllocs()
	for address, wei := range funded {
		alloc[address] = types.Account{Balance: wei}
	}
	config := *params.AllDevChainProtocolChanges
	config.ChainID = big.NewInt(ChainID)
	config.BogotaTime = nil // a fork that is not finished: stop at the one before it
	genesis := &core.Genesis{
		Config: &config, Timestamp: uint64(genesisTime.Unix()), GasLimit: blockGasLimit, Alloc: alloc,
	}
	options := core.DefaultConfig()
	options.TrieCleanLimit, options.TrieDirtyLimit, options.SnapshotLimit = 16, 16, 0 // megabytes; no snapshots
	options.NoPrefetch = true
	options.SlowBlockThreshold = -1
	blockchain, err := core.NewBlockChain(rawdb.NewMemoryDatabase(), genesis, beacon.New(ethash.NewFaker()), options)
	if err != nil {
		return nil, fmt.Errorf("new blockchain: %w", err)
	}
	return blockchain, nil
}

// build makes a block on parent out of txs and stores it beside the canonical branch. A transaction that the state does
// not allow, or that no longer fits, is left out and returned. Each block is unique, even with the same parent, time
// and transactions. The caller holds the mining lock.
func (c *Chain) build(
	parent *types.Header, timestamp uint64, txs []*types.Transaction, withdrawals []*types.Withdrawal,
) (block *types.Block, refused []*types.Transaction, err error) {
	header, err := c.newHeader(parent, timestamp)
	if err != nil {
		return nil, nil, err
	}
	statedb, err := c.blockchain.StateAt(parent.Root, parent.Number, parent.Time)
	if err != nil {
		return nil, nil, fmt.Errorf("state of block %d: %w", parent.Number, err)
	}
	config := c.blockchain.Config()
	evm := vm.NewEVM(core.NewEVMBlockContext(header, c.blockchain, &header.Coinbase), statedb, config, vm.Config{})
	defer evm.Release()
	ctx := context.Background()
	core.PreExecution(ctx, header.ParentBeaconRoot, parent, config, evm, header.Number, header.Time)

	// Never nil: since Shanghai a block without withdrawals has an empty list of them.
	body := &types.Body{Withdrawals: append([]*types.Withdrawal{}, withdrawals...)}
	var receipts []*types.Receipt
	var logs []*types.Log
	gas := core.NewGasPool(header.GasLimit)
	for _, tx := range txs {
		receipt, err := applyTransaction(ctx, evm, gas, statedb, header, tx, len(body.Transactions))
		if err != nil {
			refused = append(refused, tx)
			continue
		}
		header.GasUsed = gas.Used()
		body.Transactions = append(body.Transactions, tx)
		receipts = append(receipts, receipt)
		logs = append(logs, receipt.Logs...)
	}
	requests, _, err := core.PostExecution(ctx, config, header.Number, header.Time, logs, body.Withdrawals, evm,
		uint32(len(body.Transactions)+1))
	if err != nil {
		return nil, nil, fmt.Errorf("after the transactions: %w", err)
	}
	hash := types.CalcRequestsHash(requests)
	header.RequestsHash = &hash
	c.blockchain.Engine().Finalize(c.blockchain, header, statedb, body)
	block = core.AssembleBlock(c.blockchain, header, statedb, body, receipts, nil)
	if err := statedb.Error(); err != nil {
		return nil, nil, fmt.Errorf("state: %w", err)
	}
	// This carries out the block once more and compares every root, so a mistake above shows here.
	if _, err := c.blockchain.InsertBlockWithoutSetHead(ctx, block, false); err != nil {
		return nil, nil, fmt.Errorf("insert: %w", err)
	}
	return block, refused, nil
}

// applyTransaction carries out one transaction, or leaves state and gas as they were.
func applyTransaction(ctx context.Context, evm *vm.EVM, gas *core.GasPool, statedb *state.StateDB, header *types.Header,
	tx *types.Transaction, index int) (*types.Receipt, error) {
	before, gasBefore := statedb.Snapshot(), gas.Snapshot()
	statedb.SetTxContext(tx.Hash(), index, uint32(index+1))
	receipt, _, err := core.ApplyTransaction(ctx, evm, gas, statedb, header, tx)
	if err != nil {
		statedb.RevertToSnapshot(before)
		gas.Set(gasBefore)
		return nil, err
	}
	return receipt, nil
}

// newHeader is the header of a block on parent before anything is carried out in it.
func (c *Chain) newHeader(parent *types.Header, timestamp uint64) (*types.Header, error) {
	config := c.blockchain.Config()
	header := &types.Header{
		ParentHash: parent.Hash(),
		Number:     new(big.Int).Add(parent.Number, common.Big1),
		Time:       timestamp,
		GasLimit:   blockGasLimit,
		BaseFee:    eip1559.CalcBaseFee(config, parent),
		Extra:      []byte("ctrip-devnet"),

		BlobGasUsed:      new(uint64),
		ParentBeaconRoot: new(common.Hash),
	}
	excess := eip4844.CalcExcessBlobGas(config, parent, timestamp)
	header.ExcessBlobGas = &excess
	if _, err := rand.Read(header.MixDigest[:]); err != nil {
		return nil, fmt.Errorf("randomness: %w", err)
	}
	if err := c.blockchain.Engine().Prepare(c.blockchain, header); err != nil {
		return nil, fmt.Errorf("prepare header: %w", err)
	}
	return header, nil
}

// adopt makes block, which is stored already, the head of the canonical branch, moves the safe and finalized tags and
// lets the pool know. returned go back into the pool if they are still valid. No request is served meanwhile. The
// caller holds the mining lock.
func (c *Chain) adopt(block *types.Block, returned []*types.Transaction) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.blockchain.SetCanonical(block); err != nil {
		return fmt.Errorf("set head: %w", err)
	}
	c.blockchain.SetSafe(block.Header())
	c.blockchain.SetFinalized(c.blockchain.GetHeaderByNumber(block.NumberU64() / finalizedEvery * finalizedEvery))
	statedb, err := c.blockchain.State()
	if err != nil {
		return fmt.Errorf("state of the new head: %w", err)
	}
	for _, tx := range returned {
		_ = c.pool.add(tx, block.Header(), statedb) // what is no longer valid has no place in the pool
	}
	c.pool.prune(statedb)
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// receipt is nil, without an error, while the canonical branch does not hold the transaction. The caller holds c.mu or
// the mining lock.
func (c *Chain) receipt(hash common.Hash) (*Mined, error) {
	lookup, _ := c.blockchain.GetCanonicalTransaction(hash)
	if lookup == nil {
		return nil, nil
	}
	block := c.blockchain.GetBlock(lookup.BlockHash, lookup.BlockIndex)
	receipts := c.blockchain.GetReceiptsByHash(lookup.BlockHash)
	if block == nil || uint64(len(receipts)) <= lookup.Index {
		return nil, errors.New("receipt of " + hash.Hex() + " is missing")
	}
	r := receipts[lookup.Index]
	return &Mined{
		TxHash:   hash.Hex(),
		Block:    headOf(block),
		Reverted: r.Status != types.ReceiptStatusSuccessful,
		contract: r.ContractAddress,
	}, nil
}
