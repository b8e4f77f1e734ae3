package scanner

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/config"
	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Kinds of a [Difference].
const (
	// DiffBlock: the provider has another block at the height than is recorded.
	DiffBlock = "block"
	// DiffMissing: the transfer is recorded, and the provider's block does not hold it.
	DiffMissing = "missing"
	// DiffUnrecorded: the provider's block holds the transfer, and it is not recorded.
	DiffUnrecorded = "unrecorded"
)

const (
	// maxDifferences is how many differences one audit tells of; it ends with the block that brings it there.
	maxDifferences = 200
	// maxReads is how often a block is read that nothing but the answer itself says is empty.
	maxReads = 3
)

// Difference is something in which a provider and the record contradict each other.
type Difference struct {
	Kind      string `json:"kind"`
	Block     uint64 `json:"block_number"`
	BlockHash string `json:"block_hash"` // as the provider has it
	PaymentID string `json:"payment_id"`
	TxHash    string `json:"tx_hash"`
	Asset     string `json:"asset"`
	Recipient string `json:"recipient"`
	Amount    string `json:"amount"`
	Text      string `json:"text"`
}

// Audited is what an independent reading of recorded blocks came to.
type Audited struct {
	Blocks, Transfers int
	// Unknown are transfers of which the provider cannot tell whether they happened, as one that does not trace cannot of
	// coin that a contract sent.
	Unknown     int
	Differences []Difference
	Next        uint64 // the block to go on from; 0 when the range was read whole
}

// Audit has a source read recorded blocks by itself and holds its transfers against the record. It changes nothing. It
// ends early when half of the time that ctx leaves is over.
func Audit(ctx context.Context, c config.Chain, source Source, st *store.Store, from, to uint64) (Audited, error) {
	a := audit{chain: c, source: source, store: st, watch: newWatchSet()}
	half := halfway(ctx)
	for next := from; next <= to; next += maxWindow {
		if next > from && !half.IsZero() && time.Now().After(half) {
			a.done.Next = next
			return a.done, nil
		}
		upTo := min(to, next+maxWindow-1)
		blocks, err := a.read(ctx, next, upTo)
		if err != nil {
			return a.done, err
		}
		if next == from {
			if err := a.watch.refresh(ctx, st, blocks[0].Time); err != nil {
				return a.done, err
			}
		}
		if err := a.window(ctx, blocks); err != nil {
			return a.done, err
		}
		if last := blocks[len(blocks)-1].Number; a.full() && last < to {
			a.done.Next = last + 1
			return a.done, nil
		}
	}
	return a.done, nil
}

// halfway is when half of the time that a context leaves is over, so that there is time to answer; zero without an end.
func halfway(ctx context.Context) time.Time {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return time.Now().Add(time.Until(end) / 2)
}

type audit struct {
	chain  config.Chain
	source Source
	store  *store.Store
	watch  *watchSet
	done   Audited
}

func (a *audit) full() bool { return len(a.done.Differences) >= maxDifferences }

