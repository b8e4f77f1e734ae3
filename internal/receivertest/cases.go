package receivertest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/events"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// want is what a receiver should make of a request.
type want int

const (
	accept want = iota // 2xx, and it has its effect
	ignore             // 2xx, and nothing changes
	refuse             // anything but 2xx, and nothing changes
)

func (w want) String() string {
	return [...]string{"accepted", "accepted without effect", "refused"}[w]
}

// request is one POST.
type request struct {
	header http.Header
	body   []byte
}

func (r request) clone() request { return request{r.header.Clone(), bytes.Clone(r.body)} }

// shot is one thing to fire.
type shot struct {
	name string
	want want
	why  string // what it means when it is not so
	request
	// copies is how many of it are fired at once, if more than one. One of them at least is to be accepted, and the effect
	// to be that of one.
	copies int
	// marks are the orders of the events in it, by which effects are counted; settled is one whose effect must not come
	// again.
	marks   []string
	settled string
}

// maker makes genuine requests.
type maker struct {
	secret  webhook.Secret
	now     time.Time
	batches bool // among them
}

// event is a sample event of a type, about a payment of its own unless one is given.
func (m maker) event(t webhook.EventType, paymentID string, sequence int) (webhook.Event, error) {
	nonce, err := webhook.NewNonce(nil)
	if err != nil {
		return webhook.Event{}, err
	}
	e := webhook.Event{
		ID: models.NewID(models.PrefixEvent, m.now), Type: t, APIVersion: webhook.APIVersion, CreatedAt: webhook.At(m.now),
		Timestamp: m.now.Unix(), Nonce: nonce, MerchantID: models.NewID(models.PrefixMerchant, m.now),
		Data: events.Sample(t, m.now),
	}
	p := e.Data.Payment
	if p == nil { // a type that there is not: any data will do
		e.Data = events.Sample(webhook.PaymentCreated, m.now)
		p = e.Data.Payment
	}
	order := events.SampleOrderID + "-" + p.ID[len(p.ID)-8:]
	if paymentID != "" {
		p.ID, p.Sequence = paymentID, sequence
		order = events.SampleOrderID + "-" + paymentID[len(paymentID)-8:]
	}
	p.OrderID = &order
	return e, nil
}

// sign makes the request that carries an event at a time.
func (m maker) sign(e webhook.Event, at time.Time, attempt int) (request, error) {
	body, err := webhook.Encode(e)
	if err != nil {
		return request{}, err
	}
	return m.signed(e.ID, body, at, attempt), nil
}

func (m maker) signed(id string, body []byte, at time.Time, attempt int) request {
	h := http.Header{}
	webhook.Secrets{Current: m.secret}.SetHeaders(h, id, at, attempt, body)
	h.Set("Content-Type", webhook.ContentType)
	h.Set("User-Agent", webhook.UserAgent)
	return request{h, body}
}

// fresh is a genuine request of a new sample event.
func (m maker) fresh(t webhook.EventType) (request, error) {
	r, _, err := m.marked(t)
	return r, err
}

// marked also returns the order that the event is about.
func (m maker) marked(t webhook.EventType) (request, string, error) {
	e, err := m.event(t, "", 0)
	if err != nil {
		return request{}, "", err
	}
	r, err := m.sign(e, m.now, 1)
	return r, *e.Data.Payment.OrderID, err
}

// signText signs what [webhook.Sign] would not: any text before the body.
func (m maker) signText(before string, body []byte) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.secret.RevealStandard(), "whsec_"))
	if err != nil {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(before))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// shots lists everything in the order in which it is fired.
