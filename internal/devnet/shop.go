package devnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ctrip-gateway/ctrip/client"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// ShopOptions say where the demo shop lives and how it reaches the gateway.
type ShopOptions struct {
	Addr   string // 127.0.0.1:0 picks a port
	APIURL string
	APIKey string
	Chain  *Chain // whose toy wallet pays when a visitor presses the button
	Name   string // of the chain, as the gateway calls it
	// Saw is told what the shop itself observed: an answer of the API, or a webhook that it verified.
	Saw func(Seen)
}

// Seen is something the shop observed. Event is set for a verified webhook.
type Seen struct {
	Text  string
	Event *webhook.Event
	Path  string // the endpoint's path
	At    time.Time
}

// Order is what a visitor bought. Paid follows from verified webhooks alone.
type Order struct {
	ID        string
	Item      string
	PaymentID string
	Address   string
	Amount    *big.Int // base units
	Token     bool     // in the demo token; otherwise in the chain's coin
	Checkout  string
	Status    string
	Todo      string   // what a person has to do about money that does not fit the order
	Events    []string // types, in the order of their sequence
	Made      time.Time
	sequence  int
}

// Shop is a merchant like any other: it creates payments over the REST API and believes only webhooks that the public
// package verifies. It keeps its orders in memory.
type Shop struct {
	options ShopOptions
	server  *http.Server
	address net.Addr
	api     *client.Client

	mu      sync.Mutex
	secrets map[string][]webhook.Secret // by path
	orders  map[string]*Order
	byPay   map[string]string // payment id → order id
	placed  []string
	refusal map[string]int // event id → times that the flaky endpoint has refused it
	changed chan struct{}  // closed and replaced whenever an order or an event changes
}

// Paths of the shop's endpoints. The flaky one refuses every event twice before it takes it.
const (
	HookPath      = "/hooks"
	FlakyHookPath = "/hooks/flaky"
	flakyRefusals = 2
)

// StartShop listens and serves. The shop has no endpoint at the gateway until [Shop.Subscribe].
func StartShop(o ShopOptions) (*Shop, error) {
	api, err := client.New(client.Options{URL: o.APIURL, Key: o.APIKey})
	if err != nil {
		return nil, fmt.Errorf("start shop: %w", err)
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start shop: %w", err)
	}
	s := &Shop{
		options: o, address: l.Addr(), api: api,
		secrets: make(map[string][]webhook.Secret), orders: make(map[string]*Order), byPay: make(map[string]string),
		refusal: make(map[string]int), changed: make(chan struct{}),
	}
	mux := http.NewServeMux()
	for _, path := range []string{HookPath, FlakyHookPath} {
		hook, err := webhook.Handler(http.HandlerFunc(s.receive), webhook.Options{Lookup: s.lookup})
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		mux.Handle("POST "+path, hook)
	}
	s.pages(mux)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l)
	return s, nil
}

// URL is where the shop is.
func (s *Shop) URL() string { return "http://" + s.address.String() }

// Close stops serving.
func (s *Shop) Close() error { return s.server.Close() }

// Subscribe creates a webhook endpoint at the gateway for one of the shop's paths and keeps its secret.
func (s *Shop) Subscribe(ctx context.Context, path string, events ...string) (string, error) {
	made, err := s.api.CreateWebhookEndpoint(ctx, client.WebhookEndpointCreate{
		URL: s.URL() + path, Events: &events, Description: new("demo shop " + path),
	})
	if err != nil {
		return "", err
	}
	if made.Secret == nil {
		return "", fmt.Errorf("the gateway shows no secret of %s", made.ID)
	}
	secret, err := webhook.ParseSecret(*made.Secret)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	s.secrets[path] = []webhook.Secret{secret}
	s.mu.Unlock()
	return made.ID, nil
}

