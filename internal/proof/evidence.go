package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ctrip-gateway/ctrip/models"
	"github.com/ctrip-gateway/ctrip/webhook"
)

// Format names the form of an exported document.
const Format = "ctrip-evidence/1"

// Evidence is what a dispute needs about an event on its way to an endpoint.
type Evidence struct {
	Format     string    `json:"format"`
	ExportedAt time.Time `json:"exported_at"`
	ExportedBy string    `json:"exported_by"`
	MerchantID string    `json:"merchant_id"`
	Endpoint   Endpoint  `json:"endpoint"`
	Message    Message   `json:"message"`
	Batches    []Message `json:"batches"` // the requests that carried the message with others
	// Deliveries are the one asked for, and every replay and redelivery of the same event to the endpoint.
	Deliveries []Delivery `json:"deliveries"`
	Attempts   []Attempt  `json:"attempts"` // of all of them, oldest first
	// Audit are the lines about the endpoint and the deliveries; AuditHead is the newest line of the whole log at the time
	// of the export: a log that has another hash there was rewritten since.
	Audit     []AuditLine `json:"audit"`
	AuditHead AuditMark   `json:"audit_head"`
}

// AuditMark names a line of the audit log, Seq 0 none.
type AuditMark struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

// Endpoint is the receiver.
type Endpoint struct {
	ID  string `json:"id"`
	URL string `json:"url"`
}

