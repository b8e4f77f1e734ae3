package devnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

// blockAPI answers for blocks, transactions and receipts, in the form that geth gives them. Its methods are called by
// reflection; every caller holds the chain's lock.
type blockAPI struct{ c *Chain }

// ChainId answers eth_chainId.
func (a blockAPI) ChainId() *hexutil.Big { return (*hexutil.Big)(big.NewInt(ChainID)) }

// BlockNumber answers eth_blockNumber.
func (a blockAPI) BlockNumber() hexutil.Uint64 {
	return hexutil.Uint64(a.c.blockchain.CurrentBlock().Number.Uint64())
}

// Syncing answers eth_syncing: there is nobody to sync with.
func (a blockAPI) Syncing() bool { return false }

// GetBlockByNumber answers eth_getBlockByNumber; null for what there is not, the pending block among it.
func (a blockAPI) GetBlockByNumber(number rpc.BlockNumber, full bool) (any, error) {
	if number == rpc.PendingBlockNumber {
		return nil, nil
	}
	header := a.c.headerByNumber(number)
	if header == nil {
		return nil, nil
	}
	return a.GetBlockByHash(header.Hash(), full)
}

// GetBlockByHash answers eth_getBlockByHash, for blocks of replaced branches too.
func (a blockAPI) GetBlockByHash(hash common.Hash, full bool) (any, error) {
	block := a.c.blockchain.GetBlockByHash(hash)
	if block == nil {
		return nil, nil
	}
	txs := make([]any, len(block.Transactions()))
	for i, tx := range block.Transactions() {
		txs[i] = tx.Hash()
		if full {
			var err error
			if txs[i], err = a.transaction(tx, block.Header(), i); err != nil {
				return nil, err
			}
		}
	}
	return fields(block.Header(), map[string]any{
		"size": hexutil.Uint64(block.Size()), "transactions": txs,
		"uncles": []common.Hash{}, "withdrawals": block.Withdrawals(),
	})
}

