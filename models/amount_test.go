package models_test

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ctrip-gateway/ctrip/models"
)

const max256 = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

func ExampleParseDecimal() {
	usdc, _ := models.ParseDecimal("1.5", 6)
	fmt.Println(usdc, usdc.Decimal(6))
	_, err := models.ParseDecimal("1.0000001", 6)
	fmt.Println(err)
	// Output:
	// 1500000 1.5
	// has more decimal places than the asset
}

func ExampleAmount_LessTolerance() {
	amount := models.AmountOf(999)
	fmt.Println(amount.LessTolerance(0), amount.LessTolerance(50)) // 0.5 % of 999 is 4.995: four are forgiven, not five
	// Output: 999 995
}

func ExampleParseAmount() {
	for _, s := range []string{"1500000", "0", "-1", "1.5", "007", max256, max256[:77] + "6"} {
		a, err := models.ParseAmount(s)
		fmt.Println(a, err)
	}
	// Output:
	// 1500000 <nil>
	// 0 <nil>
	// 0 is negative
	// 0 is not a whole number of base units in decimal digits
	// 0 is not a whole number of base units in decimal digits
	// 115792089237316195423570985008687907853269984665640564039457584007913129639935 <nil>
	// 0 is larger than 2^256-1
}

func TestDecimalAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.StringMatching(`0|[1-9][0-9]{0,76}`).Draw(t, "digits")
		decimals := rapid.Uint8Range(0, 40).Draw(t, "decimals")
		a, err := models.ParseAmount(digits)
		if err != nil {
			t.Fatal(err)
		}
		back, err := models.ParseDecimal(a.Decimal(decimals), decimals)
		if err != nil || back.Cmp(a) != 0 {
			t.Fatalf("%s with %d decimals is %q, and that is %s (%v)", a, decimals, a.Decimal(decimals), back, err)
		}
	})
}

func TestAddStaysInRange(t *testing.T) {
	top, err := models.ParseAmount(max256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := top.Add(models.AmountOf(1)); !errors.Is(err, models.ErrAmountRange) {
		t.Fatalf("2^256-1 + 1: %v", err)
	}
	if sum, err := models.AmountOf(2).Add(models.AmountOf(3)); err != nil || sum.String() != "5" {
		t.Fatalf("2+3 = %s, %v", sum, err)
	}
	if _, err := models.AmountFromBig(big.NewInt(-1)); !errors.Is(err, models.ErrAmountNegative) {
		t.Fatalf("-1: %v", err)
	}
}

func TestScanRefusesFloats(t *testing.T) {
	var a models.Amount
	if err := a.Scan(1.5); err == nil {
		t.Fatal("a float was taken for money")
	}
	for _, src := range []any{"12", []byte("12"), int64(12)} {
		if err := a.Scan(src); err != nil || a.String() != "12" {
			t.Fatalf("%T: %s, %v", src, a, err)
		}
	}
}

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"1.5", "0.000001", "-1", ".", "1.", "1e5", strings.Repeat("9", 90)} {
		f.Add(s, uint8(6))
	}
	f.Fuzz(func(t *testing.T, s string, decimals uint8) {
		a, err := models.ParseDecimal(s, decimals)
		if err != nil {
			return
		}
		if back, err := models.ParseDecimal(a.Decimal(decimals), decimals); err != nil || back.Cmp(a) != 0 {
			t.Fatalf("%q is %s, and its decimal form is %s (%v)", s, a, back, err)
		}
	})
}
