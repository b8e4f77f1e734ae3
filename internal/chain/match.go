package chain

import "math/big"

// Native is the asset of transfers in the chain's own coin; every other asset is a lower-case contract address.
const Native = "native"

// Transfer is money that a block moves to an address that somebody watches.
type Transfer struct {
	TxHash   Hash
	Asset    string
	From, To Address
	Value    *big.Int // more than zero
	// Ordinal counts the transaction's transfers of the same asset to the same recipient, from 0. With the transaction it
	// names the transfer, also when a reorg mines it again under another log index.
	Ordinal  int
	LogIndex int // -1 for the chain's own coin
	// NeedsReceipt is set for the chain's own coin, because a failed transaction is in the block all the same and moves
	// nothing, and for a log that is doubtful.
	NeedsReceipt bool
}

// Match returns the transfers of a block to watched addresses, in the order of the block. It looks at every transaction
// and every log once and asks watched about its recipient, so its cost does not depend on how many are watched. The
// system address of EIP-7708, which repeats the movements of the chain's own coin as logs, is never a token.
func Match(b Block, watched func(Address) bool) []Transfer {
	var found []Transfer
	for _, tx := range b.Txs {
		if tx.To != nil && tx.Value.Sign() > 0 && watched(*tx.To) {
			found = append(found, Transfer{
				TxHash: tx.Hash, Asset: Native, From: tx.From, To: *tx.To, Value: tx.Value, LogIndex: -1, NeedsReceipt: true,
			})
		}
	}
	type series struct { // what an ordinal counts
		tx           Hash
		contract, to Address
	}
	counted := make(map[series]int)
	for _, l := range b.Logs {
		if l.Value.Sign() <= 0 || l.Contract == systemAddress || !watched(l.To) {
			continue
		}
		of := series{l.TxHash, l.Contract, l.To}
		found = append(found, Transfer{
			TxHash: l.TxHash, Asset: l.Contract.Hex(), From: l.From, To: l.To, Value: l.Value,
			Ordinal: counted[of], LogIndex: l.LogIndex, NeedsReceipt: l.Doubtful,
		})
		counted[of]++
	}
	return found
}

// systemAddress is the emitter of EIP-7708.
var systemAddress = func() Address {
	var a Address
	for i := range a {
		a[i] = 0xff
	}
	a[19] = 0xfe
	return a
}()