// Buy places an order and asks the gateway for a payment of it.
func (s *Shop) Buy(ctx context.Context, item, amount string, token bool) (Order, error) {
	asset := "native"
	if token {
		asset = TokenSymbol
	}
	s.mu.Lock()
	o := &Order{ID: fmt.Sprintf("A-%d", len(s.placed)+1), Item: item, Token: token, Status: "new", Made: time.Now()}
	s.placed = append(s.placed, o.ID)
	s.orders[o.ID] = o
	s.mu.Unlock()
	p, err := s.api.CreatePayment(ctx, client.PaymentCreate{
		Chain: s.options.Name, Asset: asset, AmountDecimal: &amount, OrderID: &o.ID,
		Metadata: &map[string]string{"item": item}, RedirectURL: new(s.URL() + "/"),
	}, client.IdempotencyKey(o.ID))
	if err != nil {
		return Order{}, err
	}
	units, ok := new(big.Int).SetString(p.Amount, 10)
	if !ok {
		return Order{}, fmt.Errorf("the gateway answered amount %q", p.Amount)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o.PaymentID, o.Address, o.Amount = p.ID, p.Address, units
	if p.CheckoutURL != nil {
		o.Checkout = *p.CheckoutURL
	}
	if o.Status == "new" {
		o.Status = "waiting for payment"
	}
	s.byPay[p.ID] = o.ID
	s.change()
	return *o, nil
}

// Pay sends what an order costs from the toy wallet and returns the transaction's hash.
func (s *Shop) Pay(ctx context.Context, o Order) (string, error) {
	if o.Token {
		return s.options.Chain.SendToken(ctx, s.options.Chain.DemoPayer(), o.Address, o.Amount)
	}
	return s.options.Chain.SendNative(ctx, s.options.Chain.DemoPayer(), o.Address, o.Amount)
}

// Wait returns the order once it satisfies ready.
func (s *Shop) Wait(ctx context.Context, id string, ready func(Order) bool) (Order, error) {
	for {
		s.mu.Lock()
		o, changed := *s.orders[id], s.changed
		s.mu.Unlock()
		if ready(o) {
			return o, nil
		}
		select {
		case <-ctx.Done():
			return o, fmt.Errorf("order %s is still %q after %v: %w", id, o.Status, o.Events, ctx.Err())
		case <-changed:
		}
	}
}

// receive handles an event that the middleware has verified under webhook-signature. The older X-Webhook-Signature is
// verified here too, because a merchant may rely on it alone.
func (s *Shop) receive(w http.ResponseWriter, r *http.Request) {
	e, _ := webhook.FromContext(r.Context())
	secrets, err := s.lookup(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := webhook.VerifyBody(r.Header, body, secrets); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	seen := Seen{Event: &e, Path: r.URL.Path, At: time.Now()}
	if r.URL.Path == FlakyHookPath {
		s.mu.Lock()
		s.refusal[e.ID]++
		n := s.refusal[e.ID]
		s.mu.Unlock()
		if n <= flakyRefusals {
			seen.Text = fmt.Sprintf("verified %s %s and answered 500 on purpose (attempt %s)",
				e.Type, e.ID, r.Header.Get(webhook.HeaderAttempt))
			s.options.Saw(seen)
			http.Error(w, "this endpoint fails twice before it recovers", http.StatusInternalServerError)
			return
		}
		seen.Text = fmt.Sprintf("verified %s %s and answered 200: recovered at attempt %s",
			e.Type, e.ID, r.Header.Get(webhook.HeaderAttempt))
	} else {
		seen.Text = fmt.Sprintf("verified %s %s, both signatures", e.Type, e.ID)
	}
	s.options.Saw(seen) // before the order moves, so that whoever waits for an order finds that its event was seen
	s.apply(e, r.URL.Path)
	w.WriteHeader(http.StatusOK)
}

// apply moves an order by a verified event and wakes who waits. Events come in any order: the sequence says which is
// the newest. The flaky endpoint only repeats what HookPath gets.
func (s *Shop) apply(e webhook.Event, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.change()
	p := e.Data.Payment
	if p == nil || p.OrderID == nil || path == FlakyHookPath {
		return
	}
	o, ok := s.orders[*p.OrderID]
	if !ok {
		return
	}
	o.Events = append(o.Events, string(e.Type))
	o.note(e)
	if p.Sequence > o.sequence {
		o.sequence = p.Sequence
		o.Status = map[string]string{
			"pending": "waiting for payment", "detected": "payment seen", "confirmed": "paid",
			"expired": "expired", "canceled": "canceled",
		}[p.Status]
	}
}

// note says what somebody has to do about money that does not fit the order.
func (o *Order) note(e webhook.Event) {
	p := e.Data.Payment
	closed := p.Status == "expired" || p.Status == "canceled"
	switch {
	case e.Type == webhook.PaymentOverpaid:
		o.Todo = "Too much arrived: refund the rest."
	case e.Type == webhook.PaymentLate && closed:
		o.Todo = "Money came too late: ship all the same, or refund."
	case e.Type == webhook.PaymentExpired && p.AmountReceived != "0":
		o.Todo = "Only a part arrived: refund it."
	case e.Type == webhook.PaymentMisdirected:
		o.Todo = "Another coin arrived: refund it."
	case e.Type == webhook.PaymentConfirmed && !p.OrderCurrent:
		o.Todo = "Paid after the order was given up: ship by hand, or refund."
	}
}

// Recovered reports whether the flaky endpoint has taken an event of the given payment after refusing it.
func (s *Shop) Recovered(eventID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal[eventID] > flakyRefusals
}

// Changed is closed at the next change of an order or an event.
func (s *Shop) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// change wakes everybody who waits; the lock is held.
func (s *Shop) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Shop) lookup(r *http.Request) ([]webhook.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secrets := s.secrets[r.URL.Path]
	if len(secrets) == 0 {
		return nil, errors.New("the shop has no secret for this path yet")
	}
	return secrets, nil
}
