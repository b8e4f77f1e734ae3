package devnet

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/eth/gasestimator"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/holiman/uint256"
)

const (
	callGas     = 50_000_000      // what eth_call may use; geth's own limit
	callTimeout = 5 * time.Second // geth's own
	// estimateErrorRatio lets an estimate stop that far above the least gas; geth's own.
	estimateErrorRatio = 0.015
)

// stateAPI answers for accounts and calls at a block, and takes transactions. The state of the last 128 blocks is
// there.
type stateAPI struct{ c *Chain }

// GetBalance answers eth_getBalance.
func (a stateAPI) GetBalance(account common.Address, at *rpc.BlockNumberOrHash) (*hexutil.Big, error) {
	statedb, _, err := a.state(at)
	if err != nil {
		return nil, err
	}
	return (*hexutil.Big)(statedb.GetBalance(account).ToBig()), statedb.Error()
}

// GetCode answers eth_getCode.
func (a stateAPI) GetCode(account common.Address, at *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	statedb, _, err := a.state(at)
	if err != nil {
		return nil, err
	}
	return statedb.GetCode(account), statedb.Error()
}

// GetStorageAt answers eth_getStorageAt.
func (a stateAPI) GetStorageAt(
	account common.Address, slot hexutil.Big, at *rpc.BlockNumberOrHash,
) (hexutil.Bytes, error) {
	statedb, _, err := a.state(at)
	if err != nil {
		return nil, err
	}
	word := statedb.GetState(account, common.BigToHash(slot.ToInt()))
	return word[:], statedb.Error()
}

// GetTransactionCount answers eth_getTransactionCount; pending counts what waits in the pool.
func (a stateAPI) GetTransactionCount(account common.Address, at *rpc.BlockNumberOrHash) (hexutil.Uint64, error) {
	statedb, _, err := a.state(at)
	if err != nil {
		return 0, err
	}
	if at != nil && at.BlockNumber != nil && *at.BlockNumber == rpc.PendingBlockNumber {
		return hexutil.Uint64(a.c.pool.nonce(account, statedb)), statedb.Error()
	}
	return hexutil.Uint64(statedb.GetNonce(account)), statedb.Error()
}

// SendRawTransaction answers eth_sendRawTransaction.
func (a stateAPI) SendRawTransaction(encoded hexutil.Bytes) (common.Hash, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(encoded); err != nil {
		return common.Hash{}, err
	}
	statedb, err := a.c.blockchain.State()
	if err != nil {
		return common.Hash{}, err
	}
	if err := a.c.pool.add(tx, a.c.blockchain.CurrentBlock(), statedb); err != nil {
		return common.Hash{}, err
	}
	return tx.Hash(), nil
}

// callRequest is what eth_call and eth_estimateGas read of their first argument.
type callRequest struct {
	From                 common.Address    `json:"from"`
	To                   *common.Address   `json:"to"`
	Gas                  *hexutil.Uint64   `json:"gas"`
	GasPrice             *hexutil.Big      `json:"gasPrice"`
	MaxFeePerGas         *hexutil.Big      `json:"maxFeePerGas"`
	MaxPriorityFeePerGas *hexutil.Big      `json:"maxPriorityFeePerGas"`
	Value                *hexutil.Big      `json:"value"`
	Data                 hexutil.Bytes     `json:"data"`
	Input                hexutil.Bytes     `json:"input"` // the newer name of data
	AccessList           *types.AccessList `json:"accessList"`
}

