package payments

import (
	"cmp"
	"math/big"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Facts are what a decision about a payment rests on.
type Facts struct {
	Transfers []models.Transfer // all of the payment's, orphaned ones included
	Announced []store.Announced // the payment's events so far, by sequence
	Orphaned  []models.Transfer // as they were before the reorg that this step records; usually none
	// ChainTime is the time of the newest block of the payment's own chain, nil when the step is another chain's:
	// only its own chain can expire a payment.
	ChainTime *time.Time
	// RecordedTime is the time of the newest block of the payment's own chain that is recorded, whatever chain the step is
	// of; nil where none is. A payment that closes without a new block closes then.
	RecordedTime *time.Time
	// CoinTime is [Step.CoinTime]: a payment in the chain's own coin expires by it where it is set.
	CoinTime *time.Time
	Doubted  bool          // the payment has an open doubt, and does not expire
	Window   time.Duration // the monitoring window after a payment has closed
	Now      time.Time
}

// Announcement is an event that a decision calls for.
type Announcement struct {
	Type     webhook.EventType
	Retracts []string
	// Misdirected are the final transfers that payment.misdirected has told of when it has told of this one too, in the
	// order in which they became final. New is how many of them, at the end, it tells of for the first time.
	Misdirected []models.Transfer
	New         int
	// Payment is what the event shows: the payment as it stood when this happened.
	Payment models.Payment
}

// Decide says what a payment is, given the facts, and which events that makes. It changes nothing and remembers
// nothing: the same facts give the same answer, and once its announcements are among the facts it announces no more.
func Decide(p models.Payment, f Facts) (models.Payment, []Announcement) {
	s := sum(p, f.Transfers)
	next := p
	next.AmountReceived, next.AmountConfirmed = s.received, s.final
	due := p.Due()
	next.Partial = s.received.Sign() > 0 && s.received.Cmp(due) < 0
	next.Overpaid = s.received.Cmp(p.Amount) > 0
	next.Late = s.late.Sign() > 0
	next.Status = status(p, s, due, f.expiryTime(p))
	if next.Status != p.Status {
		stamp(&next, f)
	}
	if p.OrderID != nil && (next.Status == models.PaymentExpired || p.Status == models.PaymentExpired) {
		next.OrderReleased = true // for good: what still arrives must not ship the order a second time
	}

	lost := lostSince(f)
	live, retracted := unretracted(f.Announced, lost)
	var out []Announcement
	announce := func(t webhook.EventType, shown models.Payment, retracts []string) {
		out = append(out, Announcement{Type: t, Payment: shown, Retracts: retracts})
	}
	if lost != nil {
		announce(webhook.PaymentReorged, next, append([]string{}, retracted...))
		next.OverpaidAnnounced, next.LateAnnounced, next.MisdirectedAnnounced = models.Amount{}, models.Amount{}, 0
	}
	settled := next.Status == models.PaymentDetected || next.Status == models.PaymentConfirmed
	canGoOn := next.Status == models.PaymentPending || next.Status == models.PaymentExpired && next.AcceptLate
	if next.Partial && canGoOn && !live.has(webhook.PaymentPartiallyPaid) {
		announce(webhook.PaymentPartiallyPaid, next, nil)
	}
	if settled && !live.has(webhook.PaymentDetected) {
		shown := next
		shown.Status, shown.ConfirmedAt = models.PaymentDetected, nil
		announce(webhook.PaymentDetected, shown, nil)
	}
	if next.Status == models.PaymentConfirmed && !live.has(webhook.PaymentConfirmed) {
		announce(webhook.PaymentConfirmed, next, nil)
	}
	if over := excess(s.final, p.Amount); worthTelling(p, over, next.OverpaidAnnounced,
		live.count(webhook.PaymentOverpaid)) {
		next.OverpaidAnnounced = over
		announce(webhook.PaymentOverpaid, next, nil)
	}
	if worthTelling(p, s.lateFinal, next.LateAnnounced, live.count(webhook.PaymentLate)) {
		next.LateAnnounced = s.lateFinal
		announce(webhook.PaymentLate, next, nil)
	}
	if next.Status == models.PaymentExpired && p.Status != models.PaymentExpired {
		announce(webhook.PaymentExpired, next, nil)
	}
	told := max(next.MisdirectedAnnounced, live.count(webhook.PaymentMisdirected))
	misdirected := finalMisdirected(f.Transfers)
	next.MisdirectedAnnounced = max(told, len(misdirected))
	return next, append(out, announceMisdirected(next, misdirected, told)...)
}

// announceMisdirected tells of the final misdirected transfers after those that were told of.
func announceMisdirected(shown models.Payment, misdirected []models.Transfer, told int) (out []Announcement) {
	for told < len(misdirected) {
		n := 1
		if told >= toldAlone {
			n = len(misdirected) - told
		}
		told += n
		out = append(out, Announcement{Type: webhook.PaymentMisdirected, Payment: shown, Misdirected: misdirected[:told],
			New: n})
	}
	return out
}

// expiryTime is the time by which the payment expires; nil when it cannot now.
func (f Facts) expiryTime(p models.Payment) *time.Time {
	switch {
	case f.Doubted:
		return nil
	case p.Asset == models.AssetNative && f.ChainTime != nil && f.CoinTime != nil:
		return f.CoinTime
	}
	return f.ChainTime
}

// Anybody may send dust to an address, as often as they like. So a payment tells of its first transfers one by one, and
// then of several at once.
const (
	// toldAlone is how many misdirected transfers have an event each; what comes then has one event a step. It is also how
	// often an excess, or late money, is told whatever its size.
	toldAlone = 5
	// toldShare is what part of the payment's amount further money must be, all that was not told yet together.
	toldShare = 100
)

// worthTelling reports whether a sum has grown enough since it was told, which it was so many times.
func worthTelling(p models.Payment, sum, told models.Amount, times int) bool {
	if sum.Cmp(told) <= 0 {
		return false
	}
	grown := excess(sum, told).Big()
	return times < toldAlone || grown.Mul(grown, big.NewInt(toldShare)).Cmp(p.Amount.Big()) >= 0
}

// status is the heart of it: confirmed when final money settles the payment, detected when seen money does, and
// otherwise waiting until its chain has passed expires_at. Money counts towards settling when it was first mined in
// time, or when the merchant accepts late money. A canceled payment stays canceled.
func status(p models.Payment, s sums, due models.Amount, chainTime *time.Time) models.PaymentStatus {
	seen, final := s.inTime, s.inTimeFinal
	if p.AcceptLate {
		seen, final = s.received, s.final
	}
	switch {
	case p.Status == models.PaymentCanceled:
		return models.PaymentCanceled
	case final.Cmp(due) >= 0:
		return models.PaymentConfirmed
	case seen.Cmp(due) >= 0:
		return models.PaymentDetected
	case p.Status == models.PaymentExpired, chainTime != nil && chainTime.After(p.ExpiresAt):
		return models.PaymentExpired
	}
	return models.PaymentPending
}

func stamp(p *models.Payment, f Facts) {
	now := f.Now
	p.DetectedAt, p.ConfirmedAt, p.ClosedAt, p.WatchUntil = orElse(p.DetectedAt, now), nil, nil, nil
	closed := timeOr(f.ChainTime, timeOr(f.RecordedTime, now)) // windows run in block time
	switch p.Status {
	case models.PaymentPending:
		p.DetectedAt = nil
	case models.PaymentConfirmed:
		p.ConfirmedAt = &now
	case models.PaymentExpired:
		p.DetectedAt = nil
	}
	if !p.Open() {
		until := closed.Add(f.Window)
		p.ClosedAt, p.WatchUntil = &closed, &until
	}
}

func orElse(t *time.Time, now time.Time) *time.Time {
	if t != nil {
		return t
	}
	return &now
}

// sums are a payment's transfers added up in the ways that matter.
type sums struct {
	received, final     models.Amount // every canonical transfer of the asked asset, and those that are final
	inTime, inTimeFinal models.Amount // of these, first mined no later than expires_at
	late, lateFinal     models.Amount // what came when the payment had not been settled in time, or after it was canceled
}

func sum(p models.Payment, transfers []models.Transfer) sums {
	var received, final, inTime, inTimeFinal, lateFinal big.Int
	var s sums
	for _, t := range transfers {
		isFinal := t.Status == models.TransferConfirmed
		if !t.Counts() {
			continue
		}
		v := t.Amount.Big()
		received.Add(&received, v)
		early := !t.FirstBlockTime.After(p.ExpiresAt) && p.Status != models.PaymentCanceled
		if early {
			inTime.Add(&inTime, v)
		}
		if isFinal {
			final.Add(&final, v)
			if early {
				inTimeFinal.Add(&inTimeFinal, v)
			} else {
				lateFinal.Add(&lateFinal, v)
			}
		}
	}
	s.received, s.final = clamp(&received), clamp(&final)
	s.inTime, s.inTimeFinal = clamp(&inTime), clamp(&inTimeFinal)
	if s.inTime.Cmp(p.Due()) < 0 { // settled in time: what comes later is too much, not too late
		s.late, s.lateFinal = excess(s.received, s.inTime), clamp(&lateFinal)
	}
	return s
}

// clamp brings a sum of many transfers back into the range of one EVM word; only a token that can mint without bound
// ever gets there.
func clamp(v *big.Int) models.Amount {
	a, err := models.AmountFromBig(v)
	if err != nil {
		a, _ = models.ParseAmount("115792089237316195423570985008687907853269984665640564039457584007913129639935")
	}
	return a
}

func excess(a, b models.Amount) models.Amount {
	if a.Cmp(b) <= 0 {
		return models.Amount{}
	}
	return clamp(new(big.Int).Sub(a.Big(), b.Big()))
}

// announced is what stands of the events so far.
type announced []store.Announced

func (es announced) has(t webhook.EventType) bool { return es.count(t) > 0 }

func (es announced) count(t webhook.EventType) int {
	n := 0
	for _, e := range es {
		if e.Type == string(t) {
			n++
		}
	}
	return n
}

// transferEvents are the events that tell of transfers: a reorg that takes a transfer away makes them untrue.
var transferEvents = []string{
	string(webhook.PaymentPartiallyPaid), string(webhook.PaymentDetected), string(webhook.PaymentConfirmed),
	string(webhook.PaymentOverpaid), string(webhook.PaymentLate), string(webhook.PaymentMisdirected),
}

// unretracted splits the events that nothing has retracted yet into those that still hold and the ids of those that a
// reorg, which took away a transfer first seen at lost, makes untrue now.
func unretracted(all []store.Announced, lost *time.Time) (live announced, retracted []string) {
	gone := make(map[string]bool)
	for _, a := range all {
		for _, id := range a.Retracts {
			gone[id] = true
		}
	}
	for _, a := range all {
		switch {
		case gone[a.ID]:
		case lost != nil && !a.CreatedAt.Before(*lost) && slices.Contains(transferEvents, a.Type):
			retracted = append(retracted, a.ID)
		default:
			live = append(live, a)
		}
	}
	return live, retracted
}

// lostSince is when the first of the transfers that the reorg really took away was seen; nil when the new branch has
// all of them again with the same amounts.
func lostSince(f Facts) *time.Time {
	var first *time.Time
	for _, was := range f.Orphaned {
		i := slices.IndexFunc(f.Transfers, func(t models.Transfer) bool { return t.ID == was.ID })
		if i >= 0 && f.Transfers[i].Canonical() && f.Transfers[i].Amount.Cmp(was.Amount) == 0 {
			continue
		}
		if first == nil || was.CreatedAt.Before(*first) {
			first = &was.CreatedAt
		}
	}
	return first
}

// finalMisdirected returns the final misdirected transfers in the order in which they became final. Numbers of blocks
// order those of one chain only.
func finalMisdirected(transfers []models.Transfer) []models.Transfer {
	var final []models.Transfer
	for _, t := range transfers {
		if t.Misdirected && t.Status == models.TransferConfirmed {
			final = append(final, t)
		}
	}
	slices.SortFunc(final, func(a, b models.Transfer) int {
		return cmp.Or(a.UpdatedAt.Compare(b.UpdatedAt), cmp.Compare(a.BlockNumber, b.BlockNumber), cmp.Compare(a.ID, b.ID))
	})
	return final
}
