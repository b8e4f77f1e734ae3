package outbox_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/outbox"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

var (
	someChains   = []string{"ethereum", "base", "sepolia"}
	someAssets   = []string{"USDC", "usdc", "ETH", models.AssetNative, usdcContract, strings.ToUpper(usdcContract)}
	someStatuses = models.PaymentStatuses
	someKeys     = []string{"shop", "cart", ""}
	someValues   = []string{"berlin", "hamburg", ""}
)

const usdcContract = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"

func pick[T any](t *rapid.T, name string, from []T, most int) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, name)
}

func anyFilter(t *rapid.T) *models.EndpointFilter {
	if rapid.Bool().Draw(t, "no filter") {
		return nil
	}
	f := &models.EndpointFilter{Chains: pick(t, "chains", someChains, 2), Assets: pick(t, "assets", someAssets, 2),
		Statuses: pick(t, "statuses", someStatuses, 3)}
	for _, key := range pick(t, "keys", someKeys, 2) {
		if f.Metadata == nil {
			f.Metadata = map[string][]string{}
		}
		f.Metadata[key] = pick(t, "values", someValues, 2)
	}
	return f
}

// asksFor is the law of a filter in one sentence for each part.
func asksFor(f *models.EndpointFilter, e models.EventFacts) bool {
	if f == nil {
		return true
	}
	asset := false
	for _, a := range e.Asked {
		onChain := len(f.Chains) == 0 || slices.Contains(f.Chains, a.Chain)
		named := len(f.Assets) == 0
		for _, name := range f.Assets {
			named = named || strings.EqualFold(name, a.Symbol) || a.Contract != "" && strings.EqualFold(name, a.Contract) ||
				a.Contract == "" && name == models.AssetNative
		}
		asset = asset || onChain && named
	}
	status := len(f.Statuses) == 0 || slices.Contains(f.Statuses, e.Status)
	metadata := true
	for key, values := range f.Metadata {
		have, ok := e.Metadata[key]
		metadata = metadata && ok && slices.Contains(values, have)
	}
	return asset && status && metadata
}

// TestFilterLaw: whatever filter and event, an endpoint gets an event of a payment exactly when each part of its filter
// holds, or when the event retracts something that it was sent; and every event that is not about a payment.
func TestFilterLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ep := models.Endpoint{ID: "we_1", MerchantID: "mer_1", Events: []string{"*"}, Mode: models.ModeBoth,
			Status: models.EndpointEnabled, Filter: anyFilter(t)}
		asset := rapid.SampledFrom([]models.AskedAsset{{Symbol: "ETH"}, {Symbol: "USDC", Contract: usdcContract}})
		facts := models.EventFacts{Status: rapid.SampledFrom(someStatuses).Draw(t, "status"), Metadata: map[string]string{}}
		for range rapid.IntRange(1, 3).Draw(t, "asked") {
			a := asset.Draw(t, "asset")
			a.Chain = rapid.SampledFrom(someChains).Draw(t, "chain")
			facts.Asked = append(facts.Asked, a)
		}
		for _, key := range pick(t, "payment keys", someKeys, 2) {
			facts.Metadata[key] = rapid.SampledFrom(someValues).Draw(t, "payment value")
		}
		other := "we_2"
		e := models.Event{ID: "evt_1", MerchantID: "mer_1", EndpointID: &other, About: &facts,
			Type: string(rapid.SampledFrom(webhook.EventTypes()).Draw(t, "type"))}
		if rapid.Bool().Draw(t, "told") {
			e.Told = []string{"we_0", ep.ID}
		}
		want := len(e.Told) > 0 || !webhook.EventType(e.Type).IsPayment() || asksFor(ep.Filter, facts)
		got := outbox.FanOut([]models.Event{e}, []models.Endpoint{ep}, 15)
		if (len(got) == 1) != want {
			t.Fatalf("%d deliveries of %s %+v through %+v, want %t", len(got), e.Type, facts, ep.Filter, want)
		}
		if test := outbox.FanOut([]models.Event{{ID: "evt_2", MerchantID: "mer_1", Type: string(webhook.WebhookTest)}},
			[]models.Endpoint{ep}, 15); len(test) != 1 {
			t.Fatal("a test event did not pass")
		}
	})
}

// TestRetractionsReachWhoWasTold: an endpoint that was sent an event gets what retracts it, although the payment's
// status and metadata have left its filter meanwhile; one that was sent nothing does not.
func TestRetractionsReachWhoWasTold(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := deliverytest.New(t, s)
		m := w.Merchant()
		told, _ := w.Endpoint(m, "https://told.example/")
		never, _ := w.Endpoint(m, "https://never.example/")
		set := func(e models.Endpoint, f models.EndpointFilter) {
			w.InTx(func(tx *store.Tx) error {
				row, err := tx.LockEndpoint(t.Context(), m, e.ID)
				if err != nil {
					return err
				}
				row.Filter = &f
				_, err = tx.SaveEndpoint(t.Context(), row)
				return err
			})
		}
		set(told, models.EndpointFilter{Statuses: []models.PaymentStatus{models.PaymentConfirmed}})
		set(never, models.EndpointFilter{Metadata: map[string][]string{"shop": {"hamburg"}}})
		publish := func(status models.PaymentStatus, retracts ...string) (models.Event, []string) {
			e := w.Event(m)
			e.Type, e.Retracts = string(webhook.PaymentConfirmed), retracts
			e.About = &models.EventFacts{Asked: []models.AskedAsset{{Chain: "ethereum", Symbol: "ETH"}}, Status: status}
			got := make(map[string]bool)
			w.InTx(func(tx *store.Tx) error {
				ds, err := outbox.Publish(t.Context(), tx, []models.Event{e}, 15)
				for _, d := range ds {
					got[d.EndpointID] = true
				}
				return err
			})
			return e, slices.Collect(maps.Keys(got))
		}
		if _, got := publish(models.PaymentDetected); len(got) != 0 {
			t.Errorf("detected went to %v", got)
		}
		confirmed, got := publish(models.PaymentConfirmed)
		if !slices.Equal(got, []string{told.ID}) {
			t.Errorf("confirmed went to %v", got)
		}
		if _, got := publish(models.PaymentPending, confirmed.ID); !slices.Equal(got, []string{told.ID}) {
			t.Errorf("the retraction went to %v", got)
		}
	})
}
