package devnet

import (
	"context"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth/gasprice"
	"github.com/ethereum/go-ethereum/event"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
)

// feeAPI tells wallets what to pay, by geth's own oracle.
type feeAPI struct {
	c      *Chain
	oracle *gasprice.Oracle
}

func newFeeAPI(c *Chain) feeAPI {
	return feeAPI{c, gasprice.NewOracle(feeSource{c}, gasprice.Config{
		Blocks: 20, Percentile: 60, MaxHeaderHistory: 1024, MaxBlockHistory: 1024,
		MaxPrice: gasprice.DefaultMaxPrice, IgnorePrice: gasprice.DefaultIgnorePrice,
	}, big.NewInt(params.GWei))}
}

// GasPrice answers eth_gasPrice.
func (a feeAPI) GasPrice(ctx context.Context) (*hexutil.Big, error) {
	tip, err := a.oracle.SuggestTipCap(ctx)
	if err != nil {
		return nil, err
	}
	return (*hexutil.Big)(tip.Add(tip, a.c.blockchain.CurrentBlock().BaseFee)), nil
}

// MaxPriorityFeePerGas answers eth_maxPriorityFeePerGas.
func (a feeAPI) MaxPriorityFeePerGas(ctx context.Context) (*hexutil.Big, error) {
	tip, err := a.oracle.SuggestTipCap(ctx)
	return (*hexutil.Big)(tip), err
}

// feeHistory is the answer to eth_feeHistory.
type feeHistory struct {
	OldestBlock       *hexutil.Big     `json:"oldestBlock"`
	Reward            [][]*hexutil.Big `json:"reward,omitempty"`
	BaseFeePerGas     []*hexutil.Big   `json:"baseFeePerGas,omitempty"`
	GasUsedRatio      []float64        `json:"gasUsedRatio"`
	BaseFeePerBlobGas []*hexutil.Big   `json:"baseFeePerBlobGas,omitempty"`
	BlobGasUsedRatio  []float64        `json:"blobGasUsedRatio,omitempty"`
}

// FeeHistory answers eth_feeHistory.
func (a feeAPI) FeeHistory(
	ctx context.Context, blocks math.HexOrDecimal64, last rpc.BlockNumber, percentiles []float64,
) (*feeHistory, error) {
	oldest, reward, baseFee, gasUsed, blobFee, blobUsed, err := a.oracle.FeeHistory(ctx, uint64(blocks), last, percentiles)
	if err != nil {
		return nil, err
	}
	answer := &feeHistory{
		OldestBlock: (*hexutil.Big)(oldest), BaseFeePerGas: hexNumbers(baseFee), GasUsedRatio: gasUsed,
		BaseFeePerBlobGas: hexNumbers(blobFee), BlobGasUsedRatio: blobUsed,
	}
	for _, of := range reward {
		answer.Reward = append(answer.Reward, hexNumbers(of))
	}
	return answer, nil
}

func hexNumbers(numbers []*big.Int) []*hexutil.Big {
	list := make([]*hexutil.Big, len(numbers))
	for i, n := range numbers {
		list[i] = (*hexutil.Big)(n)
	}
	return list
}

// feeSource is the chain as the oracle reads it.
type feeSource struct{ c *Chain }

func (s feeSource) HeaderByNumber(_ context.Context, number rpc.BlockNumber) (*types.Header, error) {
	return s.c.headerByNumber(number), nil
}

func (s feeSource) BlockByNumber(_ context.Context, number rpc.BlockNumber) (*types.Block, error) {
	header := s.c.headerByNumber(number)
	if header == nil {
		return nil, nil
	}
	return s.c.blockchain.GetBlockByHash(header.Hash()), nil
}

func (s feeSource) GetReceipts(_ context.Context, hash common.Hash) (types.Receipts, error) {
	return s.c.blockchain.GetReceiptsByHash(hash), nil
}

func (s feeSource) Pending() (*types.Block, types.Receipts, *state.StateDB) { return nil, nil, nil }
func (s feeSource) ChainConfig() *params.ChainConfig                        { return s.c.blockchain.Config() }

func (s feeSource) SubscribeChainHeadEvent(heads chan<- core.ChainHeadEvent) event.Subscription {
	return s.c.blockchain.SubscribeChainHeadEvent(heads)
}
