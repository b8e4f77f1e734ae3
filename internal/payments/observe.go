package payments

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Step is what one transaction of a scanner records about one chain: the blocks that left it, the blocks that joined
// it, and how far it is final now.
type Step struct {
	ChainID uint64
	// OrphanFrom is the first block number that a reorg took off the chain; nil without a reorg. Blocks then holds the
	// replacement branch, so that a transfer that is mined again on it makes no event.
	OrphanFrom *uint64
	Blocks     []Block
	Head       uint64 // the newest block that the providers know
	Final      uint64 // every block up to this number is final

	// Late are transfers of blocks that were recorded before: two providers tell of them, and the first reading did not.
	// Each of these blocks holds one, with its rank.
	Late []Block
	// Refuted are recorded transfers that two providers contradict.
	Refuted []Observed
	// Doubts are transfers about which providers contradict each other.
	Doubts []Doubt
	// Balances are what addresses hold of the chain's own coin after the last block.
	Balances []Balance
	// CoinTime is how far in block time coin that arrives by no transaction has been looked for; nil where blocks tell of
	// all coin. A payment in coin does not expire before it.
	CoinTime *time.Time
}

// Block is a block as far as payments are concerned.
type Block struct {
	chain.Header
	Provider  string           // who gave it
	Transfers []chain.Transfer // to addresses that somebody watches, from transactions that succeeded
	Rank      int              // see [chain.Claim]; of the one transfer in a block of Step.Late
}

// StatusChange is a payment that a step changed, for the log line of whoever committed the step.
type StatusChange struct {
	Payment  models.Payment
	From     models.PaymentStatus
	Announce []Announcement
}

// Observe records a step inside the scanner's transaction: transfers, every payment that they, the new final point or
// the time of the block touch, their events and the deliveries of those. A payment that cannot be recomputed is
// quarantined and the block goes on without it.
func (s *Service) Observe(ctx context.Context, tx *store.Tx, step Step) ([]StatusChange, error) {
	now := s.now()
	touched := make(map[string]bool)
	lost := make(map[string][]models.Transfer)
	if step.OrphanFrom != nil {
		if err := tx.ForgetDoubts(ctx, step.ChainID, *step.OrphanFrom, now); err != nil {
			return nil, err
		}
		gone, err := tx.OrphanTransfers(ctx, step.ChainID, *step.OrphanFrom, now)
		if err != nil {
			return nil, err
		}
		for _, t := range gone {
			touched[t.PaymentID] = true
			lost[t.PaymentID] = append(lost[t.PaymentID], t)
		}
	}
	if err := s.recordTransfers(ctx, tx, step.ChainID, step.Blocks, false, now, touched); err != nil {
		return nil, err
	}
	if err := s.recordDisputes(ctx, tx, step, now, touched, lost); err != nil {
		return nil, err
	}
	if err := s.recordBalances(ctx, tx, step, now, touched); err != nil {
		return nil, err
	}
	final, err := tx.FinalTransfers(ctx, step.ChainID, step.Final, now)
	if err != nil {
		return nil, err
	}
	for _, id := range final {
		touched[id] = true
	}
	var chainTime *time.Time
	if n := len(step.Blocks); n > 0 {
		chainTime = &step.Blocks[n-1].Time
		expiring, err := tx.Expiring(ctx, step.ChainID, *chainTime, timeOr(step.CoinTime, *chainTime))
		if err != nil {
			return nil, err
		}
		for _, id := range expiring {
			touched[id] = true
		}
	}
	return s.recompute(ctx, tx, touched, lost, clocks{step.ChainID, step.Head, chainTime, step.CoinTime})
}

// clocks are how far a chain is.
type clocks struct {
	chainID, head uint64
	block         *time.Time // of the newest block; nil when no block is recorded
	coin          *time.Time // see Step.CoinTime
}

func timeOr(t *time.Time, other time.Time) time.Time {
	if t != nil {
		return *t
	}
	return other
}

// Retry recomputes the payments that were quarantined before the given time; the scanner of any chain may call it.
func (s *Service) Retry(ctx context.Context, before time.Time) ([]StatusChange, error) {
	var changes []StatusChange
	err := s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		changes, err = s.RetryIn(ctx, tx, before)
		return err
	})
	return changes, err
}

