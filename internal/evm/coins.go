package evm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/ctrip-gateway/ctrip/internal/chain"
)

// polygonTopic is keccak256("LogTransfer(address,address,address,uint256,uint256,uint256,uint256,uint256)"), with which
// Polygon tells of each movement of its coin.
var polygonTopic = common.HexToHash("0xe6497e3ee548a3372136af2fcb0696db31fc6cf20260707645068bd3fe97f3c4")

// coinEmitter is a way in which chains write logs about their own coin.
type coinEmitter struct {
	address common.Address
	topic   common.Hash
	from    int // the topic that holds the sender; the recipient is in the next one
	words   int // 32-byte words of data, of which the first is the value
}

// emitterOf is the emitter that a chain has or may get. EIP-7708 is what every chain may get with an upgrade; a block
// that holds one of its logs tells that the upgrade has happened.
func emitterOf(chainID uint64) coinEmitter {
	switch chainID {
	case 137, 80001, 80002: // Polygon and its test networks
		return coinEmitter{common.Address(chain.PolygonEmitter), polygonTopic, 2, 5}
	case 280, 300, 324: // zkSync Era and its test networks
		return coinEmitter{common.Address(chain.ZkSyncEmitter), transferTopic, 1, 1}
	}
	return coinEmitter{common.Address(chain.SystemEmitter), transferTopic, 1, 1}
}

// coin decodes a log of the emitter.
func (e coinEmitter) coin(l wireLog) (chain.Coin, bool) {
	if !e.wrote(l) || len(*l.Topics.v) != e.from+2 || l.Data.v == nil || len(*l.Data.v) != 32*e.words ||
		l.TxHash.v == nil || l.Index.v == nil {
		return chain.Coin{}, false
	}
	topics := *l.Topics.v
	return chain.Coin{
		TxHash: chain.Hash(*l.TxHash.v), LogIndex: int(*l.Index.v),
		From:  chain.Address(common.BytesToAddress(topics[e.from].Bytes())),
		To:    chain.Address(common.BytesToAddress(topics[e.from+1].Bytes())),
		Value: new(big.Int).SetBytes((*l.Data.v)[:32]),
	}, true
}

// wrote reports whether a log is one of the emitter, of whatever shape.
func (e coinEmitter) wrote(l wireLog) bool {
	return l.Address.v != nil && *l.Address.v == e.address &&
		l.Topics.v != nil && len(*l.Topics.v) > 0 && (*l.Topics.v)[0] == e.topic
}

// addCoins gives a block the coin that logs tell of. A block without such a log keeps its transactions as the source,
// since only a chain that writes these logs writes them for every movement.
func (b *readBlock) addCoins(e coinEmitter, logs []wireLog) {
	type location struct {
		tx    chain.Hash
		index int
	}
	seen := make(map[location]bool)
	for _, l := range logs {
		c, ok := e.coin(l)
		at := location{c.TxHash, c.LogIndex}
		if !ok || seen[at] {
			continue
		}
		if _, listed := b.position[common.Hash(c.TxHash)]; !listed {
			continue
		}
		seen[at] = true
		b.Coins, b.CoinsFrom = append(b.Coins, c), chain.FromLog
	}
	slices.SortStableFunc(b.Coins, func(x, y chain.Coin) int {
		return cmp.Or(cmp.Compare(b.order(x.TxHash), b.order(y.TxHash)), cmp.Compare(x.LogIndex, y.LogIndex))
	})
}

// coinLogsMissing reports whether logs about coin should be in a block and are not in the answer: the chain writes
// them, and the block moves coin.
func (p *Pool) coinLogsMissing(b *readBlock) bool {
	since := p.coinLogsSince.Load()
	return since != 0 && b.Number >= since && b.CoinsFrom == "" && len(b.Txs) > 0
}

// noteCoinLogs remembers from which block on the chain writes logs about its coin.
func (p *Pool) noteCoinLogs(blocks []*readBlock) {
	for _, b := range blocks {
		if b.CoinsFrom != chain.FromLog {
			continue
		}
		for {
			since := p.coinLogsSince.Load()
			if since != 0 && since <= b.Number || p.coinLogsSince.CompareAndSwap(since, b.Number) {
				break
			}
		}
	}
}

// completeCoins reads the logs about coin out of the receipts where the list of logs should hold some and does not, and
// traces the blocks that have no such logs.
func (p *Pool) completeCoins(ctx context.Context, n *conn, blocks []*readBlock) error {
	p.noteCoinLogs(blocks)
	var rest []*readBlock
	for _, b := range blocks {
		if p.coinLogsMissing(b) {
			logs, err := p.logsOfReceipts(ctx, n, b)
			switch {
			case err == nil:
				b.addCoins(p.emitter, logs)
			case !errors.Is(err, errNoReceipts):
				return err
			case !p.readOften(b.Hash):
				return fmt.Errorf("%w: block %d %s moves coin, and no log tells of it", ErrUnwitnessed, b.Number, b.Hash)
			}
		}
		if b.CoinsFrom == "" && len(b.position) > 0 {
			rest = append(rest, b)
		}
	}
	return p.addTraces(ctx, n, rest)
}

// saneWithdrawal reports whether the consensus layer can have made a withdrawal: it counts gwei in 64 bits. The record
// has the index where it counts transfers.
func saneWithdrawal(index quantity, gwei *big.Int) bool { return index < 1<<29 && gwei.BitLen() <= 64 }

// withdrawals are the payouts in the body of a block. Those of Gnosis are a token.
func (w *wireBlock) withdrawals(chainID uint64) (all []chain.Withdrawal) {
	if chainID == 100 || chainID == 10200 {
		return nil
	}
	gwei := big.NewInt(1e9)
	for _, x := range w.Withdrawals {
		if x.Index == nil || x.Address.Address == nil || x.Amount == nil || !saneWithdrawal(*x.Index, x.Amount.big()) {
			continue
		}
		all = append(all, chain.Withdrawal{
			Index: uint64(*x.Index), To: chain.Address(*x.Address.Address), Value: new(big.Int).Mul(x.Amount.big(), gwei),
		})
	}
	return all
}
