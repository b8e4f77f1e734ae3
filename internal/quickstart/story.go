package quickstart

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/internal/devnet"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// patience is how long one step of the story may take before it counts as failed.
const patience = 60 * time.Second

// story prints what was observed, with the time since the start and since the line before.
type story struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	last  time.Time
	seen  []devnet.Seen
}

func newStory(out io.Writer) *story {
	now := time.Now()
	return &story{out: out, start: now, last: now}
}

func (s *story) tell(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line(who, fmt.Sprintf(format, args...))
}

// line prints; the lock is held.
func (s *story) line(who, text string) {
	now := time.Now()
	fmt.Fprintf(s.out, "%8.3fs  +%-8s %-6s %s\n", now.Sub(s.start).Seconds(), now.Sub(s.last).Round(time.Millisecond), who,
		text)
	s.last = now
}

func (s *story) title(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "\n%s\n", fmt.Sprintf(format, args...))
}

// shopSaw prints what the shop's receiver observed.
func (s *story) shopSaw(seen devnet.Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, seen)
	text := seen.Text
	if e := seen.Event; e != nil {
		if p := e.Data.Payment; p != nil {
			text += fmt.Sprintf(", payment %s is %s", p.ID, p.Status)
		}
		if len(e.Data.Retracts) > 0 {
			text += ", retracts " + strings.Join(e.Data.Retracts, " ")
		}
	}
	s.line("shop", text)
}

// event returns the newest verified event of a type for a payment.
func (s *story) event(paymentID string, t webhook.EventType, path string) (webhook.Event, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, seen := range slices.Backward(s.seen) {
		if e := seen.Event; e != nil && seen.Path == path && e.Type == t && e.Data.Payment != nil &&
			e.Data.Payment.ID == paymentID {
			return *e, true
		}
	}
	return webhook.Event{}, false
}

// tell waits until the gateway is ready, tells the four chapters and prints the links.
func (w *system) tell(ctx context.Context, started time.Time) error {
	s := w.story
	s.start = started
	if err := w.waitReady(ctx); err != nil {
		return err
	}
	s.title("cTrip quickstart: a gateway, a chain, a Redis and a shop in one process")
	s.tell("chain", "Ethereum (geth, in memory) mines a block a second at %s", w.chain.URL())
	s.tell("api", "ready at %s", w.apiURL)
	id, err := w.shop.Subscribe(ctx, devnet.HookPath, "*")
	if err != nil {
		return err
	}
	s.tell("api", "201 endpoint %s for %s%s, secret shown once", id, w.shop.URL(), devnet.HookPath)

	s.title("1. A coffee, paid in ETH")
	if err := w.sale(ctx, "A cup of coffee", "0.002", false); err != nil {
		return err
	}
	s.title("2. A book, paid in %s, an ERC-20 token", devnet.TokenSymbol)
	if err := w.sale(ctx, "A paper book", "12.5", true); err != nil {
		return err
	}
	s.title("3. An endpoint that fails twice, then recovers")
	if err := w.recovery(ctx); err != nil {
		return err
	}
	s.title("4. A reorg takes a payment away; it is paid again")
	if err := w.reorg(ctx); err != nil {
		return err
	}
	s.title("All of it held, in %s.", time.Since(started).Round(time.Millisecond))
	if w.o.Once {
		return nil
	}
	if err := w.writeEnv(); err != nil {
		return err
	}
	w.links()
	return nil
}

func (w *system) sale(ctx context.Context, item, amount string, token bool) error {
	o, err := w.buy(ctx, item, amount, token)
	if err != nil {
		return err
	}
	if _, err := w.pay(ctx, o); err != nil {
		return err
	}
	return w.paid(ctx, o)
}

func (w *system) buy(ctx context.Context, item, amount string, token bool) (devnet.Order, error) {
	o, err := w.shop.Buy(ctx, item, amount, token)
	if err == nil {
		w.story.tell("api", "201 payment %s for order %s: %s base units to %s", o.PaymentID, o.ID, o.Amount, o.Address)
	}
	return o, err
}

func (w *system) pay(ctx context.Context, o devnet.Order) (string, error) {
	tx, err := w.shop.Pay(ctx, o)
	if err != nil {
		return "", err
	}
	w.story.tell("payer", "sent %s in %s", o.ID, tx)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	mined, err := w.chain.WaitMined(ctx, tx)
	if err == nil {
		w.story.tell("chain", "mined %s in block %d", tx, mined.Block.Number)
	}
	return tx, err
}

