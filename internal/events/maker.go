package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Maker makes events. It holds the form of every event type, made of its schema, and is safe for concurrent use.
type Maker struct {
	forms map[webhook.EventType]*form
}

// New compiles the schemas.
func New() (*Maker, error) {
	m := &Maker{forms: make(map[webhook.EventType]*form)}
	for _, t := range webhook.EventTypes() {
		doc, err := closedSchema(t)
		if err != nil {
			return nil, fmt.Errorf("events: schema of %s: %w", t, err)
		}
		if m.forms[t], err = compileForm(doc); err != nil {
			return nil, fmt.Errorf("events: schema of %s: %w", t, err)
		}
	}
	return m, nil
}

// closedSchema is the published schema of a type, as what we send ourselves has to fit it.
func closedSchema(t webhook.EventType) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(webhook.Schema(t)))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	closeObjects(doc)
	return doc, nil
}

// closeObjects lets the objects of a schema have no members but those that it names. Published schemas are open, since
// receivers must bear what later versions add; what we send ourselves has nothing that the schema does not tell of.
func closeObjects(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, e := range s {
			closeObjects(e)
		}
	case map[string]any:
		_, hasMembers := s["properties"]
		_, says := s["additionalProperties"]
		if hasMembers && !says && s["type"] == "object" {
			s["additionalProperties"] = false
		}
		for _, e := range s {
			closeObjects(e)
		}
	}
}

// Payment is what an event of a payment tells.
type Payment struct {
	Type        webhook.EventType
	MerchantID  string
	Test        bool            // on a test chain
	View        webhook.Payment // the payment as its merchant sees it
	Retracts    []string        // ids of earlier events that do not hold any more
	Misdirected *webhook.Misdirected
}

// Payment makes an event of a payment, at now.
func (m *Maker) Payment(p Payment, now time.Time) (models.Event, error) {
	e := models.Event{MerchantID: p.MerchantID, PaymentID: &p.View.ID, Type: string(p.Type), Sequence: p.View.Sequence,
		Retracts: p.Retracts, Test: p.Test, About: FactsOf(p.View)}
	return m.seal(e, webhook.Data{Payment: &p.View, Retracts: p.Retracts, Misdirected: p.Misdirected}, now)
}

// FactsOf is what the filters of endpoints ask about, of a payment as an event shows it.
func FactsOf(p webhook.Payment) *models.EventFacts {
	return &models.EventFacts{
		Asked:  []models.AskedAsset{{Chain: p.Chain, Symbol: p.Asset.Symbol, Contract: contractOf(p.Asset)}},
		Status: models.PaymentStatus(p.Status), Metadata: p.Metadata,
	}
}

func contractOf(a webhook.Asset) string {
	if a.Contract == nil {
		return ""
	}
	return *a.Contract
}

// SecretDates are what an event of an endpoint tells of the secret that signs now. Both are nil for an endpoint without
// one.
type SecretDates struct{ CreatedAt, ExpiresAt *time.Time }

// Endpoint makes an event of an endpoint, at now. With the type of a payment it is a test event: a made-up payment,
// sent to this endpoint alone.
func (m *Maker) Endpoint(t webhook.EventType, e models.Endpoint, secret SecretDates,
	now time.Time) (models.Event, error) {
	var data webhook.Data
	if t.IsPayment() {
		data = Sample(t, now)
	} else {
		view := &webhook.Endpoint{
			ID: e.ID, URL: e.URL, Status: string(e.Status),
			SecretCreatedAt: webhook.AtPtr(secret.CreatedAt), SecretExpiresAt: webhook.AtPtr(secret.ExpiresAt),
		}
		if e.DisabledReason != "" {
			view.DisabledReason = &e.DisabledReason
		}
		data = webhook.Data{Endpoint: view}
	}
	return m.seal(models.Event{MerchantID: e.MerchantID, EndpointID: &e.ID, Type: string(t),
		Test: e.Mode == models.ModeTest}, data, now)
}

// seal puts data into the envelope of an event: id, time and nonce.
func (m *Maker) seal(e models.Event, data webhook.Data, now time.Time) (models.Event, error) {
	nonce, err := webhook.NewNonce(nil)
	if err != nil {
		return models.Event{}, fmt.Errorf("events: %w", err)
	}
	e.ID, e.CreatedAt = models.NewID(models.PrefixEvent, now), now
	e.Body, err = m.encode(webhook.Event{
		ID: e.ID, Type: webhook.EventType(e.Type), APIVersion: webhook.APIVersion, CreatedAt: webhook.At(now),
		Timestamp: now.Unix(), Nonce: nonce, MerchantID: e.MerchantID, Data: data,
	})
	if err != nil {
		return models.Event{}, err
	}
	return e, nil
}

// encode returns the body of an event. The error names the event and the first thing that does not fit.
func (m *Maker) encode(ev webhook.Event) ([]byte, error) {
	form, ok := m.forms[ev.Type]
	if !ok {
		return nil, fmt.Errorf("events: %s: no schema for type %q", ev.ID, ev.Type)
	}
	body, err := webhook.Encode(ev)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	if err := form.check(body); err != nil {
		return nil, fmt.Errorf("events: %s: the body does not fit its schema: %w", ev.ID, err)
	}
	return body, nil
}
