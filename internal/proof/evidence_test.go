package proof_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/proof"
	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// document is evidence of a delivery with two attempts, exported.
func document(t testing.TB, key webhook.SigningKey, change func(*proof.Evidence)) []byte {
	t.Helper()
	now := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	body := []byte(`{"id":"evt_1","type":"payment.confirmed","data":{}}`)
	batch := []byte(`{"type":"batch","events":[` + string(body) + `]}`)
	digest := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	e := proof.Evidence{
		ExportedAt: now, ExportedBy: "operator:test", MerchantID: "mer_1",
		Endpoint:   proof.Endpoint{ID: "we_1", URL: "https://shop.example/hooks"},
		Message:    proof.Message{ID: "evt_1", Type: "payment.confirmed", CreatedAt: now, SHA256: digest(body), Body: body},
		Batches:    []proof.Message{{ID: "bat_1", Type: "batch", CreatedAt: now, SHA256: digest(batch), Body: batch}},
		Deliveries: []proof.Delivery{{ID: "dlv_1", State: models.DeliveryDelivered, CreatedAt: now, DeliveredAt: &now}},
		Attempts: []proof.Attempt{
			{ID: "att_1", DeliveryID: "dlv_1", BatchID: "bat_1", Number: 1, StartedAt: now, Class: "server_error", Status: 500, ResponseBody: []byte("oh <no>")},
			{ID: "att_2", DeliveryID: "dlv_1", Number: 2, StartedAt: now, Class: "delivered", Status: 200},
		},
	}
	prev := ""
	for i := range 3 {
		l := models.AuditEntry{Seq: int64(i + 4), At: now, Actor: "key:key_1", Action: "endpoint.updated", Subject: "we_1",
			Detail: map[string]string{"url": "x"}, PrevHash: prev}
		l.Hash = l.ChainHash()
		prev = l.Hash
		e.Audit = append(e.Audit, proof.AuditLineOf(l))
	}
	e.AuditHead = proof.AuditMark{Seq: 6, Hash: prev}
	if change != nil {
		change(&e)
	}
	sealed, err := proof.Export(e, "sgk_1", key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestEvidence: evidence opens as it was exported, by a key that is trusted, and in no other way.
func TestEvidence(t *testing.T) {
	key, err := webhook.NewSigningKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := webhook.NewSigningKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := document(t, key, nil)
	e, seal, err := proof.Open(text, other.Public(), key.Public())
	if err != nil || e.Message.ID != "evt_1" || len(e.Attempts) != 2 || seal.KeyID != "sgk_1" {
		t.Fatalf("%+v, %v", seal, err)
	}
	var indented []byte
	if indented, err = json.MarshalIndent(json.RawMessage(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	if _, _, err := proof.Open(append(indented, '\n'), key.Public()); err != nil {
		t.Errorf("printed for people: %v", err)
	}
	if _, _, err := proof.Open(text, other.Public()); !errors.Is(err, proof.ErrUntrusted) {
		t.Errorf("another key is trusted: %v", err)
	}
	if _, _, err := proof.Open(document(t, other, nil), key.Public()); !errors.Is(err, proof.ErrUntrusted) {
		t.Errorf("another key sealed: %v", err)
	}
	if _, _, err := proof.Open(text); !errors.Is(err, proof.ErrUntrusted) {
		t.Errorf("without a key: %v", err)
	}
	spoil(t, text, key.Public())
	for name, change := range map[string]func(*proof.Evidence){
		"another body":         func(e *proof.Evidence) { e.Message.Body = []byte(`{"id":"evt_1"}`) },
		"another event's body": func(e *proof.Evidence) { e.Message.ID = "evt_2" },
		"another batch": func(e *proof.Evidence) {
			e.Message.Body = []byte(`{"id":"evt_1" }`)
			s := sha256.Sum256(e.Message.Body)
			e.Message.SHA256 = hex.EncodeToString(s[:])
		},
		"a stranger's attempt":    func(e *proof.Evidence) { e.Attempts[0].DeliveryID = "dlv_2" },
		"a line that was changed": func(e *proof.Evidence) { e.Audit[1].Actor = "nobody" },
		"a line out of place":     func(e *proof.Evidence) { e.Audit[0], e.Audit[1] = e.Audit[1], e.Audit[0] },
		"a line beyond the head":  func(e *proof.Evidence) { e.AuditHead.Seq = 5 },
		"another head":            func(e *proof.Evidence) { e.AuditHead.Hash = "00" },
	} {
		if _, _, err := proof.Open(document(t, key, change), key.Public()); !errors.Is(err, proof.ErrContradicts) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"evidence":{}}`, `{"evidence":{"format":"ctrip-evidence/2"}}`} {
		if _, _, err := proof.Open([]byte(bad)); !errors.Is(err, proof.ErrNotEvidence) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// spoil changes a document in every way that concerns one place, and nothing of it opens: each bit of each byte, each
// byte taken out, each byte given twice, each member of the envelope renamed, given twice or added. White space between
// tokens means nothing.
func spoil(t *testing.T, text []byte, key webhook.PublicKey) {
	t.Helper()
	opens := func(spoiled []byte, format string, args ...any) {
		t.Helper()
		if _, _, err := proof.Open(spoiled, key); err == nil {
			t.Errorf(format+": it opens", args...)
		}
	}
	for i, c := range text {
		around := text[max(0, i-20):min(len(text), i+20)]
		for bit := range 8 {
			spoiled := bytes.Clone(text)
			spoiled[i] = c ^ 1<<bit
			opens(spoiled, "bit %d of byte %d in …%s…", bit, i, around)
		}
		opens(slices.Concat(text[:i], text[i+1:]), "without byte %d in …%s…", i, around)
		opens(slices.Concat(text[:i+1], text[i:]), "byte %d twice in …%s…", i, around)
	}
	for _, name := range []string{"evidence", "seal", "kid", "public_key", "id", "timestamp", "signature", "body", "state",
		"hash"} {
		quoted := []byte(`"` + name + `":`)
		if !bytes.Contains(text, quoted) {
			t.Fatalf("there is no %s", name)
		}
		upper := []byte(`"` + strings.ToUpper(name) + `":`)
		opens(bytes.Replace(text, quoted, upper, 1), "%s in capitals", name)
		opens(bytes.Replace(text, quoted, slices.Concat(quoted, []byte(`"another",`), quoted), 1), "%s twice", name)
		opens(bytes.Replace(text, quoted, slices.Concat([]byte(`"note":"another",`), quoted), 1), "a member before %s", name)
	}
	opens(slices.Concat(text, text), "twice")
}

// FuzzEvidence: whatever a document says, only the one that was exported opens, however its white space is laid out.
func FuzzEvidence(f *testing.F) {
	key, err := webhook.NewSigningKey(bytes.NewReader(make([]byte, 32)))
	if err != nil {
		f.Fatal(err)
	}
	genuine := document(f, key, nil)
	f.Add(genuine)
	f.Add(append(bytes.ReplaceAll(genuine, []byte(`,"`), []byte(",\n\"")), '\n'))
	f.Add(bytes.Replace(genuine, []byte(`"kid"`), []byte(`"KID"`), 1))
	f.Add([]byte(`{"evidence":{"format":"ctrip-evidence/1"},"seal":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, _, err := proof.Open(text, key.Public()); err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil || !bytes.Equal(compact.Bytes(), genuine) {
			t.Errorf("it opens: %s", text)
		}
	})
}
