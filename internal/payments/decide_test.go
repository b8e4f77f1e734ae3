package payments

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// scenario is a payment with a clock and a chain, for telling stories.
type scenario struct {
	p      models.Payment
	facts  Facts
	minute int
	serial int
}

// newScenario starts at minute 0 with a pending payment of 100 that expires at minute 30.
func newScenario() *scenario {
	return &scenario{
		p: models.Payment{ID: "pay_1", Status: models.PaymentPending, Amount: models.AmountOf(100),
			ExpiresAt: noon.Add(30 * time.Minute), Sequence: 1},
		facts: Facts{Window: time.Hour, Announced: []store.Announced{{ID: "e1", Type: "payment.created", Sequence: 1,
			CreatedAt: noon}}},
	}
}

func (w *scenario) now() time.Time { return noon.Add(time.Duration(w.minute) * time.Minute) }

// record adds a transfer in a block of this minute; its id is t1, t2, …
func (w *scenario) record(amount uint64) string {
	id := fmt.Sprintf("t%d", len(w.facts.Transfers)+1)
	w.facts.Transfers = append(w.facts.Transfers, models.Transfer{
		ID: id, Amount: models.AmountOf(amount), Status: models.TransferSeen, BlockNumber: uint64(w.minute),
		FirstBlockTime: w.now(), BlockTime: w.now(), CreatedAt: w.now(),
	})
	return id
}

func (w *scenario) mark(id string, status models.TransferStatus) {
	i := slices.IndexFunc(w.facts.Transfers, func(t models.Transfer) bool { return t.ID == id })
	if status == models.TransferOrphaned {
		w.facts.Orphaned = append(w.facts.Orphaned, w.facts.Transfers[i])
	}
	w.facts.Transfers[i].Status = status
}

// step decides, records what was announced and returns it as "status flags: types".
func (w *scenario) step() string {
	now := w.now()
	w.facts.Now, w.facts.ChainTime = now, &now
	next, out := Decide(w.p, w.facts)
	var said []string
	for _, a := range out {
		w.serial++
		w.facts.Announced = append(w.facts.Announced,
			store.Announced{ID: fmt.Sprintf("e%d", w.serial+1), Type: string(a.Type), Retracts: a.Retracts, CreatedAt: now})
		word := strings.TrimPrefix(string(a.Type), "payment.")
		if len(a.Retracts) > 0 {
			word += "(" + strings.Join(a.Retracts, ",") + ")"
		}
		said = append(said, word)
	}
	w.p, w.facts.Orphaned = next, nil
	flags := ""
	for name, on := range map[string]bool{"P": next.Partial, "O": next.Overpaid, "L": next.Late} {
		if on {
			flags += name
		}
	}
	return fmt.Sprintf("%s%s: %s", next.Status, strings.TrimRight(" "+flags, " "), strings.Join(said, " "))
}

func expect(t *testing.T, w *scenario, want string) {
	t.Helper()
	if got := w.step(); got != want {
		t.Fatalf("minute %d: got %q, want %q", w.minute, got, want)
	}
	if again := w.step(); !strings.HasSuffix(again, ": ") {
		t.Fatalf("minute %d: the same facts announced again: %q", w.minute, again)
	}
}

func TestPaidInTwoParts(t *testing.T) {
	w := newScenario()
	a := w.record(40)
	expect(t, w, "pending P: partially_paid")
	w.minute = 5
	b := w.record(60)
	expect(t, w, "detected: detected")
	w.mark(a, models.TransferConfirmed)
	expect(t, w, "detected: ")
	w.mark(b, models.TransferConfirmed)
	expect(t, w, "confirmed: confirmed")
	if w.p.ConfirmedAt == nil || w.p.WatchUntil == nil || !w.p.WatchUntil.Equal(w.now().Add(time.Hour)) {
		t.Fatalf("confirmed at %v, watched until %v", w.p.ConfirmedAt, w.p.WatchUntil)
	}
}

func TestSeenAndFinalAtOnceAnnouncesBoth(t *testing.T) {
	w := newScenario()
	w.mark(w.record(100), models.TransferConfirmed)
	expect(t, w, "confirmed: detected confirmed")
}

func TestOverpaidIsAnnouncedWhenItsMoneyIsFinal(t *testing.T) {
	w := newScenario()
	w.mark(w.record(100), models.TransferConfirmed)
	expect(t, w, "confirmed: detected confirmed")
	w.minute = 40 // after expiry, but it was settled in time: too much, not too late
	extra := w.record(7)
	expect(t, w, "confirmed O: ")
	w.mark(extra, models.TransferConfirmed)
	expect(t, w, "confirmed O: overpaid")
	w.mark(w.record(1), models.TransferConfirmed)
	expect(t, w, "confirmed O: overpaid") // new money is told again
}

