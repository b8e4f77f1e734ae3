package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/admin"
	"github.com/ctrip-gateway/ctrip/internal/delivery"
	"github.com/ctrip-gateway/ctrip/internal/delivery/deliverytest"
	"github.com/ctrip-gateway/ctrip/internal/endpoints"
	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/internal/testkit"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// export seals the evidence of a delivery and opens it with the gateway's keys.
func export(t *testing.T, d *admin.Admin, deliveryID string) (proof.Evidence, string) {
	t.Helper()
	sealed, err := d.Evidence(t.Context(), deliveryID)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	published, err := d.SigningKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var keys []webhook.PublicKey
	for _, k := range published {
		key, err := webhook.ParsePublicKey(k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	e, _, err := proof.Open(text, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return e, string(text)
}

// TestEvidenceOfADelivery: the bytes are those that the receiver has, every request and answer is there with nothing
// secret, a batch and a redelivery included, and the audit lines about it all.
func TestEvidenceOfADelivery(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := testkit.NewReceiver(t)
		r.Answers(testkit.Answer{Status: 413, Body: []byte("too <much>")}, testkit.Answer{Status: 500, Body: []byte("oh no")},
			testkit.Answer{Status: 204}, testkit.Answer{Status: 200})
		var mu sync.Mutex
		var offered []models.Delivery
		s.OnCommit(func(ds []models.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			offered = append(offered, ds...)
		})
		w := deliverytest.New(t, s)
		clock := testkit.NewClock(time.Now())
		w.Now = clock.Now
		merchant := w.Merchant()
		headers := map[string]string{"X-Shop-Token": "a-token-of-the-shop"}
		endpoint, secret := w.Endpoint(merchant, r.URL, deliverytest.Batching(10, time.Minute),
			func(set *endpoints.Settings) { set.Headers = headers })
		members := w.PublishPayments(merchant, 2, 0)
		clock.Advance(2 * time.Minute)
		if n, err := w.Batcher().Form(t.Context()); err != nil || n != 1 {
			t.Fatalf("%d batches, %v", n, err)
		}
		mu.Lock()
		batch := offered[len(offered)-1]
		mu.Unlock()
		sender := w.Sender()
		attempt := func(d models.Delivery, want delivery.Step) {
			t.Helper()
			if out := sender.Attempt(t.Context(), delivery.Task{DeliveryID: d.ID, Generation: d.Generation,
				EndpointID: d.EndpointID}); out.Do != want {
				t.Fatalf("%+v", out)
			}
		}
		attempt(batch, delivery.Ack)                 // 413: the members go alone from here on
		attempt(w.Get(members[0]), delivery.Requeue) // 500
		clock.Advance(time.Hour)
		attempt(w.Get(members[0]), delivery.Ack) // 204
		var again models.Delivery
		w.InTx(func(tx *store.Tx) (err error) {
			again, err = w.Redelivery.Redeliver(t.Context(), tx, models.System, merchant, members[0].ID)
			return err
		})
		attempt(again, delivery.Ack)
		sent := r.WaitCount(t, 4, time.Second)

		d := openAdmin(t, s)
		e, text := export(t, d, members[0].ID)
		if !bytes.Equal(e.Message.Body, sent[1].Body) || e.Message.ID != sent[1].ID() || len(e.Batches) != 1 ||
			!bytes.Equal(e.Batches[0].Body, sent[0].Body) {
			t.Errorf("not the bytes that were sent: %s", e.Message.Body)
		}
		if len(e.Deliveries) != 2 || e.Deliveries[1].ReplayOf == nil || *e.Deliveries[1].ReplayOf != members[0].ID ||
			e.Endpoint.URL != r.URL || e.ExportedBy != "operator:test" {
			t.Errorf("%+v", e.Deliveries)
		}
		var answers []int
		for i, a := range e.Attempts {
			answers = append(answers, a.Status)
			if (a.BatchID != "") != (i == 0) || a.RequestHeaders["Webhook-Id"] != sent[i].ID() ||
				a.RequestHeaders["Webhook-Timestamp"] != sent[i].Header.Get("webhook-timestamp") {
				t.Errorf("attempt %d: %+v", i, a)
			}
		}
		if !slices.Equal(answers, []int{413, 500, 204, 200}) || string(e.Attempts[0].ResponseBody) != "too <much>" ||
			string(e.Attempts[1].ResponseBody) != "oh no" {
			t.Errorf("answers %v: %+v", answers, e.Attempts)
		}
		for _, hidden := range []string{secret.Reveal(), headers["X-Shop-Token"], sent[1].Header.Get("webhook-signature"),
			sent[1].Header.Get("X-Webhook-Signature"), "whsk_"} {
			if strings.Contains(text, hidden) {
				t.Errorf("the evidence shows %q", hidden)
			}
		}
		has := func(e proof.Evidence, action, subject string) bool {
			return slices.ContainsFunc(e.Audit, func(l proof.AuditLine) bool {
				return l.Action == action && l.Subject == subject
			})
		}
		if !has(e, "endpoint.created", endpoint.ID) || has(e, "delivery.evidence_exported", members[0].ID) ||
			e.AuditHead.Seq == 0 {
			t.Errorf("%+v", e.Audit)
		}
		if e, _ = export(t, d, again.ID); e.Message.ID != members[0].EventID ||
			!has(e, "delivery.evidence_exported", members[0].ID) {
			t.Errorf("of the redelivery, and after an export: %+v", e.Audit)
		}
		if e, _ = export(t, d, members[1].ID); len(e.Attempts) != 1 || e.Attempts[0].Status != 413 {
			t.Errorf("of the one that still waits: %+v", e.Attempts)
		}
		for _, id := range []string{batch.ID, "dlv_nothing"} {
			if _, err := d.Evidence(t.Context(), id); !errors.Is(err, models.ErrNotFound) {
				t.Errorf("%s: %v", id, err)
			}
		}
		log, err := s.AuditLog(t.Context(), 1, 100)
		if err != nil || !slices.ContainsFunc(log, func(l models.AuditEntry) bool {
			return l.Action == "signing_key.created" && strings.Contains(text, l.Detail["public_key"])
		}) {
			t.Errorf("the key is not in the audit log: %+v, %v", log, err)
		}
	})
}