// message is the call as the EVM takes it, with that much gas unless the caller named less. Without fees it costs
// nothing.
func (r callRequest) message(gas uint64, baseFee *big.Int) *core.Message {
	amount := func(n *hexutil.Big) *uint256.Int {
		if n == nil {
			return new(uint256.Int)
		}
		value, _ := n.ToUint256() // hexutil refuses more than 256 bits
		return value
	}
	m := &core.Message{
		From: r.From, To: r.To, Value: amount(r.Value), GasLimit: gas, Data: r.Input,
		GasFeeCap: amount(r.MaxFeePerGas), GasTipCap: amount(r.MaxPriorityFeePerGas), GasPrice: new(uint256.Int),
	}
	if r.Gas != nil && uint64(*r.Gas) < gas {
		m.GasLimit = uint64(*r.Gas)
	}
	if r.Input == nil {
		m.Data = r.Data
	}
	if r.AccessList != nil {
		m.AccessList = *r.AccessList
	}
	switch {
	case r.GasPrice != nil:
		m.GasPrice = amount(r.GasPrice)
		m.GasFeeCap, m.GasTipCap = m.GasPrice, m.GasPrice
	case !m.GasFeeCap.IsZero() || !m.GasTipCap.IsZero():
		m.GasPrice.Add(m.GasTipCap, uint256.MustFromBig(baseFee))
		if m.GasPrice.Gt(m.GasFeeCap) {
			m.GasPrice = m.GasFeeCap
		}
	}
	return m.SkipNonceCheck().SkipEOACheck().SkipGasLimitCapCheck()
}

// Call answers eth_call.
func (a stateAPI) Call(ctx context.Context, r callRequest, at *rpc.BlockNumberOrHash) (hexutil.Bytes, error) {
	statedb, header, err := a.state(at)
	if err != nil {
		return nil, err
	}
	message := r.message(callGas, header.BaseFee)
	block := core.NewEVMBlockContext(header, a.c.blockchain, nil)
	if message.GasPrice.IsZero() {
		block.BaseFee = new(big.Int) // the EVM wants no base fee above what the call pays
	}
	evm := vm.NewEVM(block, statedb, a.c.blockchain.Config(), vm.Config{NoBaseFee: true})
	defer evm.Release()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, evm.Cancel)()
	result, err := core.ApplyMessage(evm, message, core.NewGasPool(callGas))
	switch {
	case statedb.Error() != nil:
		return nil, statedb.Error()
	case evm.Cancelled():
		return nil, fmt.Errorf("execution aborted (timeout = %s)", callTimeout)
	case err != nil:
		return nil, fmt.Errorf("err: %w (supplied gas %d)", err, message.GasLimit)
	case errors.Is(result.Err, vm.ErrExecutionReverted):
		return nil, revertOf(result.Revert())
	}
	return result.Return(), result.Err
}

// EstimateGas answers eth_estimateGas.
func (a stateAPI) EstimateGas(ctx context.Context, r callRequest, at *rpc.BlockNumberOrHash) (hexutil.Uint64, error) {
	statedb, header, err := a.state(at)
	if err != nil {
		return 0, err
	}
	gas, revert, err := gasestimator.Estimate(ctx, r.message(header.GasLimit, header.BaseFee), &gasestimator.Options{
		Config: a.c.blockchain.Config(), Chain: a.c.blockchain, Header: header, State: statedb,
		ErrorRatio: estimateErrorRatio,
	}, callGas)
	if errors.Is(err, vm.ErrExecutionReverted) {
		return 0, revertOf(revert)
	}
	return hexutil.Uint64(gas), err
}

// reverted is a call that its contract refused, with the data that it returned.
type reverted struct {
	error
	data []byte
}

func (e reverted) ErrorCode() int { return 3 }
func (e reverted) ErrorData() any { return hexutil.Encode(e.data) }

func revertOf(data []byte) error {
	if reason, err := abi.UnpackRevert(data); err == nil {
		return reverted{fmt.Errorf("%w: %v", vm.ErrExecutionReverted, reason), data}
	}
	return reverted{vm.ErrExecutionReverted, data}
}

// state is the state after a block, of the head where none is named, and that block's header.
func (a stateAPI) state(at *rpc.BlockNumberOrHash) (*state.StateDB, *types.Header, error) {
	header := a.c.blockchain.CurrentBlock()
	if at != nil {
		var err error
		if header, err = a.c.headerOf(*at); err != nil {
			return nil, nil, err
		}
	}
	statedb, err := a.c.blockchain.StateAt(header.Root, header.Number, header.Time)
	return statedb, header, err
}