func TestExpiryIsJudgedByBlockTime(t *testing.T) {
	w := newScenario()
	w.minute = 30
	expect(t, w, "pending: ") // at expires_at it is not over yet
	w.minute = 31
	expect(t, w, "expired: expired")
	id := w.record(100)
	expect(t, w, "expired L: ")
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "expired L: late")
}

func TestADetectedPaymentDoesNotExpire(t *testing.T) {
	w := newScenario()
	id := w.record(100)
	expect(t, w, "detected: detected")
	w.minute = 60
	expect(t, w, "detected: ")
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "confirmed: confirmed")
}

func TestATransferInTimeFoundLaterReopens(t *testing.T) {
	w := newScenario()
	w.minute = 31
	expect(t, w, "expired: expired")
	id := w.record(100)
	w.facts.Transfers[0].FirstBlockTime = noon.Add(20 * time.Minute)
	expect(t, w, "detected: detected")
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "confirmed: confirmed")
}

func TestAcceptLate(t *testing.T) {
	w := newScenario()
	w.p.AcceptLate = true
	w.record(40)
	expect(t, w, "pending P: partially_paid")
	w.minute = 31
	expect(t, w, "expired P: expired")
	id := w.record(60)
	expect(t, w, "detected L: detected")
	w.mark("t1", models.TransferConfirmed)
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "confirmed L: confirmed late")
}

func TestCanceledNeverGoesOn(t *testing.T) {
	w := newScenario()
	w.p.Status, w.p.AcceptLate = models.PaymentCanceled, true
	id := w.record(100)
	expect(t, w, "canceled L: ")
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "canceled L: late")
}

func TestReorg(t *testing.T) {
	w := newScenario()
	w.record(40)
	expect(t, w, "pending P: partially_paid")
	w.minute = 1
	b := w.record(60)
	expect(t, w, "detected: detected")

	w.mark(b, models.TransferOrphaned)
	expect(t, w, "pending P: reorged(e3)")
	w.minute = 2
	w.mark(b, models.TransferSeen) // mined again
	expect(t, w, "detected: detected")
}

func TestReorgThatChangesNothingIsSilent(t *testing.T) {
	w := newScenario()
	id := w.record(100)
	expect(t, w, "detected: detected")
	w.mark(id, models.TransferOrphaned)
	w.mark(id, models.TransferSeen) // the replacement branch has it too
	expect(t, w, "detected: ")
}

func TestReorgAfterExpiryExpires(t *testing.T) {
	w := newScenario()
	id := w.record(100)
	expect(t, w, "detected: detected")
	w.minute = 40
	w.mark(id, models.TransferOrphaned)
	expect(t, w, "expired: reorged(e2) expired")
}

func TestTolerance(t *testing.T) {
	w := newScenario()
	w.p.ToleranceBPS = 100
	w.mark(w.record(99), models.TransferConfirmed)
	expect(t, w, "confirmed: detected confirmed")
}

func TestMisdirectedNeverCounts(t *testing.T) {
	w := newScenario()
	id := w.record(100)
	w.facts.Transfers[0].Misdirected = true
	expect(t, w, "pending: ")
	w.mark(id, models.TransferConfirmed)
	expect(t, w, "pending: misdirected")
}

// TestDustOfOtherAssets: the first misdirected transfers of a payment have an event each, and however many come after
// them, one a step tells of all, until the last of them was told of once.
func TestDustOfOtherAssets(t *testing.T) {
	w := newScenario()
	final := func(n int) {
		w.minute++
		for range n {
			id := w.record(1)
			w.facts.Transfers[len(w.facts.Transfers)-1].Misdirected = true
			w.mark(id, models.TransferConfirmed)
			w.facts.Transfers[len(w.facts.Transfers)-1].UpdatedAt = w.now()
		}
	}
	final(3)
	expect(t, w, "pending: misdirected misdirected misdirected")
	final(27)
	_, out := Decide(w.p, w.facts)
	if len(out) != 3 || out[2].New != 25 || len(out[2].Misdirected) != 30 || out[1].New != 1 ||
		len(out[1].Misdirected) != 5 || out[2].Payment.MisdirectedAnnounced != 30 {
		t.Fatalf("%d announcements: %+v", len(out), out)
	}
	expect(t, w, "pending: misdirected misdirected misdirected")
	final(1)
	expect(t, w, "pending: misdirected")
	for range 20 {
		final(4)
		expect(t, w, "pending: misdirected")
	}
	if w.p.MisdirectedAnnounced != len(w.facts.Transfers) {
		t.Errorf("%d of %d transfers were told of", w.p.MisdirectedAnnounced, len(w.facts.Transfers))
	}
}