// RetryIn is Retry in the transaction of its caller.
func (s *Service) RetryIn(ctx context.Context, tx *store.Tx, before time.Time) ([]StatusChange, error) {
	ids, err := tx.Quarantined(ctx, before, 100)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	touched := make(map[string]bool)
	for _, id := range ids {
		touched[id] = true
	}
	return s.recompute(ctx, tx, touched, nil, clocks{})
}

// recordTransfers writes the transfers of the step's blocks to payments that still watch their address. Coin that was
// found by a balance before is not counted twice. Those that are late replace no other transfer.
func (s *Service) recordTransfers(ctx context.Context, tx *store.Tx, chainID uint64, blocks []Block, late bool,
	now time.Time, touched map[string]bool) error {
	byAddress, err := paymentsPaid(ctx, tx, blocks)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		for _, t := range b.Transfers {
			p, ok := byAddress[t.To]
			if !ok || p.WatchUntil != nil && b.Time.After(*p.WatchUntil) {
				continue
			}
			row, err := transferRow(t, b.Header, chainID, p, now)
			if err != nil { // no chain holds such a value, and the blocks after it are not to wait
				s.log.ErrorContext(ctx, "transfer.unreadable", "payment_id", p.ID, "block", b.Number, "error", err)
				continue
			}
			touched[p.ID] = true
			record := tx.RecordTransfer
			if late {
				record = func(ctx context.Context, row models.Transfer) (bool, error) { return tx.RecordLate(ctx, row, b.Rank) }
			}
			isNew, err := record(ctx, row)
			if err != nil {
				return err
			}
			if isNew && t.Asset == chain.Native {
				if err := s.lowerBalance(ctx, tx, row, now); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// paymentsPaid are the payments whose addresses the step's transfers went to.
func paymentsPaid(ctx context.Context, tx *store.Tx, blocks []Block) (map[chain.Address]models.Payment, error) {
	recipients := make(map[string]chain.Address)
	for _, b := range blocks {
		for _, t := range b.Transfers {
			recipients[t.To.Hex()] = t.To
		}
	}
	if len(recipients) == 0 {
		return nil, nil
	}
	ps, err := tx.PaymentsAt(ctx, slices.Sorted(maps.Keys(recipients)))
	if err != nil {
		return nil, err
	}
	byAddress := make(map[chain.Address]models.Payment, len(ps))
	for _, p := range ps {
		byAddress[recipients[p.Address]] = p
	}
	return byAddress, nil
}

// transferRow is a transfer of a block as it is recorded for the payment that it went to.
func transferRow(t chain.Transfer, b chain.Header, chainID uint64, p models.Payment,
	now time.Time) (models.Transfer, error) {
	amount, err := models.AmountFromBig(t.Value)
	if err != nil {
		return models.Transfer{}, fmt.Errorf("payments: value of %s: %w", t.TxHash, err)
	}
	row := models.Transfer{
		ID: models.NewID(models.PrefixTransfer, now), PaymentID: p.ID, MerchantID: p.MerchantID,
		ChainID: chainID, TxHash: t.TxHash.Hex(), Asset: t.Asset, Recipient: t.To.Hex(), Ordinal: t.Ordinal,
		Sender: t.From.Hex(), Amount: amount, Status: models.TransferSeen, Source: string(t.Source),
		Witness:     t.Witness,
		Misdirected: p.ChainID != chainID || p.Asset != t.Asset,
		BlockNumber: b.Number, BlockHash: b.Hash.Hex(), BlockTime: b.Time, FirstBlockTime: b.Time, CreatedAt: now,
		UpdatedAt: now,
	}
	if t.Source == chain.FromWithdrawal || t.Source == chain.FromBalance {
		row.TxHash, row.Sender = "", ""
	}
	if t.Source == "" {
		row.Source = models.SourceChain
	}
	if t.LogIndex >= 0 && t.Asset != chain.Native {
		row.LogIndex = &t.LogIndex
	}
	return row, nil
}

func (s *Service) recompute(ctx context.Context, tx *store.Tx, touched map[string]bool,
	lost map[string][]models.Transfer, at clocks) ([]StatusChange, error) {
	if len(touched) == 0 {
		return nil, nil
	}
	ids := make([]string, 0, len(touched))
	for id := range touched {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ps, err := tx.LockPayments(ctx, ids)
	if err != nil {
		return nil, err
	}
	transfers, err := tx.TransfersOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	announced, err := tx.AnnouncedFor(ctx, ids)
	if err != nil {
		return nil, err
	}
	heads, times, err := recordedHeads(ctx, tx)
	if err != nil {
		return nil, err
	}
	heads[at.chainID] = max(at.head, heads[at.chainID])
	doubts, err := tx.OpenDoubts(ctx, ids)
	if err != nil {
		return nil, err
	}
	var changes []StatusChange
	for _, p := range ps {
		f := Facts{Transfers: transfers[p.ID], Announced: announced[p.ID], Orphaned: lost[p.ID], Window: s.window,
			Now: s.now(), RecordedTime: times[p.ChainID], Doubted: len(doubts[p.ID]) > 0}
		if p.ChainID == at.chainID {
			f.ChainTime, f.CoinTime = at.block, at.coin
		}
		c := StatusChange{From: p.Status}
		err := tx.Savepoint(ctx, func(tx *store.Tx) error {
			c.Payment, c.Announce = Decide(p, f)
			c.Payment.QuarantinedAt, c.Payment.QuarantineReason = nil, ""
			return s.write(ctx, tx, &c, State{f.Transfers, doubts[p.ID], heads})
		})
		if err != nil {
			if ctx.Err() != nil || store.IsRepeatable(err) { // no fault of the payment's
				return nil, err
			}
			s.log.ErrorContext(ctx, "payment.quarantined", "payment_id", p.ID, "error", err)
			if err := tx.Quarantine(ctx, p.ID, err.Error(), s.now()); err != nil {
				return nil, err
			}
			tx.AfterCommit(s.metrics.Quarantined)
			continue
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// recordedHeads are the heads of all chains, and the times of their newest recorded blocks.
func recordedHeads(
	ctx context.Context, tx *store.Tx,
) (heads map[uint64]uint64, times map[uint64]*time.Time, err error) {
	cursors, err := tx.Cursors(ctx)
	heads, times = make(map[uint64]uint64, len(cursors)), make(map[uint64]*time.Time, len(cursors))
	for _, c := range cursors {
		heads[c.ChainID], times[c.ChainID] = c.HeadNumber, &c.BlockTime
	}
	return heads, times, err
}

// write stores a decided payment: its announcements as events with their deliveries, then the row.
func (s *Service) write(ctx context.Context, tx *store.Tx, c *StatusChange, now State) error {
	p := &c.Payment
	s.count(tx, c.From, p.Status)
	p.UpdatedAt = s.now()
	p.Confirmations = confirmations(now.Transfers, now.Heads)
	for i := range c.Announce {
		a := &c.Announce[i]
		p.Sequence++
		a.Payment.Sequence, a.Payment.Confirmations, a.Payment.UpdatedAt = p.Sequence, p.Confirmations, p.UpdatedAt
		if err := s.publish(ctx, tx, *a, now); err != nil {
			return fmt.Errorf("payments: %s of %s: %w", a.Type, p.ID, err)
		}
	}
	return tx.SavePayment(ctx, *p)
}

// confirmations is how deep the newest counting transfer lies; 0 while there is none.
func confirmations(transfers []models.Transfer, heads map[uint64]uint64) uint64 {
	var n uint64
	first := true
	for _, t := range transfers {
		if !t.Counts() {
			continue
		}
		if d := depth(t, heads); first || d < n {
			n, first = d, false
		}
	}
	return n
}

// depth counts the blocks from the transfer's own to the head, both included.
func depth(t models.Transfer, heads map[uint64]uint64) uint64 {
	if !t.Canonical() {
		return 0
	}
	return chain.Confirmations(heads[t.ChainID], t.BlockNumber)
}

// count counts a payment that reached another status, once that is committed, whoever moved it.
func (s *Service) count(tx *store.Tx, from, to models.PaymentStatus) {
	if from != to {
		tx.AfterCommit(func() { s.metrics.PaymentMoved(string(to)) })
	}
}
