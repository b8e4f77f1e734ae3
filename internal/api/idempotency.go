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
	keepAnswers = 24 * time.Hour
	// loserWaits is how long a request waits for another one with the same key to commit (ruling 21).
	loserWaits = 10 * time.Second
)

// sealedAnswer is what an idempotency record keeps, encrypted: it may hold a secret that is shown once.
type sealedAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
	Body   []byte      `json:"body"`
}

// sealer makes the record of an idempotency key out of an answer, to be written in the transaction of the effect; nil
// where the request has no key.
type sealer func(savedAnswer) (*models.IdempotencyRecord, error)

// keep writes the record in the transaction of the effect.
func (seal sealer) keep(ctx context.Context, tx *store.Tx, a savedAnswer) error {
	r, err := seal(a)
	if err != nil || r == nil {
		return err
	}
	if err := tx.WaitAtMost(ctx, loserWaits); err != nil {
		return err
	}
	return tx.KeepAnswers(ctx, []models.IdempotencyRecord{*r})
}

// once runs an effect in one transaction, together with the record of its idempotency key, if it has one.
func (h *handlers) once(ctx context.Context, key *string, effect func(tx *store.Tx) (savedAnswer, error)) (savedAnswer, error) {
	return h.idempotent(ctx, key, func(seal sealer) (savedAnswer, error) {
		var a savedAnswer
		err := h.store.InTx(ctx, func(tx *store.Tx) (err error) {
			if a, err = effect(tx); err != nil {
				return err
			}
			return seal.keep(ctx, tx, a)
		})
		return a, err
	})
}

// idempotent answers from the record of the key when there is one, and otherwise runs an effect that writes the record in
// its transaction. Of several requests at once one wins; whoever loses, by whatever constraint, gets the winner's answer.
func (h *handlers) idempotent(ctx context.Context, key *string, run func(sealer) (savedAnswer, error)) (savedAnswer, error) {
	if key == nil {
		return run(func(savedAnswer) (*models.IdempotencyRecord, error) { return nil, nil })
	}
	if a, err := h.replay(ctx, *key); err != nil || a != nil {
		return orEmpty(a), err
	}
	x := callerOf(ctx)
	a, err := run(func(a savedAnswer) (*models.IdempotencyRecord, error) {
		plain, err := json.Marshal(sealedAnswer{a.status, a.header, a.body})
		if err != nil {
			return nil, err
		}
		sealed, err := h.vault.Seal(plain, models.AnswerPlace(x.merchant.ID, x.method, x.path, *key))
		if err != nil {
			return nil, err
		}
		now := models.Now(h.now)
		return &models.IdempotencyRecord{
			MerchantID: x.merchant.ID, Method: x.method, Path: x.path, Key: *key, RequestHash: x.bodyHash, StatusCode: a.status,
			Answer: sealed, CreatedAt: now, ExpiresAt: now.Add(keepAnswers),
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

// replay returns the answer that is saved for a key, or nil.
func (h *handlers) replay(ctx context.Context, key string) (*savedAnswer, error) {
	x := callerOf(ctx)
	r, err := h.store.IdempotencyRecord(ctx, x.merchant.ID, x.method, x.path, key, h.now())
	if errors.Is(err, models.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if r.RequestHash != x.bodyHash {
		return nil, NewProblem(CodeIdempotencyKeyReused, "The Idempotency-Key was first used with another body, or by an API key that may do other things. Use a new one for a new request.")
	}
	plain, err := h.vault.Open(r.Answer, models.AnswerPlace(x.merchant.ID, x.method, x.path, key))
	if err != nil {
		return nil, err
	}
	var a sealedAnswer
	if err := json.Unmarshal(plain, &a); err != nil {
		return nil, err
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
