package store_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// TestReadsOfManyAreThoseOfOne: what a hundred ask for at once is what each would have read alone, in both dialects.
func TestReadsOfManyAreThoseOfOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		m := newMerchant(t, s)
		other := newMerchant(t, s)
		record := func(i int) models.IdempotencyRecord {
			return models.IdempotencyRecord{MerchantID: m.ID, Method: "POST", Path: "/p", Key: "key-" + strconv.Itoa(i),
				RequestHash: "h", StatusCode: 200 + i, Answer: []byte{byte(i)}, CreatedAt: noon,
				ExpiresAt: noon.Add(time.Duration(i%2) * time.Hour)}
		}
		err := s.InTx(t.Context(), func(tx *store.Tx) error {
			for i := range 50 {
				if err := tx.SaveAnswers(t.Context(), []models.IdempotencyRecord{record(i)}); err != nil {
					return err
				}
			}
			return tx.SaveCursor(t.Context(), models.ChainCursor{ChainID: 7, Chain: "x", Number: 9, Hash: "0x", BlockTime: noon,
				UpdatedAt: noon})
		})
		if err != nil {
			t.Fatal(err)
		}
		hook := models.Endpoint{ID: models.NewID(models.PrefixEndpoint, noon), MerchantID: m.ID, URL: "https://shop.example",
			Events: []string{"*"}, Status: models.EndpointEnabled, BreakerState: models.BreakerClosed, Version: 1,
			CreatedAt: noon, UpdatedAt: noon}
		secret := func(i int, ends *time.Time) models.EndpointSecret {
			return models.EndpointSecret{ID: "sec_" + strconv.Itoa(i), EndpointID: hook.ID, Sealed: []byte{1}, ActiveFrom: noon,
				CreatedAt: noon.Add(time.Duration(i)), ExpiresAt: ends}
		}
		hour := noon.Add(time.Hour)
		err = s.InTx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(tx.InsertEndpoint(t.Context(), hook), tx.InsertSecret(t.Context(), secret(1, &hour)),
				tx.InsertSecret(t.Context(), secret(2, nil)))
		})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				r, err := s.IdempotencyRecord(t.Context(), m.ID, "POST", "/p", "key-"+strconv.Itoa(i), noon)
				if i < 50 && i%2 == 1 {
					if err != nil || r.StatusCode != 200+i || len(r.Answer) != 1 || r.Answer[0] != byte(i) {
						t.Errorf("record %d: %+v, %v", i, r, err)
					}
				} else if !errors.Is(err, models.ErrNotFound) { // never written, or expired
					t.Errorf("record %d: %+v, %v", i, r, err)
				}
				if _, err := s.IdempotencyRecord(t.Context(), other.ID, "POST", "/p", "key-"+strconv.Itoa(i), noon); !errors.Is(err,
					models.ErrNotFound) {
					t.Errorf("record %d of another merchant: %v", i, err)
				}
				want := []string{m.ID, other.ID, "mer_none"}[i%3]
				if got, err := s.Merchant(t.Context(), want); i%3 < 2 && (err != nil || got.ID != want) ||
					i%3 == 2 && !errors.Is(err, models.ErrNotFound) {
					t.Errorf("%s: %+v, %v", want, got, err)
				}
				e, err := s.EndpointByID(t.Context(), hook.ID)
				if err != nil || e.URL != hook.URL {
					t.Errorf("endpoint: %+v, %v", e, err)
				}
				if _, err := s.EndpointByID(t.Context(), "we_none"); !errors.Is(err, models.ErrNotFound) {
					t.Error(err)
				}
				at := noon.Add(time.Duration(i%2) * time.Hour) // when the first secret lives, and when it has just ended
				live, err := s.Secrets(t.Context(), hook.ID, at)
				if err != nil || len(live) != 2-i%2 || live[0].ID != "sec_2" {
					t.Errorf("secrets: %+v, %v", live, err)
				}
				if none, err := s.Secrets(t.Context(), "we_none", at); err != nil || len(none) > 0 {
					t.Errorf("secrets of nobody: %+v, %v", none, err)
				}
				if c, err := s.Cursor(t.Context(), uint64(7+i%2)); i%2 == 0 && (err != nil || c.Number != 9) ||
					i%2 == 1 && !errors.Is(err, models.ErrNotFound) {
					t.Errorf("cursor %d: %+v, %v", 7+i%2, c, err)
				}
			})
		}
		all.Wait()
	})
}
