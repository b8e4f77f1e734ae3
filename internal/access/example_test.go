package access_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ctrip-gateway/ctrip/internal/access"
	"github.com/ctrip-gateway/ctrip/internal/store/sqlite"
	"github.com/ctrip-gateway/ctrip/models"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "access-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := sqlite.Open(ctx, filepath.Join(dir, "ctrip.db"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if _, err := s.Migrate(ctx); err != nil {
		fmt.Println(err)
		return
	}
	svc, err := access.New(access.Options{Store: s, Now: time.Now})
	if err != nil {
		fmt.Println(err)
		return
	}
	xpub := "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"
	merchant, first, err := svc.CreateMerchant(ctx, "Tea & Sons", xpub, "operator:ann")
	fmt.Println(merchant.Name, first, err)

	key, secret, err := svc.CreateKey(ctx, access.KeyRequest{
		MerchantID: merchant.ID, Name: "checkout", Scopes: []models.Scope{models.ScopePaymentsRead}, Actor: "operator:ann",
	})
	fmt.Println(strings.HasPrefix(secret, key.Prefix), key.Scopes, err)

	got, _, err := svc.Authenticate(ctx, secret)
	fmt.Println(got.ID == key.ID, got.Allows(models.ScopePaymentsWrite), err)
	_, _, err = svc.Authenticate(ctx, secret+"x")
	fmt.Println(err)
	// Output:
	// Tea & Sons 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 <nil>
	// true [payments:read] <nil>
	// true false <nil>
	// access: no such live key
}