// paid waits until the shop has marked the order paid, and holds the story against the API.
func (w *system) paid(ctx context.Context, o devnet.Order) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o, err := w.shop.Wait(ctx, o.ID, func(o devnet.Order) bool {
		return o.Status == "paid" && slices.Contains(o.Events, string(webhook.PaymentCreated)) &&
			slices.Contains(o.Events, string(webhook.PaymentDetected)) &&
			slices.Contains(o.Events, string(webhook.PaymentConfirmed))
	})
	if err != nil {
		return err
	}
	e, _ := w.story.event(o.PaymentID, webhook.PaymentConfirmed, devnet.HookPath)
	w.story.tell("shop", "order %s marked paid, %s after %s happened", o.ID,
		time.Since(e.CreatedAt.Time).Round(time.Millisecond), e.Type)
	return w.delivered(ctx, e.ID, 1)
}

// delivered asks the API what became of an event's delivery and waits until it is delivered.
func (w *system) delivered(ctx context.Context, eventID string, attempts int) error {
	for {
		page, err := w.api.ListDeliveries(ctx, client.ListDeliveriesParams{EventID: &eventID})
		if err != nil {
			return err
		}
		for _, d := range page.Data {
			if d.State == client.DeliveryStateDelivered && d.Attempts >= attempts && d.LastStatus != nil {
				w.story.tell("api", "delivery %s of %s: %s, attempt %d answered %d", d.ID, eventID, d.State, d.Attempts,
					*d.LastStatus)
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("event %s has no delivery that is delivered after %d attempts: %w", eventID, attempts, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (w *system) recovery(ctx context.Context) error {
	id, err := w.shop.Subscribe(ctx, devnet.FlakyHookPath, string(webhook.PaymentCanceled))
	if err != nil {
		return err
	}
	w.story.tell("api", "201 endpoint %s for %s%s", id, w.shop.URL(), devnet.FlakyHookPath)
	o, err := w.buy(ctx, "A cup of coffee", "0.002", false)
	if err != nil {
		return err
	}
	p, err := w.api.CancelPayment(ctx, o.PaymentID)
	if err != nil {
		return err
	}
	w.story.tell("api", "200 payment %s is %s", o.PaymentID, p.Status)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		changed := w.shop.Changed()
		if e, ok := w.story.event(o.PaymentID, webhook.PaymentCanceled, devnet.FlakyHookPath); ok && w.shop.Recovered(e.ID) {
			return w.delivered(ctx, e.ID, 3)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the failing endpoint did not recover: %w", ctx.Err())
		case <-changed:
		}
	}
}

func (w *system) reorg(ctx context.Context) error {
	o, err := w.buy(ctx, "A cup of coffee", "0.002", false)
	if err != nil {
		return err
	}
	tx, err := w.pay(ctx, o)
	if err != nil {
		return err
	}
	if err := w.sees(ctx, o, webhook.PaymentDetected); err != nil {
		return err
	}
	gone, err := w.chain.ReorgOut(tx)
	if err != nil {
		return err
	}
	w.story.tell("chain", "reorg: %d block(s) replaced, %s is gone", gone.Depth, tx)
	if err := w.sees(ctx, o, webhook.PaymentReorged); err != nil {
		return err
	}
	if _, err := w.pay(ctx, o); err != nil {
		return err
	}
	return w.paid(ctx, o)
}

// sees waits until the shop has verified an event of a type for the order.
func (w *system) sees(ctx context.Context, o devnet.Order, t webhook.EventType) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := w.shop.Wait(ctx, o.ID, func(o devnet.Order) bool { return slices.Contains(o.Events, string(t)) })
	return err
}

// waitReady asks /readyz until it says yes and the scanner has recorded a block: payments are refused on a chain that
// does not move.
func (w *system) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.opsURL+"/readyz", nil)
		if err != nil {
			return err
		}
		last := "no answer"
		if res, err := http.DefaultClient.Do(req); err == nil {
			body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
			res.Body.Close()
			last = string(body)
			if res.StatusCode == http.StatusOK {
				if _, err = w.store.Cursor(ctx, devnet.ChainID); err == nil {
					return nil
				}
				last = "the scanner has recorded no block yet"
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway is not ready: %s", last)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
