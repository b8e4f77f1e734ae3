package chain

import "math/big"

// Native is the asset of transfers in the chain's own coin; every other asset is a lower-case contract address.
const Native = "native"

// Transfer is money that a block moves to an address that somebody watches.
type Transfer struct {
	TxHash   Hash // zero for a withdrawal and a balance
	Asset    string
	From, To Address
	Value    *big.Int // more than zero
	// Ordinal counts the transaction's transfers of the same asset to the same recipient, from 0. With the transaction it
	// names the transfer, also when a reorg mines it again under another log index. A withdrawal has its index here.
	Ordinal  int
	LogIndex int // -1 when no log tells of it
	Source   Source
	Witness  string // the provider that told of it too; "" while none did
	// NeedsReceipt is set for the chain's own coin, because a failed transaction is in the block all the same and moves
	// nothing, and for a log that is doubtful.
	NeedsReceipt bool
}

// Same reports whether two readings of a block tell of one transfer. Its place among the transfers of its transaction
// and the index of its log may differ: they depend on what else the reader was told.
func (t Transfer) Same(u Transfer) bool {
	if t.Source == FromWithdrawal || u.Source == FromWithdrawal {
		return t.Source == u.Source && t.Ordinal == u.Ordinal && t.To == u.To && t.Value.Cmp(u.Value) == 0
	}
	return t.TxHash == u.TxHash && t.Asset == u.Asset && t.To == u.To && t.Value.Cmp(u.Value) == 0
}

// Claim is a transfer that a provider is asked about.
type Claim struct {
	Transfer
	// Rank counts the transfers before it in the block that are the same ([Transfer.Same]), from 0.
	Rank int
	// Sum is all coin that the block is said to bring to the recipient; for a transfer in the chain's own coin.
	Sum *big.Int
}

// Claims are the transfers of one block, each with its rank and sum.
func Claims(transfers []Transfer) []Claim {
	claims := make([]Claim, len(transfers))
	sums := make(map[Address]*big.Int)
	for i, t := range transfers {
		claims[i].Transfer = t
		for _, u := range transfers[:i] {
			if u.Same(t) {
				claims[i].Rank++
			}
		}
		if t.Asset == Native {
			if sums[t.To] == nil {
				sums[t.To] = new(big.Int)
			}
			sums[t.To].Add(sums[t.To], t.Value)
		}
	}
	for i, t := range transfers {
		if t.Asset == Native {
			claims[i].Sum = sums[t.To]
		}
	}
	return claims
}

// Difference compares two readings of one block: the claims of the first that the second lacks, and those of the second
// that the first lacks.
func Difference(first, second []Claim) (missing, extra []Claim) {
	lacks := func(of []Claim, c Claim) bool {
		for _, o := range of {
			if o.Rank == c.Rank && o.Same(c.Transfer) {
				return false
			}
		}
		return true
	}
	for _, c := range first {
		if lacks(second, c) {
			missing = append(missing, c)
		}
	}
	for _, c := range second {
		if lacks(first, c) {
			extra = append(extra, c)
		}
	}
	return missing, extra
}

// Answer is what one provider says when it is asked about a transfer.
type Answer struct {
	Provider string `json:"provider"`
	Known    bool   `json:"known"` // it can tell
	Holds    bool   `json:"holds"` // its block holds the transfer
	// Proven says that what it told hashes to the hash of the block.
	Proven bool   `json:"proven,omitempty"`
	Text   string `json:"text"`
}

// Weigh counts the providers that can tell: those that confirm the transfer and those that contradict it. Where one of
// them has proven what it says, only those that have do count, and one of them as much as two that have not.
func Weigh(answers []Answer) (yes, no int) {
	if yes, no = WeighProven(answers); yes+no > 0 {
		return yes, no
	}
	return weigh(answers)
}

// WeighProven counts those that have proven what they say, each twice.
func WeighProven(answers []Answer) (yes, no int) {
	var proven []Answer
	for _, a := range answers {
		if a.Proven {
			proven = append(proven, a)
		}
	}
	yes, no = weigh(proven)
	return 2 * yes, 2 * no
}

func weigh(answers []Answer) (yes, no int) {
	for _, a := range answers {
		switch {
		case a.Known && a.Holds:
			yes++
		case a.Known:
			no++
		}
	}
	return yes, no
}

// series is what an ordinal counts.
type series struct {
	tx    Hash
	asset string
	to    Address
}

// Match returns the transfers of a block to watched addresses, in the order of the block. It looks at every transaction
// and every log once and asks watched about its recipient, so its cost does not depend on how many are watched. The
// emitters of logs about the chain's own coin are never tokens: what they tell of is in Coins.
func Match(b Block, watched func(Address) bool) []Transfer {
	counted := make(map[series]int)
	found := matchCoin(b, watched, counted)
	for _, l := range b.Logs {
		if l.Value.Sign() <= 0 || IsCoinEmitter(l.Contract) || !watched(l.To) {
			continue
		}
		of := series{l.TxHash, l.Contract.Hex(), l.To}
		found = append(found, Transfer{
			TxHash: l.TxHash, Asset: of.asset, From: l.From, To: l.To, Value: l.Value, Source: FromTransaction,
			Ordinal: counted[of], LogIndex: l.LogIndex, NeedsReceipt: l.Doubtful,
		})
		counted[of]++
	}
	return found
}

// matchCoin matches the chain's own coin by the one source that the block has, and withdrawals.
func matchCoin(b Block, watched func(Address) bool, counted map[series]int) (found []Transfer) {
	coins, source := b.Coins, b.CoinsFrom
	if source == "" {
		coins, source = nil, FromTransaction
		for _, tx := range b.Txs {
			if tx.To != nil {
				coins = append(coins, Coin{TxHash: tx.Hash, From: tx.From, To: *tx.To, Value: tx.Value, LogIndex: -1})
			}
		}
	}
	for _, c := range coins {
		if c.Value.Sign() <= 0 || c.From == c.To || !watched(c.To) {
			continue
		}
		of := series{c.TxHash, Native, c.To}
		found = append(found, Transfer{
			TxHash: c.TxHash, Asset: Native, From: c.From, To: c.To, Value: c.Value, Source: source,
			Ordinal: counted[of], LogIndex: c.LogIndex, NeedsReceipt: true,
		})
		counted[of]++
	}
	for _, w := range b.Withdrawals {
		if w.Value.Sign() > 0 && watched(w.To) {
			found = append(found, Transfer{
				Asset: Native, To: w.To, Value: w.Value, Ordinal: int(w.Index), LogIndex: -1, Source: FromWithdrawal,
			})
		}
	}
	return found
}

// IsCoinEmitter reports whether an address is where a chain's logs about its own coin come from: that of EIP-7708, of
// Polygon or of zkSync.
func IsCoinEmitter(a Address) bool {
	return a == SystemEmitter || a == PolygonEmitter || a == ZkSyncEmitter
}

// Emitters of logs about a chain's own coin.
var (
	SystemEmitter  = mustAddress("0xfffffffffffffffffffffffffffffffffffffffe") // EIP-7708
	PolygonEmitter = mustAddress("0x0000000000000000000000000000000000001010")
	ZkSyncEmitter  = mustAddress("0x000000000000000000000000000000000000800a")
)

func mustAddress(s string) Address {
	a, err := ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// AccountAnswer is what one provider says of an account after a block.
type AccountAnswer struct {
	Provider string
	Coin     *big.Int
	Nonce    uint64
	HasCode  bool
	Err      error // the provider cannot tell
}
