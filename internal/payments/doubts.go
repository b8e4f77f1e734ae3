package payments

import (
	"context"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

// Observed is a transfer in a block.
type Observed struct {
	Block    chain.Header
	Transfer chain.Transfer
}

// Doubt is a transfer about which the providers of a chain contradict each other.
type Doubt struct {
	Observed
	Kind    string
	Answers []models.ProviderAnswer
}

// ErrSettled is returned for a doubt that was settled before.
var ErrSettled = fmt.Errorf("the doubt is settled already")

// recordDisputes writes what came out of holding the readings of two providers against each other.
func (s *Service) recordDisputes(ctx context.Context, tx *store.Tx, step Step, now time.Time,
	touched map[string]bool, lost map[string][]models.Transfer) error {
	if err := s.recordTransfers(ctx, tx, step.ChainID, step.Late, true, now, touched); err != nil {
		return err
	}
	for _, r := range step.Refuted {
		was, err := tx.OrphanTransfer(ctx, r.row(step.ChainID), now)
		if err != nil {
			return err
		}
		if was != nil {
			touched[was.PaymentID] = true
			lost[was.PaymentID] = append(lost[was.PaymentID], *was)
			if err := tx.EndDoubts(ctx, *was, "the transfer was refuted", now); err != nil {
				return err
			}
		}
	}
	for _, d := range step.Doubts {
		if err := s.recordDoubt(ctx, tx, step.ChainID, d, now, touched); err != nil {
			return err
		}
	}
	return nil
}

// row has the identity and the block of the transfer, as they are recorded.
func (s Observed) row(chainID uint64) models.Transfer {
	t := models.Transfer{
		ChainID: chainID, TxHash: s.Transfer.TxHash.Hex(), Asset: s.Transfer.Asset, Recipient: s.Transfer.To.Hex(),
		Ordinal: s.Transfer.Ordinal, BlockNumber: s.Block.Number, BlockHash: s.Block.Hash.Hex(),
	}
	if s.Transfer.TxHash == (chain.Hash{}) {
		t.TxHash = ""
	}
	return t
}

func (s *Service) recordDoubt(
	ctx context.Context, tx *store.Tx, chainID uint64, d Doubt, now time.Time, touched map[string]bool,
) error {
	ps, err := tx.PaymentsAt(ctx, []string{d.Transfer.To.Hex()})
	if err != nil || len(ps) == 0 {
		return err
	}
	p := ps[0]
	t, err := transferRow(d.Transfer, d.Block, chainID, p, now)
	if err != nil {
		return err
	}
	row := models.Doubt{
		ID: models.NewID(models.PrefixDoubt, now), Kind: d.Kind, Status: models.DoubtOpen, Chain: s.chainName(chainID),
		ChainID: chainID, PaymentID: p.ID, MerchantID: p.MerchantID, TxHash: t.TxHash, Asset: t.Asset,
		Recipient: t.Recipient, Ordinal: t.Ordinal, Sender: t.Sender, Amount: t.Amount, LogIndex: t.LogIndex,
		Source: t.Source, BlockNumber: t.BlockNumber, BlockHash: t.BlockHash, BlockTime: t.BlockTime, Answers: d.Answers,
		CreatedAt: now, UpdatedAt: now,
	}
	inserted, err := tx.InsertDoubt(ctx, row)
	if inserted {
		touched[p.ID] = true
		s.log.ErrorContext(ctx, "payment.doubted", "payment_id", p.ID, "doubt", row.ID, "kind", row.Kind,
			"amount", row.Amount.String(), "block", row.BlockNumber, "answers", row.Answers)
	}
	return err
}

func (s *Service) chainName(chainID uint64) string {
	for name, c := range s.chains {
		if c.ChainID == chainID {
			return name
		}
	}
	return fmt.Sprint(chainID)
}

// SettleDoubt ends a doubt: the transfer counts, or it does not. One that counts is confirmed once its block is final;
// one that does not is taken off the payment, whose merchant is told as after a reorg.
func (s *Service) SettleDoubt(
	ctx context.Context, tx *store.Tx, actor models.Actor, id string, accept bool, reason string,
) (models.Doubt, error) {
	d, err := tx.LockDoubt(ctx, id)
	if err != nil {
		return d, err
	}
	if d.Status != models.DoubtOpen {
		return d, fmt.Errorf("%s: %w (%s)", d.ID, ErrSettled, d.Status)
	}
	now := s.now()
	d.Status, d.SettledBy, d.Reason, d.SettledAt, d.UpdatedAt = models.DoubtRejected, actor.Name, reason, &now, now
	if accept {
		d.Status = models.DoubtAccepted
	}
	if err := tx.SettleDoubt(ctx, d); err != nil {
		return d, err
	}
	lost, err := s.applyDoubt(ctx, tx, d, now)
	if err != nil {
		return d, err
	}
	cursor, err := tx.Cursor(ctx, d.ChainID)
	if err != nil {
		return d, err
	}
	final, err := tx.FinalTransfers(ctx, d.ChainID, cursor.FinalNumber, now)
	if err != nil {
		return d, err
	}
	touched := map[string]bool{d.PaymentID: true}
	for _, id := range final {
		touched[id] = true
	}
	_, err = s.recompute(ctx, tx, touched, lost, clocks{chainID: d.ChainID, head: cursor.HeadNumber})
	return d, err
}

// applyDoubt changes the transfer that a settled doubt was about.
func (s *Service) applyDoubt(
	ctx context.Context, tx *store.Tx, d models.Doubt, now time.Time,
) (map[string][]models.Transfer, error) {
	t := models.Transfer{
		ID: models.NewID(models.PrefixTransfer, now), PaymentID: d.PaymentID, MerchantID: d.MerchantID, ChainID: d.ChainID,
		TxHash: d.TxHash, Asset: d.Asset, Recipient: d.Recipient, Ordinal: d.Ordinal, Sender: d.Sender, Amount: d.Amount,
		LogIndex: d.LogIndex, Status: models.TransferSeen, Source: d.Source, BlockNumber: d.BlockNumber,
		BlockHash: d.BlockHash, BlockTime: d.BlockTime, FirstBlockTime: d.BlockTime, Witness: d.SettledBy, CreatedAt: now,
		UpdatedAt: now,
	}
	recorded := d.Recorded()
	switch {
	case d.Status == models.DoubtAccepted && !recorded:
		ps, err := tx.LockPayments(ctx, []string{d.PaymentID})
		if err != nil || len(ps) == 0 {
			return nil, err
		}
		t.Misdirected = ps[0].ChainID != d.ChainID || ps[0].Asset != d.Asset
		rank, err := tx.RankOf(ctx, d)
		if err != nil {
			return nil, err
		}
		isNew, err := tx.RecordLate(ctx, t, rank)
		if err == nil && isNew && d.Asset == chain.Native && d.Kind != models.DoubtBalance {
			err = s.lowerBalance(ctx, tx, t, now)
		}
		return nil, err
	case d.Status == models.DoubtRejected && recorded:
		was, err := tx.OrphanTransfer(ctx, t, now)
		if err != nil || was == nil {
			return nil, err
		}
		return map[string][]models.Transfer{was.PaymentID: {*was}}, nil
	}
	return nil, nil
}
