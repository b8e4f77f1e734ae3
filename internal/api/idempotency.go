package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/models"
)

const (
	// answersFor is how long the answer to an idempotency key is saved.
	answersFor = 24 * time.Hour
	// keyLockTimeout is how long a request waits for another one with the same key to commit. Then it is told to try
	// again.
	keyLockTimeout = 10 * time.Second
)

// encodedAnswer is what an idempotency record holds, encrypted: it may contain a secret that is shown once.
type encodedAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body"`
	// KeyID is the API key that asked; "" is the operator, or a process that did not write it down.
	KeyID string `json:"key_id,omitempty"`
}

// secretMembers are the members of an answer that show a secret, this once: a signing secret, an API key.
var secretMembers = []string{"secret", "key"}

// portalLinks is where the URL in an answer is a secret too.
const portalLinks = "/api/v1/portal_links"

// withoutSecrets is an answer as a key may see it that did not ask for it.
func withoutSecrets(path string, body []byte) ([]byte, error) {
	secretMembers := secretMembers
	if path == portalLinks {
		secretMembers = []string{"url"}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	before := len(members)
	for _, name := range secretMembers {
		delete(members, name)
	}
	if len(members) == before {
		return body, nil
	}
	a, err := answer(0, members)
	return a.body, err
}

// recordMethod is the method under which the answers to a caller are recorded. Test keys have records of their own, so
// that they take no Idempotency-Key from a live key.
func (x requestContext) recordMethod() string {
	if x.key.Test {
		return x.method + " test"
	}
	return x.method
}

// recordFunc makes the record of a request's idempotency key out of its answer, to be written in the transaction of the
// effect. It returns nil where the request has no key.
type recordFunc func(savedAnswer) (*models.IdempotencyRecord, error)

// write makes the record and writes it in the transaction of the effect.
func (recordOf recordFunc) write(ctx context.Context, tx *store.Tx, a savedAnswer) error {
	r, err := recordOf(a)
	if err != nil || r == nil {
		return err
	}
	if err := tx.WaitAtMost(ctx, keyLockTimeout); err != nil {
		return err
	}
	return tx.SaveAnswers(ctx, []models.IdempotencyRecord{*r})
}

// once runs an effect in one transaction, together with the record of its idempotency key, if it has one.
func (h *handlers) once(ctx context.Context, key *string,
	effect func(tx *store.Tx) (savedAnswer, error)) (savedAnswer, error) {
	return h.idempotent(ctx, key, func(recordOf recordFunc) (savedAnswer, error) {
		var a savedAnswer
		err := h.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if a, err = effect(tx); err != nil {
				return err
			}
			return recordOf.write(ctx, tx, a)
		})
		return a, err
	})
}

// idempotent answers from the record of the key when there is one, and otherwise runs an effect that writes the record
// in its transaction. Of several requests at once one wins. The others get its answer, whichever constraint stopped
// them.
func (h *handlers) idempotent(ctx context.Context, key *string,
	run func(recordFunc) (savedAnswer, error)) (savedAnswer, error) {
	if key == nil {
		return run(func(savedAnswer) (*models.IdempotencyRecord, error) { return nil, nil })
	}
	if a, err := h.replay(ctx, *key); err != nil || a != nil {
		return orEmpty(a), err
	}
	x := callerOf(ctx)
	a, err := run(func(a savedAnswer) (*models.IdempotencyRecord, error) {
		plain, err := json.Marshal(encodedAnswer{Status: a.status, Header: a.header, Body: a.body, KeyID: x.key.ID})
		if err != nil {
			return nil, err
		}
		sealed, err := h.vault.Seal(plain, models.AnswerAAD(x.merchant.ID, x.recordMethod(), x.path, *key))
		if err != nil {
			return nil, err
		}
		now := models.Now(h.now)
		return &models.IdempotencyRecord{
			MerchantID: x.merchant.ID, Method: x.recordMethod(), Path: x.path, Key: *key, RequestHash: x.bodyHash,
			StatusCode: a.status, Answer: sealed, CreatedAt: now, ExpiresAt: now.Add(answersFor),
		}, nil
	})
	if err == nil {
		return a, nil
	}
	if winner, replayErr := h.replay(ctx, *key); replayErr != nil {
		return savedAnswer{}, replayErr
	} else if winner != nil {
		return *winner, nil
	}
	return savedAnswer{}, err
}

// replay returns the answer that is saved for a key, or nil. A secret in it is shown only to the API key that asked the
// first time.
func (h *handlers) replay(ctx context.Context, key string) (*savedAnswer, error) {
	x := callerOf(ctx)
	r, err := h.store.IdempotencyRecord(ctx, x.merchant.ID, x.recordMethod(), x.path, key, h.now())
	if errors.Is(err, models.ErrNotFound) && x.key.Test { // a live key's, which is refused below
		r, err = h.store.IdempotencyRecord(ctx, x.merchant.ID, x.method, x.path, key, h.now())
	}
	if errors.Is(err, models.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if r.RequestHash != x.bodyHash {
		return nil, NewProblem(CodeIdempotencyKeyReused, "The Idempotency-Key was first used with another body, or by an "+
			"API key that may do other things. Use a new one for a new request.")
	}
	plain, err := h.vault.Open(r.Answer, models.AnswerAAD(x.merchant.ID, r.Method, x.path, key))
	if err != nil {
		return nil, err
	}
	var a encodedAnswer
	if err := json.Unmarshal(plain, &a); err != nil {
		return nil, err
	}
	if a.KeyID != x.key.ID {
		if a.Body, err = withoutSecrets(x.path, a.Body); err != nil {
			return nil, err
		}
	}
	header := a.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	header.Set("Idempotency-Replayed", "true")
	return &savedAnswer{status: a.Status, header: header, body: a.Body}, nil
}

func orEmpty(a *savedAnswer) savedAnswer {
	if a == nil {
		return savedAnswer{}
	}
	return *a
}