// Message is what a request carried, byte for byte.
type Message struct {
	ID        string    `json:"id"` // webhook-id: evt_… or bat_…
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"created_at"`
	SHA256    string    `json:"sha256"` // hex, of the body
	Body      []byte    `json:"body"`   // base64
}

// Delivery is one order to send.
type Delivery struct {
	ID          string               `json:"id"`
	ReplayOf    *string              `json:"replay_of"`
	State       models.DeliveryState `json:"state"`
	DeadReason  string               `json:"dead_reason"`
	CreatedAt   time.Time            `json:"created_at"`
	DeliveredAt *time.Time           `json:"delivered_at"`
}

// Attempt is one request and its answer. Signatures and the values of custom headers are redacted.
type Attempt struct {
	ID              string            `json:"id"`
	DeliveryID      string            `json:"delivery_id"`
	BatchID         string            `json:"batch_id"` // "" when the message went alone
	Number          int               `json:"number"`   // webhook-attempt
	StartedAt       time.Time         `json:"started_at"`
	TotalMicros     int64             `json:"total_us"`
	RemoteIP        string            `json:"remote_ip"`
	RequestHeaders  map[string]string `json:"request_headers"`
	Class           string            `json:"class"`
	Status          int               `json:"status"` // 0 when there was no answer
	Error           string            `json:"error"`
	ResponseHeaders map[string]string `json:"response_headers"`
	ResponseBody    []byte            `json:"response_body"` // base64, the first 4 KiB
}

// AuditLine is a line of the audit log with its links in the chain of hashes.
type AuditLine struct {
	Seq        int64             `json:"seq"`
	At         time.Time         `json:"at"`
	Actor      string            `json:"actor"`
	Action     string            `json:"action"`
	Subject    string            `json:"subject"`
	MerchantID string            `json:"merchant_id"`
	Detail     map[string]string `json:"detail"`
	IP         string            `json:"ip"`
	PrevHash   string            `json:"prev_hash"`
	Hash       string            `json:"hash"`
}

// AuditLineOf is a line as it is exported.
func AuditLineOf(e models.AuditEntry) AuditLine {
	return AuditLine{e.Seq, e.At.UTC(), e.Actor, e.Action, e.Subject, e.Merchant, e.Detail, e.IP, e.PrevHash, e.Hash}
}

func (l AuditLine) holds() bool {
	e := models.AuditEntry{
		Seq: l.Seq, At: l.At, Actor: l.Actor, Action: l.Action, Subject: l.Subject, Merchant: l.MerchantID,
		Detail: l.Detail, IP: l.IP, PrevHash: l.PrevHash,
	}
	return e.ChainHash() == l.Hash
}

// Sealed is evidence with the gateway's signature over its bytes.
type Sealed struct {
	Evidence json.RawMessage `json:"evidence"`
	Seal     Seal            `json:"seal"`
}

// Seal is an Ed25519 signature, as for webhooks, of the compact JSON of the evidence.
type Seal struct {
	KeyID     string `json:"kid"`
	PublicKey string `json:"public_key"` // whpk_…, in /.well-known/webhook-keys.json while the gateway signed with it
	ID        string `json:"id"`         // evidence_<kid>_<id of the message>
	Timestamp int64  `json:"timestamp"`  // Unix seconds
	Signature string `json:"signature"`  // v1a,<base64> over id.timestamp.evidence
}

// sealPrefix keeps a seal from being taken for the signature of a webhook: no event has such an id.
const sealPrefix = "evidence_"

// Export seals evidence with a signing key of the gateway.
func Export(e Evidence, keyID string, key webhook.SigningKey) (Sealed, error) {
	e.Format = Format
	body, err := compact(e)
	if err != nil {
		return Sealed{}, err
	}
	s := Seal{KeyID: keyID, PublicKey: key.Public().String(), ID: sealID(keyID, e), Timestamp: e.ExportedAt.Unix()}
	s.Signature = key.Sign(s.ID, e.ExportedAt, body)
	return Sealed{Evidence: body, Seal: s}, nil
}

func sealID(keyID string, e Evidence) string { return sealPrefix + keyID + "_" + e.Message.ID }

func compact(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Compact(&b, plain)
	return b.Bytes(), err
}

// Errors of [Open].
var (
	ErrNotEvidence = errors.New("not an exported evidence document of this format")
	ErrSeal        = errors.New("the seal does not fit: the document was changed, or another key sealed it")
	ErrUntrusted   = errors.New("the document was sealed with a key that is not among those given")
	ErrContradicts = errors.New("the evidence contradicts itself")
)

// Open checks a document that [Export] made and returns the evidence in it: that it has this form and nothing beside
// it; the seal, by one of the trusted keys; the body against its digest and its id; every audit line against its hash,
// and against the line before where that is there too. It needs neither the gateway nor a network.
//
// The trusted keys are what everything rests on: whoever makes up a document can seal it with a key of their own. They
// are the gateway's public keys as somebody kept them from /.well-known/webhook-keys.json, and each stands in the audit
// log since it was made. With none given nothing is trusted.
func Open(document []byte, trusted ...webhook.PublicKey) (Evidence, Seal, error) {
	var s Sealed
	var e Evidence
	if err := json.Unmarshal(document, &s); err != nil || len(s.Evidence) == 0 {
		return e, s.Seal, ErrNotEvidence
	}
	body, err := compact(s.Evidence)
	if err != nil || json.Unmarshal(body, &e) != nil || e.Format != Format {
		return e, s.Seal, ErrNotEvidence
	}
	// What is read must be what stands there: no member twice, none in another spelling, none that a reader may take for
	// proven.
	var given bytes.Buffer
	encoded, err := compact(s)
	if err != nil || json.Compact(&given, document) != nil || !bytes.Equal(encoded, given.Bytes()) {
		return e, s.Seal, ErrNotEvidence
	}
	key, err := webhook.ParsePublicKey(s.Seal.PublicKey)
	if err != nil {
		return e, s.Seal, fmt.Errorf("%w: %w", ErrSeal, err)
	}
	same := func(k webhook.PublicKey) bool { return k.String() == key.String() }
	if !slices.ContainsFunc(trusted, same) {
		return e, s.Seal, ErrUntrusted
	}
	if s.Seal.ID != sealID(s.Seal.KeyID, e) || s.Seal.Timestamp != e.ExportedAt.Unix() ||
		!key.Verify(s.Seal.Signature, s.Seal.ID, e.ExportedAt, body) {
		return e, s.Seal, ErrSeal
	}
	return e, s.Seal, e.check()
}

// check holds the parts of evidence against each other.
func (e Evidence) check() error {
	for _, m := range append([]Message{e.Message}, e.Batches...) {
		sum := sha256.Sum256(m.Body)
		if hex.EncodeToString(sum[:]) != m.SHA256 {
			return fmt.Errorf("%w: the body of %s does not have the digest that is given", ErrContradicts, m.ID)
		}
	}
	var head struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(e.Message.Body, &head); err != nil || head.ID != e.Message.ID {
		return fmt.Errorf("%w: the body is that of another event", ErrContradicts)
	}
	for _, b := range e.Batches {
		if !bytes.Contains(b.Body, e.Message.Body) {
			return fmt.Errorf("%w: batch %s does not hold the message", ErrContradicts, b.ID)
		}
	}
	known := make(map[string]bool)
	for _, d := range e.Deliveries {
		known[d.ID] = true
	}
	for _, b := range e.Batches {
		known[b.ID] = true
	}
	for _, a := range e.Attempts {
		if !known[a.DeliveryID] || a.BatchID != "" && !known[a.BatchID] {
			return fmt.Errorf("%w: attempt %s belongs to none of the deliveries", ErrContradicts, a.ID)
		}
	}
	for i, l := range e.Audit {
		switch {
		case !l.holds():
			return fmt.Errorf("%w: line %d of the audit log does not have its hash", ErrContradicts, l.Seq)
		case i > 0 && l.Seq <= e.Audit[i-1].Seq || l.Seq > e.AuditHead.Seq:
			return fmt.Errorf("%w: line %d of the audit log is out of order", ErrContradicts, l.Seq)
		case i > 0 && l.Seq == e.Audit[i-1].Seq+1 && l.PrevHash != e.Audit[i-1].Hash,
			l.Seq == e.AuditHead.Seq && l.Hash != e.AuditHead.Hash:
			return fmt.Errorf("%w: line %d of the audit log does not fit the line beside it", ErrContradicts, l.Seq)
		}
	}
	return nil
}
