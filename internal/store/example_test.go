package store_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

// What a transaction wrote is there when all of it could be written, and what it promised to do afterwards is done
// then.
func ExampleStore_InTx() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	shop := models.Merchant{ID: "mer_1", Name: "Tea & Sons", CreatedAt: now, UpdatedAt: now}

	err := s.InTx(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() { fmt.Println("never said") })
		if err := tx.InsertMerchant(ctx, shop); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	_, missing := s.Merchant(ctx, shop.ID)
	fmt.Println(err, "/", errors.Is(missing, models.ErrNotFound))

	err = s.InTx(ctx, func(tx *store.Tx) error {
		tx.AfterCommit(func() { fmt.Println("committed") })
		return tx.InsertMerchant(ctx, shop)
	})
	got, _ := s.Merchant(ctx, shop.ID)
	fmt.Println(err, "/", got.Name)
	// Output:
	// changed my mind / true
	// committed
	// <nil> / Tea & Sons
}

// A mark notes how far the audit log went; a later verification compares.
func ExampleParseAuditMark() {
	_, err := store.ParseAuditMark("yesterday")
	fmt.Println(err != nil)
	// Output: true
}
