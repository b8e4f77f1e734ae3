package evm

import (
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rlp"
)

// fullReceipt is everything in a receipt that the root of the receipts may cover.
type fullReceipt struct {
	TxHash         *common.Hash   `json:"transactionHash"`
	BlockHash      *common.Hash   `json:"blockHash"`
	Type           quantity       `json:"type"`
	Status         *quantity      `json:"status"`
	Root           *hexutil.Bytes `json:"root"` // in place of a status, before Byzantium
	Cumulative     quantity       `json:"cumulativeGasUsed"`
	Bloom          bloom          `json:"logsBloom"`
	Logs           []wireLog      `json:"logs"`
	DepositNonce   *quantity      `json:"depositNonce"`
	DepositVersion *quantity      `json:"depositReceiptVersion"`
	BaseFee        *bigQuantity   `json:"baseFee"`
}

// encode returns the bytes that the root of the receipts covers: the four fields of Ethereum behind the type. A deposit
// of the OP stack has two more since Canyon, and a transaction of Celo that pays its fee in a token has one more.
func (r *fullReceipt) encode() ([]byte, error) {
	var outcome []byte
	switch {
	case r.Status != nil && *r.Status == 1:
		outcome = []byte{1}
	case r.Status != nil:
	case r.Root != nil && len(*r.Root) == common.HashLength:
		outcome = *r.Root
	default:
		return nil, fmt.Errorf("%w: a receipt without a status", errNoEncoding)
	}
	logs := make([]*types.Log, len(r.Logs))
	for i, l := range r.Logs {
		if l.Address.v == nil || l.Topics.v == nil || l.Data.v == nil {
			return nil, fmt.Errorf("%w: a log without address, topics or data", errNoEncoding)
		}
		logs[i] = &types.Log{Address: *l.Address.v, Topics: *l.Topics.v, Data: *l.Data.v}
	}
	filter := r.Bloom.Bloom
	if filter == nil {
		f := types.CreateBloom(&types.Receipt{Logs: logs})
		filter = &f
	}
	fields := []any{outcome, uint64(r.Cumulative), filter, logs}
	switch {
	case r.Type == typeDeposit && r.DepositVersion != nil:
		nonce := quantity(0)
		if r.DepositNonce != nil {
			nonce = *r.DepositNonce
		}
		fields = append(fields, uint64(nonce), uint64(*r.DepositVersion))
	case r.Type == typeCelo && r.BaseFee != nil:
		fields = append(fields, r.BaseFee.big())
	}
	raw, err := rlp.EncodeToBytes(fields)
	if err != nil || r.Type == 0 {
		return raw, err
	}
	if r.Type > 0x7f {
		return nil, fmt.Errorf("%w: a receipt of type 0x%x", errNoEncoding, uint64(r.Type))
	}
	return append([]byte{byte(r.Type)}, raw...), nil
}
