package wallet_test

import (
	"fmt"

	"github.com/ctrip-gateway/ctrip/internal/wallet"
)

// The account key of the well-known development mnemonic.
const xpub = "xpub6Ce9NcJvTk36xtLSrJLZqE7wtgA5deCeYs7rSQtreh4cj6ByPtrg9sD7V2FNFLPnf8heNP3FGkeV9qwfzvZNSd54JoNXVsXFYSYwHsnJxqP"

func ExampleAccount_Address() {
	account, err := wallet.Parse(xpub)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range uint32(2) {
		address, err := account.Address(0, i)
		fmt.Println(account.Path(0, i), address, err)
	}
	// Output:
	// m/44'/60'/0'/0/0 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 <nil>
	// m/44'/60'/0'/0/1 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 <nil>
}

func ExampleParse() {
	_, err := wallet.Parse("test test test test test test test test test test test junk")
	fmt.Println(err)
	// Output: this is a mnemonic phrase; give the account's public key (xpub) and treat the phrase as exposed
}

func ExampleParseAddress() {
	lower, err := wallet.ParseAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
	fmt.Println(lower, err)
	_, err = wallet.ParseAddress("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD")
	fmt.Println(err)
	// Output:
	// 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed <nil>
	// the letter case of this address does not match its EIP-55 checksum; one of its characters is probably wrong
}

func ExampleChecksum() {
	fmt.Println(wallet.Checksum("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"))
	// Output: 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed
}