// TestMisdirectedOnTwoChains: numbers of blocks of one chain say nothing about another's, so a transfer in a lower
// block is told of although one in a higher block came before.
func TestMisdirectedOnTwoChains(t *testing.T) {
	w := newScenario()
	for _, block := range []uint64{20_000_000, 18_000_000, 19_000_000} {
		w.minute++
		w.mark(w.record(7), models.TransferConfirmed)
		newest := &w.facts.Transfers[len(w.facts.Transfers)-1]
		newest.Misdirected, newest.BlockNumber, newest.UpdatedAt = true, block, w.now()
		_, out := Decide(w.p, w.facts)
		if len(out) != 1 || out[0].Misdirected[len(out[0].Misdirected)-1].BlockNumber != block {
			t.Fatalf("%+v, want the one in block %d", out, block)
		}
		expect(t, w, "pending: misdirected")
	}
}

// TestDustOfTheAsset: an excess, and late money, are told whatever their size at first; then dust waits until it is
// something, and what is something is told at once.
func TestDustOfTheAsset(t *testing.T) {
	for name, late := range map[string]bool{"overpaid": false, "late": true} {
		w := newScenario()
		w.p.Amount = models.AmountOf(100_000)
		if late {
			w.minute = 40
			expect(t, w, "expired: expired")
		} else {
			w.mark(w.record(100_000), models.TransferConfirmed)
			expect(t, w, "confirmed: detected confirmed")
		}
		told := 0
		for range 500 {
			w.minute++
			w.mark(w.record(10), models.TransferConfirmed)
			told += strings.Count(w.step(), name)
		}
		if told != 5+4 { // 4,950 in all after the first five, told by the thousand
			t.Errorf("500 pieces of dust made %d events %s", told, name)
		}
		w.minute++
		w.mark(w.record(1000), models.TransferConfirmed)
		if got := w.step(); !strings.HasSuffix(got, name) {
			t.Errorf("a hundredth of the amount after dust: %q", got)
		}
	}
}

// TestDecideLaws draws random lives and holds what must be true of each step.
func TestDecideLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newScenario()
		w.p.AcceptLate = rapid.Bool().Draw(t, "accept late")
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			w.minute += rapid.IntRange(0, 12).Draw(t, "minutes")
			switch n := len(w.facts.Transfers); {
			case n == 0 || rapid.Bool().Draw(t, "new"):
				w.record(rapid.Uint64Range(1, 150).Draw(t, "amount"))
			default:
				tr := w.facts.Transfers[rapid.IntRange(0, n-1).Draw(t, "which")]
				to := rapid.SampledFrom([]models.TransferStatus{models.TransferSeen, models.TransferConfirmed,
					models.TransferOrphaned}).Draw(t, "to")
				if to != tr.Status && !(tr.Status == models.TransferConfirmed) &&
					!(tr.Status == models.TransferOrphaned && to == models.TransferConfirmed) {
					w.mark(tr.ID, to)
				}
			}
			before := w.p
			w.step()
			if before.Status != w.p.Status && !reachable(before.Status, w.p.Status) {
				t.Fatalf("%s → %s is not in the table", before.Status, w.p.Status)
			}
			live, _ := unretracted(w.facts.Announced, nil)
			if live.count("payment.detected") > 1 || live.count("payment.confirmed") > 1 ||
				live.count("payment.partially_paid") > 1 {
				t.Fatalf("announced twice: %v", w.facts.Announced)
			}
			settled := w.p.Status == models.PaymentDetected || w.p.Status == models.PaymentConfirmed
			if settled != live.has("payment.detected") && w.p.Status != models.PaymentCanceled {
				t.Fatalf("%s, but detected standing is %v", w.p.Status, live.has("payment.detected"))
			}
			if (w.p.Status == models.PaymentConfirmed) != live.has("payment.confirmed") {
				t.Fatalf("%s, but confirmed standing is %v", w.p.Status, live.has("payment.confirmed"))
			}
			if got := w.step(); !strings.HasSuffix(got, ": ") {
				t.Fatalf("the same facts announced again: %q", got)
			}
		}
	})
}

// reachable allows what one step may pass through: pending → detected → confirmed in one block.
func reachable(from, to models.PaymentStatus) bool {
	return from.CanMove(to) || from.CanMove(models.PaymentDetected) && models.PaymentDetected.CanMove(to)
}
