package access_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store"
	"github.com/ctrip-gateway/ctrip/internal/store/storetest"
	"github.com/ctrip-gateway/ctrip/models"
)

const exampleXPub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"

var ann = models.Actor{Name: "operator:ann"}

// A merchant, a key that may only read payments, and what the key opens. The caller owns the transaction.
func Example() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	svc, err := access.New(access.Options{Store: s, Now: time.Now})
	if err != nil {
		panic(err)
	}
	var secret string
	err = s.InTx(ctx, func(tx *store.Tx) error {
		merchant, first, err := svc.CreateMerchant(ctx, tx, ann, "Tea & Sons", exampleXPub)
		if err != nil {
			return err
		}
		fmt.Println(merchant.Name, first)
		var key models.APIKey
		key, secret, err = svc.CreateKey(ctx, tx, ann, access.KeyRequest{
			MerchantID: merchant.ID, Name: "checkout", Scopes: []models.Scope{models.ScopePaymentsRead},
		})
		fmt.Println(strings.HasPrefix(secret, key.Prefix), key.Scopes)
		return err
	})
	fmt.Println(err)

	key, _, err := svc.Authenticate(ctx, secret)
	fmt.Println(key.Allows(models.ScopePaymentsWrite), err)
	_, _, err = svc.Authenticate(ctx, secret+"x")
	fmt.Println(err)
	// Output:
	// Tea & Sons 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
	// true [payments:read]
	// <nil>
	// false <nil>
	// access: no such live key
}

// What an operator does to a merchant stands in the audit log under the operator's name.
func ExampleService_SuspendMerchant() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	svc, err := access.New(access.Options{Store: s, Now: time.Now})
	if err != nil {
		panic(err)
	}
	err = s.InTx(ctx, func(tx *store.Tx) error {
		m, _, err := svc.CreateMerchant(ctx, tx, ann, "Tea & Sons", "")
		if err == nil {
			err = svc.SuspendMerchant(ctx, tx, ann, m.ID)
		}
		if err == nil {
			m, err = tx.Merchant(ctx, m.ID)
		}
		fmt.Println("suspended:", m.SuspendedAt != nil)
		return err
	})
	if err != nil {
		panic(err)
	}
	lines, err := s.AuditLog(ctx, 1, 10)
	for _, line := range lines {
		fmt.Println(line.Actor, line.Action)
	}
	fmt.Println(err)
	// Output:
	// suspended: true
	// operator:ann merchant.created
	// operator:ann merchant.paused
	// <nil>
}

func ExampleOperatorTokens() {
	tokens := access.NewOperatorTokens("may-do-all", "may-look")
	fmt.Println(tokens.Role("may-do-all") == access.OperatorOperates, tokens.Role("may-look") == access.OperatorReads)
	fmt.Println(tokens.Role("may-look") >= access.OperatorOperates, tokens.Role("") == access.NoOperator)

	none := access.NewOperatorTokens("", "") // an empty token opens nothing
	fmt.Println(none.Role("") == access.NoOperator)
	// Output:
	// true true
	// false true
	// true
}

func ExampleService_ChangeMerchant() {
	ctx := context.Background()
	s, close := storetest.Temporary(ctx)
	defer close()
	svc, err := access.New(access.Options{Store: s, Now: time.Now})
	if err != nil {
		panic(err)
	}
	five := new(5)
	err = s.InTx(ctx, func(tx *store.Tx) error {
		m, _, err := svc.CreateMerchant(ctx, tx, ann, "Tea & Sons", "")
		if err != nil {
			return err
		}
		if m, err = svc.ChangeMerchant(ctx, tx, ann, m.ID, access.MerchantChange{MaxKeys: &five}); err != nil {
			return err
		}
		fmt.Println("keys:", *m.MaxKeys)
		none := new(0)
		_, err = svc.ChangeMerchant(ctx, tx, ann, m.ID, access.MerchantChange{MaxKeys: &none})
		return err
	})
	fmt.Println(err)
	// Output:
	// keys: 5
	// limits.api_keys must be 1 to 10000
}