func (m maker) shots() ([]shot, error) {
	genuine, order, err := m.marked(webhook.PaymentConfirmed)
	if err != nil {
		return nil, err
	}
	all := []shot{
		{name: "a genuine event", want: accept, why: "nothing of ours arrives: is it the right secret?", request: genuine,
			marks: []string{order}},
		{name: "the same request again", want: ignore, request: genuine.clone(),
			why: "a recorded request works twice; or it is answered with a failure, and the gateway will send it again"},
		{name: "the same event, retried with a new timestamp", want: ignore, request: m.again(genuine),
			why: "a retry after a lost answer counts twice; dedupe by webhook-id"},
	}
	builders := []func() ([]shot, error){m.atOnce, m.order, m.accepted, m.refused}
	if m.batches {
		builders = append(builders, func() ([]shot, error) { return m.batched(genuine, order) })
	}
	for _, build := range builders {
		more, err := build()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// again is a request as the gateway retries it.
func (m maker) again(r request) request {
	return m.signed(r.header.Get(webhook.HeaderID), r.body, m.now.Add(time.Second), 2)
}

// atOnce is an event of which copies arrive together, as when a retry overtakes a slow handler.
func (m maker) atOnce() ([]shot, error) {
	r, order, err := m.marked(webhook.PaymentConfirmed)
	return []shot{
		{name: "eight copies of an event at once", want: accept, request: r, copies: 8, marks: []string{order},
			why: "copies that arrive together count more than once, or none is accepted: take the id under a unique key, in " +
				"the transaction that has the effect"},
		{name: "the same event once more, after the copies", want: ignore, request: m.again(r),
			why: "the copies left the event unfinished, or it is answered with a failure, and the gateway will send it again"},
	}, err
}

// batched are batches; handled is the request of an event that came alone before, about order.
func (m maker) batched(handled request, order string) ([]shot, error) {
	var bodies [][]byte
	var orders []string
	for range 3 {
		r, order, err := m.marked(webhook.PaymentConfirmed)
		if err != nil {
			return nil, err
		}
		bodies, orders = append(bodies, r.body), append(orders, order)
	}
	batch := func(bodies ...[]byte) (request, error) {
		body, err := webhook.EncodeBatch(bodies)
		return m.signed(models.NewID(models.PrefixBatch, m.now), body, m.now, 1), err
	}
	first, err := batch(bodies[0], bodies[1])
	if err != nil {
		return nil, err
	}
	other, err := batch(bodies[1], bodies[0])
	if err != nil {
		return nil, err
	}
	mixed, err := batch(handled.body, bodies[2])
	if err != nil {
		return nil, err
	}
	alone, err := webhook.Decode(bodies[1])
	if err != nil {
		return nil, err
	}
	spoiled, err := m.fresh(webhook.PaymentConfirmed)
	if err != nil {
		return nil, err
	}
	if spoiled, err = batch(spoiled.body); err != nil {
		return nil, err
	}
	spoil(&spoiled)
	const member = "events of a batch count again in another one, or alone: dedupe by the id of each event, not by " +
		"webhook-id"
	return []shot{
		{name: "a batch of two new events", want: accept, request: first, marks: orders[:2],
			why: "the events of a batch do not arrive"},
		{name: "the same batch, retried with a new timestamp", want: ignore, request: m.again(first),
			why: "a batch counts twice after a lost answer"},
		{name: "an event of the batch, alone", want: ignore, request: m.signed(alone.ID, bodies[1], m.now, 2), why: member},
		{name: "the same events in another batch", want: ignore, request: other, why: member},
		{name: "a batch of an event that came alone before and a new one", want: accept, request: mixed, marks: orders[2:],
			settled: order, why: member},
		{name: "another amount in a batch", want: refuse, request: spoiled, why: "anybody on the way can change the money"},
	}, nil
}

// order is a payment whose events arrive in the wrong order.
func (m maker) order() ([]shot, error) {
	payment := models.NewID(models.PrefixPayment, m.now)
	var out []shot
	for _, s := range []struct {
		t        webhook.EventType
		sequence int
		name     string
		want     want
		why      string
	}{
		{webhook.PaymentConfirmed, 3, "payment.confirmed, sequence 3, first of its payment", accept,
			"an event that overtook others is not accepted"},
		{webhook.PaymentDetected, 2, "payment.detected, sequence 2, after sequence 3", ignore,
			"a late event undoes a newer one; go by data.payment.sequence"},
		{webhook.PaymentCreated, 1, "payment.created, sequence 1, after sequence 3", ignore,
			"a late event undoes a newer one; go by data.payment.sequence"},
	} {
		e, err := m.event(s.t, payment, s.sequence)
		if err != nil {
			return nil, err
		}
		r, err := m.sign(e, m.now, 1)
		if err != nil {
			return nil, err
		}
		out = append(out, shot{name: s.name, want: s.want, why: s.why, request: r})
	}
	return out, nil
}

// accepted are unusual requests that the gateway does send.
func (m maker) accepted() ([]shot, error) {
	var out []shot
	for _, s := range []struct {
		name, why string
		event     webhook.EventType
		want      want
		change    func(r *request)
	}{
		{"a timestamp of 4 minutes ago", "clocks differ; the tolerance should be 5 minutes", webhook.PaymentConfirmed, accept,
			func(r *request) {
				*r = m.signed(r.header.Get(webhook.HeaderID), r.body, m.now.Add(-4*time.Minute), 1)
			}},
		{"the good signature last among others", "events fail while a secret is rotated; try every v1 entry",
			webhook.PaymentConfirmed, accept, func(r *request) {
				stranger, err := webhook.NewSecret(nil)
				if err == nil {
					other := webhook.Sign(stranger, r.header.Get(webhook.HeaderID), m.now, r.body)
					r.header.Set(webhook.HeaderStandardSignature, other+" v1a,"+strings.Repeat("A", 86)+"== "+
						r.header.Get(webhook.HeaderStandardSignature))
				}
			}},
		{"an event of a type that does not exist yet",
			"new types will be retried until they are dead; answer 2xx to what you do not know", "payment.imagined", ignore,
			nil},
		{"letters beyond ASCII", "verify the bytes as they came, before anything decodes them", webhook.PaymentConfirmed,
			accept, func(r *request) {
				*r = m.signed(r.header.Get(webhook.HeaderID),
					bytes.Replace(r.body, []byte(`"sample":"true"`), []byte(`"sample":"café ☕ 支付 <&>"`), 1), m.now, 1)
			}},
	} {
		r, err := m.fresh(s.event)
		if err != nil {
			return nil, err
		}
		if s.change != nil {
			s.change(&r)
		}
		out = append(out, shot{name: s.name, want: s.want, why: s.why, request: r})
	}
	return out, nil
}

// spoil changes the money in a request, and nothing else.
func spoil(r *request) {
	r.body = bytes.Replace(r.body, []byte(`"amount_confirmed":"1500000"`), []byte(`"amount_confirmed":"9500000"`), 1)
}

// refused are forgeries: each differs in one thing from a genuine request that was never sent. It is long because it
// is a list.
func (m maker) refused() ([]shot, error) {
	stranger, err := webhook.NewSecret(nil)
	if err != nil {
		return nil, err
	}
	set := func(name string, value func(r *request) string) func(*request) {
		return func(r *request) { r.header.Set(name, value(r)) }
	}
	signature := func(change func(good string) string) func(*request) {
		return func(r *request) {
			r.header.Set(webhook.HeaderStandardSignature, change(r.header.Get(webhook.HeaderStandardSignature)))
			// The older scheme would let the request in by itself.
			r.header.Set(webhook.HeaderSignature, strings.Repeat("0", 64))
		}
	}
	resign := func(at time.Time) func(*request) {
		return func(r *request) { *r = m.signed(r.header.Get(webhook.HeaderID), r.body, at, 1) }
	}
	const stale = "a recorded request works for ever: check webhook-timestamp"
	var out []shot
	for _, s := range []struct {
		name, why string
		change    func(*request)
	}{
		{"a timestamp of 6 minutes ago, well signed", stale, resign(m.now.Add(-6 * time.Minute))},
		{"a timestamp of a week ago, well signed", stale, resign(m.now.Add(-7 * 24 * time.Hour))},
		{"a timestamp 6 minutes ahead, well signed", "requests can be kept for later: refuse timestamps of the future too",
			resign(m.now.Add(6 * time.Minute))},
		{"a new timestamp under an old signature", "the timestamp is not part of what you verify", func(r *request) {
			resign(m.now.Add(-7 * 24 * time.Hour))(r)
			r.header.Set(webhook.HeaderTimestamp, strconv.FormatInt(m.now.Unix(), 10))
		}},
		{"another amount in the body", "anybody on the way can change the money", spoil},
		{"one byte more in the body", "the body is not verified byte for byte",
			func(r *request) { r.body = append(r.body, ' ') }},
		{"another webhook-id", "duplicates can be given new ids: the id is not part of what you verify",
			set(webhook.HeaderID, func(*request) string { return models.NewID(models.PrefixEvent, m.now) })},
		{"a signature cut short", "a prefix of a signature is enough, and can be guessed",
			signature(func(good string) string { return good[:len(good)-8] })},
		{"a signature of one character", "a prefix of a signature is enough, and can be guessed",
			signature(func(good string) string { return good[:4] })},
		{"an empty signature", "no signature is needed", signature(func(string) string { return "v1," })},
		{"a signature in hex", "the signature is not compared as the specification says", signature(func(good string) string {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(good, "v1,"))
			if err != nil {
				return "v1,"
			}
			return "v1," + hex.EncodeToString(raw)
		})},
		{"a good signature under a version that does not exist", "versions are ignored",
			signature(func(good string) string { return "v2," + strings.TrimPrefix(good, "v1,") })},
		{"a stranger's signature", "anybody can forge: is the signature verified at all?", func(r *request) {
			id := r.header.Get(webhook.HeaderID)
			*r = maker{secret: stranger, now: m.now}.signed(id, r.body, m.now, 1)
		}},
		{"no signature headers", "anybody can forge: is the signature verified at all?", func(r *request) {
			r.header.Del(webhook.HeaderStandardSignature)
			r.header.Del(webhook.HeaderSignature)
		}},
		{"no webhook-timestamp", "leaving a header out switches the check off",
			func(r *request) { r.header.Del(webhook.HeaderTimestamp); r.header.Del(webhook.HeaderSignature) }},
		{"no webhook-id", "leaving a header out switches the check off",
			func(r *request) { r.header.Del(webhook.HeaderID); r.header.Del(webhook.HeaderSignature) }},
		{"the older signature alone", "who leaves the signed time out gets in for ever: insist on webhook-signature",
			func(r *request) {
				for _, name := range []string{webhook.HeaderStandardSignature, webhook.HeaderTimestamp, webhook.HeaderID} {
					r.header.Del(name)
				}
			}},
		{"a timestamp that is no number, well signed", "a check of the time that fails lets the request in",
			func(r *request) {
				text := m.now.UTC().Format(time.RFC3339)
				r.header.Set(webhook.HeaderTimestamp, text)
				r.header.Set(webhook.HeaderStandardSignature, m.signText(r.header.Get(webhook.HeaderID)+"."+text+".", r.body))
				r.header.Del(webhook.HeaderSignature)
			}},
	} {
		r, err := m.fresh(webhook.PaymentConfirmed)
		if err != nil {
			return nil, err
		}
		s.change(&r)
		out = append(out, shot{name: s.name, want: refuse, why: s.why, request: r})
	}
	return out, nil
}
