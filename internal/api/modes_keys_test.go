package api

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestSecretsAreReplayedToTheirAsker: of every route whose answer holds a secret, a repeated request gets it again
// where the same key asks; another key with the same rights gets the same answer without it.
func TestSecretsAreReplayedToTheirAsker(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newModesWalk(t, s)
		tried := 0
		for _, op := range w.merchantsOperations() {
			if op.Method != http.MethodPost || op.ID == "testWebhookEndpoint" {
				continue
			}
			for _, mode := range []models.Mode{models.ModeLive, models.ModeTest} {
				id := w.objects(mode)[resource(op)]
				other := w.newKey(mode == models.ModeTest, "other", models.Scopes).secret
				send := func(key string) *httptest.ResponseRecorder {
					return w.request(op, key, mode, id, "Idempotency-Key", op.ID+"-"+string(mode))
				}
				first := send(w.full[mode])
				if first.Code >= 300 {
					continue
				}
				again, theirs := send(w.full[mode]), send(other)
				if again.Body.String() != first.Body.String() {
					t.Errorf("%s: the asker got %s, then %s", op.ID, first.Body, again.Body)
				}
				want, secrets := decoded[map[string]any](t, first, first.Code), secretMembers
				if op.ID == "createPortalLink" { // whose address opens the portal
					secrets = []string{"url"}
				}
				for _, name := range secrets {
					if _, ok := want[name]; ok {
						tried++
						delete(want, name)
					}
				}
				got := decoded[map[string]any](t, theirs, first.Code)
				if !reflect.DeepEqual(got, want) || theirs.Header().Get("Idempotency-Replayed") != "true" {
					t.Errorf("%s: another key got %s", op.ID, theirs.Body)
				}
			}
		}
		if tried != 8 { // an endpoint, another secret, a key and a link, each live and test
			t.Errorf("%d answers held a secret", tried)
		}
		for name, schema := range w.spec.Document().Components.Schemas {
			for member, of := range schema.Value.Properties {
				if strings.Contains(of.Value.Description, "only in the answer") && !slices.Contains(secretMembers, member) {
					t.Errorf("%s.%s is shown once, and replayed to anybody", name, member)
				}
			}
		}
	})
}

// TestIdempotencyKeysOfEachMode: a test key takes no Idempotency-Key from a live one, and gets no answer of one.
func TestIdempotencyKeysOfEachMode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		w := newModesWalk(t, s)
		pay := func(mode models.Mode, chain, key string) *httptest.ResponseRecorder {
			return w.ask(w.full[mode], "POST", "/api/v1/payments",
				`{"chain":"`+chain+`","asset":"native","amount":"1","order_id":"A-17"}`, "Idempotency-Key", key)
		}
		test := decoded[Payment](t, pay(models.ModeTest, "sepolia", "a"), http.StatusCreated)
		live := decoded[Payment](t, pay(models.ModeLive, "ethereum", "a"), http.StatusCreated)
		for mode, want := range map[models.Mode]string{models.ModeTest: test.ID, models.ModeLive: live.ID} {
			chain := map[models.Mode]string{models.ModeTest: "sepolia", models.ModeLive: "ethereum"}[mode]
			if got := decoded[Payment](t, pay(mode, chain, "a"), http.StatusCreated); got.ID != want {
				t.Errorf("%s: %s, want %s", mode, got.ID, want)
			}
			if got := pay(mode, chain, "c"); got.Code != http.StatusConflict || !strings.Contains(got.Body.String(), want) {
				t.Errorf("the order of the other mode: %d %s", got.Code, got.Body)
			}
		}
		if got := w.ask(w.full[models.ModeLive], "POST", "/api/v1/payments",
			`{"chain":"ethereum","asset":"native","amount":"1"}`,
			"Idempotency-Key", "b"); got.Code != http.StatusCreated {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		if got := w.ask(w.full[models.ModeTest], "POST", "/api/v1/payments",
			`{"chain":"sepolia","asset":"native","amount":"1"}`,
			"Idempotency-Key", "b"); got.Code != http.StatusConflict {
			t.Errorf("a live key's Idempotency-Key: %d %s", got.Code, got.Body)
		}
	})
}

// TestModesOfEndpoints: what keys may say of the mode of an endpoint, and that its events follow.
func TestModesOfEndpoints(t *testing.T) {
	w := newModesWalk(t, storetest.SQLite(t))
	create := func(mode models.Mode, said string) *httptest.ResponseRecorder {
		return w.ask(w.full[mode], "POST", "/api/v1/webhook_endpoints", `{"url":"https://shop.example/h"`+said+`}`)
	}
	for _, c := range []struct {
		key    models.Mode
		said   string
		status int
		mode   models.Mode
	}{
		{models.ModeLive, ``, 201, models.ModeLive}, {models.ModeLive, `,"mode":"test"`, 201, models.ModeTest},
		{models.ModeLive, `,"mode":"live"`, 201, models.ModeLive}, {models.ModeLive, `,"mode":"both"`, 422, ""},
		{models.ModeTest, ``, 201, models.ModeTest}, {models.ModeTest, `,"mode":"test"`, 201, models.ModeTest},
		{models.ModeTest, `,"mode":"live"`, 422, ""}, {models.ModeTest, `,"mode":"both"`, 422, ""},
	} {
		got := create(c.key, c.said)
		if got.Code != c.status || c.status == 422 && !strings.Contains(got.Body.String(), `"field":"mode"`) {
			t.Errorf("%s %s: %d %s", c.key, c.said, got.Code, got.Body)
		} else if c.status == 201 && decoded[WebhookEndpoint](t, got, 201).Mode != c.mode {
			t.Errorf("%s %s: %s", c.key, c.said, got.Body)
		}
	}
	both := w.objects(models.ModeBoth)["webhook_endpoints"]
	for _, c := range []struct {
		said   string
		status int
	}{{"both", 422}, {"live", 200}, {"live", 200}, {"test", 409}} {
		got := w.ask(w.full[models.ModeLive], "PATCH", "/api/v1/webhook_endpoints/"+both, `{"mode":"`+c.said+`"}`)
		if got.Code != c.status || c.status == 409 && !strings.Contains(got.Body.String(), "mode_is_final") {
			t.Errorf("to %s: %d %s", c.said, got.Code, got.Body)
		}
	}
}