// read reads a range together, or block by block where that does not work: nothing but the answer itself may say that a
// block is empty, and then it is believed after it was read several times.
func (a *audit) read(ctx context.Context, from, to uint64) ([]chain.Block, error) {
	blocks, err := a.source.Blocks(ctx, from, to)
	if err == nil || ctx.Err() != nil {
		return blocks, err
	}
	blocks = nil
	for n := from; n <= to; n++ {
		var b chain.Block
		for try := 0; try < maxReads; try++ {
			if b, err = a.source.Block(ctx, n); err == nil || ctx.Err() != nil {
				break
			}
		}
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func (a *audit) window(ctx context.Context, blocks []chain.Block) error {
	first, last := blocks[0].Number, blocks[len(blocks)-1].Number
	recorded, err := a.store.BlocksBetween(ctx, a.chain.ChainID, first, last, maxWindow)
	if err != nil {
		return err
	}
	hashes := make(map[uint64]string, len(recorded))
	for _, b := range recorded {
		hashes[b.Number] = b.Hash
	}
	rows, err := a.store.TransfersIn(ctx, a.chain.ChainID, first, last)
	if err != nil {
		return err
	}
	byBlock := make(map[uint64][]models.Transfer)
	for _, row := range rows {
		byBlock[row.BlockNumber] = append(byBlock[row.BlockNumber], row)
		hashes[row.BlockNumber] = row.BlockHash
	}
	for _, b := range blocks {
		a.done.Blocks++
		if ours, known := hashes[b.Number]; known && ours != b.Hash.Hex() {
			a.done.Differences = append(a.done.Differences, Difference{Kind: DiffBlock, Block: b.Number,
				BlockHash: b.Hash.Hex(), Text: fmt.Sprintf("recorded is %s, with %d transfers", ours, len(byBlock[b.Number]))})
			continue
		}
		if err := a.block(ctx, b, byBlock[b.Number]); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// block holds the transfers of one block against those that are recorded in it.
func (a *audit) block(ctx context.Context, b chain.Block, rows []models.Transfer) error {
	ours := make([]chain.Transfer, len(rows))
	paid := make(map[chain.Address]bool, len(rows))
	for i, row := range rows {
		t, err := payments.TransferOf(row)
		if err != nil {
			return err
		}
		ours[i], paid[t.To] = t, true
	}
	theirs := chain.Match(b, func(to chain.Address) bool { return paid[to] || a.watch.contains(to) })
	a.done.Transfers += len(theirs)
	missing, extra := chain.Difference(chain.Claims(ours), chain.Claims(theirs))
	for _, c := range missing {
		if err := a.judge(ctx, b, c, DiffMissing); err != nil {
			return err
		}
	}
	for _, c := range extra {
		if watched, err := watchedThen(ctx, a.store, c.To, b.Time); err != nil {
			return err
		} else if !watched {
			continue
		}
		if err := a.judge(ctx, b, c, DiffUnrecorded); err != nil {
			return err
		}
	}
	return nil
}

// judge asks the source about a transfer that its block seems to lack, or to have beyond the record.
func (a *audit) judge(ctx context.Context, b chain.Block, c chain.Claim, kind string) error {
	yes, no := chain.Weigh(a.source.Ask(ctx, b.Ref(), c))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case yes == 0 && no == 0:
		a.done.Unknown++
		return nil
	case kind == DiffMissing && yes > 0, kind == DiffUnrecorded && yes == 0: // it tells so when it is asked for that alone
		return nil
	}
	d := Difference{Kind: kind, Block: b.Number, BlockHash: b.Hash.Hex(), Asset: c.Asset, Recipient: c.To.Hex(),
		Amount: c.Value.String()}
	if c.TxHash != (chain.Hash{}) {
		d.TxHash = c.TxHash.Hex()
	}
	ps, err := a.store.PaymentsAt(ctx, []string{c.To.Hex()})
	if err != nil {
		return err
	}
	if len(ps) > 0 {
		d.PaymentID = ps[0].ID
	}
	if kind == DiffUnrecorded && c.Asset == chain.Native && len(ps) > 0 {
		byBalance, err := a.foundByBalance(ctx, ps[0].ID, b.Number)
		if err != nil || byBalance {
			return err
		}
	}
	d.Text = "recorded, and the provider's block does not hold it"
	if kind == DiffUnrecorded {
		d.Text = "the provider's block holds it, and it is not recorded"
	}
	a.done.Differences = append(a.done.Differences, d)
	return nil
}

// foundByBalance reports whether coin of a payment is recorded by a balance at or after a block: it may be the same
// coin.
func (a *audit) foundByBalance(ctx context.Context, paymentID string, block uint64) (bool, error) {
	all, err := a.store.TransfersOf(ctx, []string{paymentID})
	for _, t := range all[paymentID] {
		if t.Source == models.SourceBalance && t.Canonical() && t.ChainID == a.chain.ChainID && t.BlockNumber >= block {
			return true, err
		}
	}
	return false, err
}
