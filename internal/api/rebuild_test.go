package api

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/chain"
	"github.com/ctrip-gateway/ctrip/internal/payments"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ledger is what a merchant knows of his payments from events alone.
type ledger struct {
	payments map[string]webhook.Payment
	seen     map[string]bool
	cursor   string
}

// catchUp polls until nothing new comes, and keeps of each payment what its newest event says.
func (l *ledger) catchUp(t *testing.T, c *counter, key string, want int) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, fmt.Sprintf("%d events are shown", want), func() bool {
		page := decoded[struct {
			Data       []webhook.Event `json:"data"`
			NextCursor string          `json:"next_cursor"`
		}](t, c.ask(key, "GET", "/api/v1/events?limit=7&after="+l.cursor, ""), http.StatusOK)
		for _, e := range page.Data {
			p := e.Data.Payment
			if known := l.payments[p.ID]; l.seen[e.ID] || p.Sequence != known.Sequence+1 {
				t.Fatalf("%s of %s comes as number %d after %d, seen before: %v", e.Type, p.ID, p.Sequence, known.Sequence,
					l.seen[e.ID])
			}
			l.seen[e.ID], l.payments[p.ID] = true, *p
		}
		l.cursor = page.NextCursor
		return len(l.seen) == want
	})
}

// TestRebuildFromEvents: who lost his receiver for a week polls GET /events with after, and knows of every payment what
// GET /payments says, whatever happened meanwhile; then he goes on from where he stopped.
func TestRebuildFromEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		c := newCounter(t, s)
		id, key := c.merchant(t, "a", false)
		_, stranger := c.merchant(t, "b", false)
		decoded[Payment](t, c.ask(stranger, "POST", "/api/v1/payments", `{"chain":"ethereum","asset":"native","amount":"7"}`),
			http.StatusCreated)
		mine := &ledger{payments: make(map[string]webhook.Payment), seen: make(map[string]bool)}
		w := &week{t: t, c: c, key: key, dice: rand.New(rand.NewPCG(7, 7)), block: 1}
		for range 3 {
			for range 7 {
				w.day()
			}
			w.settle()
			events := w.events(id)
			mine.catchUp(t, c, key, events)
			listed := w.listed()
			if len(listed) != len(w.made) ||
				!slices.Equal(slices.Sorted(maps.Keys(mine.payments)), slices.Sorted(maps.Keys(listed))) {
				t.Fatalf("%d payments were made, %d are listed, %d are known from events", len(w.made), len(listed),
					len(mine.payments))
			}
			statuses := make(map[string]int)
			for id, now := range listed {
				if got, want := settled(t, mine.payments[id]), settled(t, now); got != want {
					t.Errorf("events say\n%s\nand the payment is\n%s", got, want)
				}
				statuses[now.Status]++
			}
			t.Logf("%d events, payments: %v", events, statuses)
			if len(statuses) < 4 {
				t.Errorf("the week was dull: %v", statuses)
			}
		}
	})
}

// settled is what events tell of a payment once all money is final. Confirmations grow with every block, and a second
// transfer that still leaves it partial is counted without an event.
func settled(t *testing.T, p webhook.Payment) string {
	t.Helper()
	p.Confirmations, p.Transfers, p.TransfersTotal, p.AmountConfirmed, p.AmountReceived = 0, nil, 0, "", ""
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// week makes things happen to the payments of one merchant, by the dice.
type week struct {
	t     *testing.T
	c     *counter
	key   string
	dice  *rand.Rand
	block uint64
	made  []Payment
}

func (w *week) day() {
	w.t.Helper()
	for _, expires := range []int{3600, 86400, 604800} {
		body := fmt.Sprintf(`{"chain":"ethereum","asset":"native","amount":"1000","expires_in":%d}`, expires)
		w.made = append(w.made, decoded[Payment](w.t, w.c.ask(w.key, "POST", "/api/v1/payments", body), http.StatusCreated))
	}
	if i := w.dice.IntN(len(w.made)); w.dice.IntN(2) == 0 { // perhaps something has arrived, and it is refused
		w.c.ask(w.key, "POST", "/api/v1/payments/"+w.made[i].ID+"/cancel", "")
	}
	from := w.block + 1
	step := payments.Step{ChainID: 1}
	if w.dice.IntN(3) == 0 { // the last block goes, and its transfers with it
		from = w.block
		step.OrphanFrom = &from
	}
	for n := from; n < from+2; n++ {
		b := payments.Block{Header: w.header(n)}
		for i := range 3 {
			p := w.made[w.dice.IntN(len(w.made))]
			to, err := chain.ParseAddress(p.Address)
			if err != nil {
				w.t.Fatal(err)
			}
			tx := w.hash()
			tx[31] = byte(i)
			b.Transfers = append(b.Transfers, chain.Transfer{
				TxHash: tx, Asset: chain.Native, From: chain.Address{1}, To: to, LogIndex: -1,
				Value: big.NewInt([]int64{400, 1000, 1500}[w.dice.IntN(3)]),
			})
		}
		step.Blocks, w.block = append(step.Blocks, b), n
	}
	step.Head = w.block
	if w.block > 4 {
		step.Final = w.block - 4
	}
	w.observe(step)
}

// settle lets every transfer become final.
func (w *week) settle() {
	w.t.Helper()
	step := payments.Step{ChainID: 1, Final: w.block}
	w.block++
	step.Head = w.block
	step.Blocks = []payments.Block{{Header: w.header(w.block)}}
	w.observe(step)
}

// header is a block of ten minutes later than the one below it.
func (w *week) header(number uint64) chain.Header {
	return chain.Header{Number: number, Hash: w.hash(), Time: testNow().Add(time.Duration(number) * 10 * time.Minute)}
}

func (w *week) hash() (h chain.Hash) {
	binary.BigEndian.PutUint64(h[:], w.dice.Uint64())
	return h
}

func (w *week) observe(step payments.Step) {
	w.t.Helper()
	err := w.c.store.InTx(w.t.Context(), func(tx *store.Tx) error {
		_, err := w.c.payments.Observe(w.t.Context(), tx, step)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// events counts what the record holds.
func (w *week) events(merchantID string) int {
	w.t.Helper()
	n := 0
	var before *store.Position
	for {
		rows, err := w.c.store.ListEvents(w.t.Context(), merchantID, store.EventFilter{},
			store.Page{Limit: 100, Before: before})
		if err != nil {
			w.t.Fatal(err)
		}
		if n += len(rows); len(rows) < 100 {
			return n
		}
		before = &store.Position{CreatedAt: rows[99].CreatedAt, ID: rows[99].ID}
	}
}

// listed reads every payment, a page at a time.
func (w *week) listed() map[string]webhook.Payment {
	w.t.Helper()
	all := make(map[string]webhook.Payment)
	for target := "/api/v1/payments?limit=9"; ; {
		page := decoded[PaymentList](w.t, w.c.ask(w.key, "GET", target, ""), http.StatusOK)
		for _, p := range page.Data {
			all[p.ID] = p
		}
		if page.NextCursor == nil {
			return all
		}
		target = "/api/v1/payments?limit=9&cursor=" + *page.NextCursor
	}
}
