package testkit

import (
	"fmt"
	"strings"
)

// Runtime code of contracts for tests of chains, older than any upgrade that a node may lack. They pay what their call
// data lists (see [PayList]), each by a call whose outcome is dropped. PaysAndFails then fails, and nothing is paid.
const (
	pays         = "60005b36811015602257600060006000600084602001358535" + "5af1506040016002565b"
	Pays         = pays + "00"
	PaysAndFails = pays + "fe"
)

// PaysThrough is the code of a contract that hands its call data to another one by DELEGATECALL, as a Safe does.
func PaysThrough(contract string) string {
	return "3660006000376000600036600073" + strings.TrimPrefix(contract, "0x") + "5af45000"
}

// Payout is an address and what it is paid.
type Payout struct {
	To  string
	Wei int64
}

// PayList is the call data of a contract that pays.
func PayList(payouts ...Payout) string {
	var data strings.Builder
	data.WriteString("0x")
	for _, p := range payouts {
		fmt.Fprintf(&data, "%064s%064x", strings.ToLower(strings.TrimPrefix(p.To, "0x")), p.Wei)
	}
	return data.String()
}

// Creation is the data of a transaction that puts runtime code on a chain.
func Creation(code string) string {
	return fmt.Sprintf("0x61%04x80600c6000396000f3%s", len(code)/2, code)
}

// Leaves is the data of a creation that destroys itself and leaves its coin to an address.
func Leaves(to string) string { return "0x73" + strings.ToLower(strings.TrimPrefix(to, "0x")) + "ff" }
