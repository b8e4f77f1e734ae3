package devnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
)

const (
	maxLogTopics  = 4    // the EVM's own
	maxLogChoices = 1000 // addresses, or topics in one position; geth's own limit
)

// logAPI answers for logs. It has no index: it reads the blocks, which a young chain can afford.
type logAPI struct{ c *Chain }

// logFilter is the argument of eth_getLogs.
type logFilter struct {
	BlockHash *common.Hash     `json:"blockHash"`
	FromBlock *rpc.BlockNumber `json:"fromBlock"`
	ToBlock   *rpc.BlockNumber `json:"toBlock"`
	Address   addresses        `json:"address"`
	Topics    []topics         `json:"topics"`
}

// addresses is one address or a list of them.
type addresses []common.Address

func (a *addresses) UnmarshalJSON(text []byte) error {
	var one *common.Address
	if err := json.Unmarshal(text, &one); err == nil {
		if one != nil {
			*a = addresses{*one}
		}
		return nil
	}
	return json.Unmarshal(text, (*[]common.Address)(a))
}

// topics are the choices for one position; empty means anything.
type topics []common.Hash

func (t *topics) UnmarshalJSON(text []byte) error {
	var one *common.Hash
	if err := json.Unmarshal(text, &one); err == nil {
		if one != nil {
			*t = topics{*one}
		}
		return nil
	}
	var list []*common.Hash
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for _, topic := range list {
		if topic == nil { // "or anything"
			*t = nil
			return nil
		}
		*t = append(*t, *topic)
	}
	return nil
}

// GetLogs answers eth_getLogs.
func (a logAPI) GetLogs(ctx context.Context, f logFilter) ([]*types.Log, error) {
	if len(f.Topics) > maxLogTopics {
		return nil, errors.New("exceed max topics")
	}
	tooMany := func(t topics) bool { return len(t) > maxLogChoices }
	if len(f.Address) > maxLogChoices || slices.ContainsFunc(f.Topics, tooMany) {
		return nil, errors.New("exceed max addresses or topics per search position")
	}
	if f.BlockHash != nil {
		if f.FromBlock != nil || f.ToBlock != nil {
			return nil, invalidParams("can't specify fromBlock/toBlock with blockHash")
		}
		header := a.c.blockchain.GetHeaderByHash(*f.BlockHash)
		if header == nil {
			return nil, errors.New("unknown block")
		}
		return f.of(a.c, header, []*types.Log{})
	}
	first, last, err := f.bounds(a.c)
	if err != nil {
		return nil, err
	}
	logs := []*types.Log{}
	for number := first; number <= last && err == nil; number++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		logs, err = f.of(a.c, a.c.blockchain.GetHeaderByNumber(number), logs)
	}
	return logs, err
}

// bounds are the numbers of the first and the last block asked for.
func (f logFilter) bounds(c *Chain) (first, last uint64, err error) {
	resolve := func(number *rpc.BlockNumber) (uint64, error) {
		switch {
		case number == nil:
			return c.blockchain.CurrentBlock().Number.Uint64(), nil
		case *number == rpc.PendingBlockNumber:
			return 0, invalidParams("pending logs are not supported")
		case *number >= 0:
			return uint64(*number), nil
		}
		header := c.headerByNumber(*number)
		if header == nil {
			return 0, errUnknownNumber
		}
		return header.Number.Uint64(), nil
	}
	if first, err = resolve(f.FromBlock); err != nil {
		return 0, 0, err
	}
	if last, err = resolve(f.ToBlock); err != nil {
		return 0, 0, err
	}
	if first > last {
		return 0, 0, invalidParams("invalid block range params")
	}
	if last > c.blockchain.CurrentBlock().Number.Uint64() {
		return 0, 0, invalidParams("block range extends beyond current head block")
	}
	return first, last, nil
}

// of appends the matching logs of one block. The header's bloom filter spares most blocks from being read.
func (f logFilter) of(c *Chain, header *types.Header, logs []*types.Log) ([]*types.Log, error) {
	if header == nil {
		return nil, errUnknownNumber
	}
	may := func(choices int, has func(i int) bool) bool {
		for i := range choices {
			if has(i) {
				return true
			}
		}
		return choices == 0
	}
	if !may(len(f.Address), func(i int) bool { return types.BloomLookup(header.Bloom, f.Address[i]) }) {
		return logs, nil
	}
	for _, choices := range f.Topics {
		if !may(len(choices), func(i int) bool { return types.BloomLookup(header.Bloom, choices[i]) }) {
			return logs, nil
		}
	}
	receipts := c.blockchain.GetReceiptsByHash(header.Hash())
	if receipts == nil {
		return nil, fmt.Errorf("receipts of block %s are missing", header.Hash())
	}
	for _, receipt := range receipts {
		for _, log := range receipt.Logs {
			if f.matches(log) {
				logs = append(logs, log)
			}
		}
	}
	return logs, nil
}

func (f logFilter) matches(log *types.Log) bool {
	if len(f.Address) > 0 && !slices.Contains(f.Address, log.Address) || len(f.Topics) > len(log.Topics) {
		return false
	}
	for i, choices := range f.Topics {
		if len(choices) > 0 && !slices.Contains(choices, log.Topics[i]) {
			return false
		}
	}
	return true
}