// GetBlockReceipts answers eth_getBlockReceipts.
func (a blockAPI) GetBlockReceipts(at rpc.BlockNumberOrHash) (any, error) {
	header, err := a.c.headerOf(at)
	if errors.Is(err, errUnknownHash) || errors.Is(err, errUnknownNumber) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block := a.c.blockchain.GetBlockByHash(header.Hash())
	receipts := a.c.blockchain.GetReceiptsByHash(header.Hash())
	if block == nil || len(block.Transactions()) != len(receipts) {
		return nil, fmt.Errorf("receipts of block %s are missing", header.Hash())
	}
	answers := make([]any, len(receipts))
	for i, receipt := range receipts {
		if answers[i], err = a.receipt(receipt, block.Transactions()[i]); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

// GetTransactionByHash answers eth_getTransactionByHash, for transactions that wait in the pool too.
func (a blockAPI) GetTransactionByHash(hash common.Hash) (any, error) {
	if lookup, tx := a.c.blockchain.GetCanonicalTransaction(hash); lookup != nil {
		return a.transaction(tx, a.c.blockchain.GetHeaderByHash(lookup.BlockHash), int(lookup.Index))
	}
	if tx := a.c.pool.get(hash); tx != nil {
		return a.transaction(tx, nil, 0)
	}
	return nil, nil
}

// GetTransactionReceipt answers eth_getTransactionReceipt.
func (a blockAPI) GetTransactionReceipt(hash common.Hash) (any, error) {
	lookup, tx := a.c.blockchain.GetCanonicalTransaction(hash)
	if lookup == nil {
		return nil, nil
	}
	receipts := a.c.blockchain.GetReceiptsByHash(lookup.BlockHash)
	if uint64(len(receipts)) <= lookup.Index {
		return nil, fmt.Errorf("receipt of %s is missing", hash)
	}
	return a.receipt(receipts[lookup.Index], tx)
}

// transaction is a transaction as JSON-RPC gives it: in its block, or waiting where block is nil.
func (a blockAPI) transaction(tx *types.Transaction, block *types.Header, index int) (any, error) {
	sender, err := types.Sender(a.c.pool.signer, tx)
	if err != nil {
		return nil, fmt.Errorf("sender of %s: %w", tx.Hash(), err)
	}
	more := map[string]any{
		"from": sender, "gasPrice": (*hexutil.Big)(tx.GasFeeCap()),
		"blockHash": nil, "blockNumber": nil, "blockTimestamp": nil, "transactionIndex": nil,
	}
	if block != nil {
		price, err := effectiveGasPrice(tx, block.BaseFee)
		if err != nil {
			return nil, err
		}
		more["gasPrice"] = (*hexutil.Big)(price)
		more["blockHash"], more["blockNumber"] = block.Hash(), (*hexutil.Big)(block.Number)
		more["blockTimestamp"], more["transactionIndex"] = hexutil.Uint64(block.Time), hexutil.Uint64(index)
	}
	if tx.Type() == types.LegacyTxType {
		return fields(tx, more, "maxFeePerGas", "maxPriorityFeePerGas", "yParity", "accessList")
	}
	return fields(tx, more)
}

// effectiveGasPrice is what a transaction pays for a unit of gas in a block with that base fee.
func effectiveGasPrice(tx *types.Transaction, baseFee *big.Int) (*big.Int, error) {
	tip, err := tx.EffectiveGasTip(baseFee)
	if err != nil {
		return nil, fmt.Errorf("price of %s: %w", tx.Hash(), err)
	}
	return tip.Add(tip, baseFee), nil
}

// receipt is a receipt as JSON-RPC gives it.
func (a blockAPI) receipt(receipt *types.Receipt, tx *types.Transaction) (any, error) {
	sender, err := types.Sender(a.c.pool.signer, tx)
	if err != nil {
		return nil, fmt.Errorf("sender of %s: %w", tx.Hash(), err)
	}
	more := map[string]any{"from": sender, "to": tx.To(), "contractAddress": nil}
	if receipt.ContractAddress != (common.Address{}) {
		more["contractAddress"] = receipt.ContractAddress
	}
	if receipt.Logs == nil {
		more["logs"] = []*types.Log{}
	}
	return fields(receipt, more, "root")
}

// fields is the JSON of value, as go-ethereum writes it, with more fields and without others.
func fields(value any, more map[string]any, without ...string) (map[string]any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	all := make(map[string]any, len(raw)+len(more))
	for name, field := range raw {
		if string(field) != "null" {
			all[name] = field
		}
	}
	maps.Copy(all, more)
	if _, is := value.(*types.Transaction); is && all["to"] == nil {
		all["to"] = nil // of a creation
	}
	for _, name := range without {
		delete(all, name)
	}
	return all, nil
}

// headerByNumber is the header that a number or a tag names, or nil. Pending is the head: no block is made in advance.
func (c *Chain) headerByNumber(number rpc.BlockNumber) *types.Header {
	switch number {
	case rpc.LatestBlockNumber, rpc.PendingBlockNumber:
		return c.blockchain.CurrentBlock()
	case rpc.SafeBlockNumber:
		return c.blockchain.CurrentSafeBlock()
	case rpc.FinalizedBlockNumber:
		return c.blockchain.CurrentFinalBlock()
	case rpc.EarliestBlockNumber:
		return c.blockchain.Genesis().Header()
	}
	if number < 0 {
		return nil
	}
	return c.blockchain.GetHeaderByNumber(uint64(number))
}

// What geth says of blocks that there are not.
var (
	errUnknownNumber = errors.New("header not found")
	errUnknownHash   = errors.New("header for hash not found")
	errNotCanonical  = errors.New("hash is not currently canonical")
)

// headerOf is the header that a number, a tag or a hash names (EIP-1898).
func (c *Chain) headerOf(at rpc.BlockNumberOrHash) (*types.Header, error) {
	if number, ok := at.Number(); ok {
		if header := c.headerByNumber(number); header != nil {
			return header, nil
		}
		return nil, errUnknownNumber
	}
	hash, ok := at.Hash()
	if !ok {
		return nil, errors.New("invalid arguments; neither block nor hash specified")
	}
	header := c.blockchain.GetHeaderByHash(hash)
	if header == nil {
		return nil, errUnknownHash
	}
	if at.RequireCanonical && c.blockchain.GetCanonicalHash(header.Number.Uint64()) != hash {
		return nil, errNotCanonical
	}
	return header, nil
}
