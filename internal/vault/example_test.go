package vault_test

import (
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/vault"
)

func ExampleVault_Seal() {
	v, err := vault.New([]vault.Key{{ID: "2026", Secret: [32]byte([]byte("an example, never a real secret!"))}})
	if err != nil {
		fmt.Println(err)
		return
	}
	sealed, err := v.Seal([]byte("whsec_…"), "endpoint_secrets/7/secret")
	if err != nil {
		fmt.Println(err)
		return
	}
	plain, err := v.Open(sealed, "endpoint_secrets/7/secret")
	fmt.Println(string(plain), err)
	_, err = v.Open(sealed, "endpoint_secrets/8/secret")
	fmt.Println(err)
	// Output:
	// whsec_… <nil>
	// vault: value does not open at this place: changed, moved, or sealed by another key of the same id
}

func ExampleVault_NeedsReseal() {
	older := vault.Key{ID: "2025", Secret: [32]byte([]byte("the key of last year, 32 bytes !"))}
	newer := vault.Key{ID: "2026", Secret: [32]byte([]byte("the key of this year, 32 bytes !"))}
	before, _ := vault.New([]vault.Key{older})
	sealed, _ := before.Seal([]byte("secret"), "t/1/c")

	v, _ := vault.New([]vault.Key{newer, older})
	fmt.Println(v.NeedsReseal(sealed))
	sealed, err := v.Reseal(sealed, "t/1/c")
	fmt.Println(v.NeedsReseal(sealed), err)
	// Output:
	// true
	// false <nil>
}

func ExampleKey() {
	fmt.Printf("%+v\n", vault.Key{ID: "2026", Secret: [32]byte{1, 2, 3}})
	// Output: 2026:[redacted]
}
