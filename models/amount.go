package models

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// MaxAmountDigits is the number of decimal digits of 2^256−1, the largest value an EVM word can hold.
const MaxAmountDigits = 78

var maxAmount = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))

// Errors of the amount parsers. They carry no input, so that a caller may show them to a merchant.
var (
	ErrAmountSyntax    = errors.New("is not a whole number of base units in decimal digits")
	ErrAmountRange     = errors.New("is larger than 2^256-1")
	ErrAmountNegative  = errors.New("is negative")
	ErrAmountPrecision = errors.New("has more decimal places than the asset")
)

// Amount is an integer of base units (wei, or the smallest unit of a token), 0 ≤ a ≤ 2^256−1. The zero value is 0.
// It is a value: no method changes its receiver. In JSON and in the database it is a string of decimal digits
// (NUMERIC(78,0) in Postgres, TEXT in SQLite).
type Amount struct{ i *big.Int }

// AmountOf returns v base units.
func AmountOf(v uint64) Amount { return Amount{new(big.Int).SetUint64(v)} }

// AmountFromBig copies v. It returns [ErrAmountNegative] or [ErrAmountRange] when v is not in 0…2^256−1.
func AmountFromBig(v *big.Int) (Amount, error) {
	switch {
	case v.Sign() < 0:
		return Amount{}, ErrAmountNegative
	case v.Cmp(maxAmount) > 0:
		return Amount{}, ErrAmountRange
	}
	return Amount{new(big.Int).Set(v)}, nil
}

// ParseAmount reads base units: decimal digits only, no sign, no leading zero (but "0" itself), at most 2^256−1.
func ParseAmount(s string) (Amount, error) {
	if s == "" || (len(s) > 1 && s[0] == '0') || strings.Trim(s, "0123456789") != "" {
		if strings.HasPrefix(s, "-") && len(s) > 1 && strings.Trim(s[1:], "0123456789") == "" {
			return Amount{}, ErrAmountNegative
		}
		return Amount{}, ErrAmountSyntax
	}
	if len(s) > MaxAmountDigits {
		return Amount{}, ErrAmountRange
	}
	v, _ := new(big.Int).SetString(s, 10)
	return AmountFromBig(v)
}

// ParseDecimal reads a decimal number of whole units, such as "1.5", into base units of an asset with that many
// decimals. It is exact: more places than the asset has are [ErrAmountPrecision], even when they are zero.
func ParseDecimal(s string, decimals uint8) (Amount, error) {
	whole, frac, dotted := strings.Cut(s, ".")
	if strings.HasPrefix(s, "-") {
		return Amount{}, ErrAmountNegative
	}
	if whole == "" || (dotted && frac == "") || strings.Trim(whole+frac, "0123456789") != "" ||
		(len(whole) > 1 && whole[0] == '0') {
		return Amount{}, ErrAmountSyntax
	}
	if len(frac) > int(decimals) {
		return Amount{}, ErrAmountPrecision
	}
	digits := strings.TrimLeft(whole+frac+strings.Repeat("0", int(decimals)-len(frac)), "0")
	if digits == "" {
		digits = "0"
	}
	return ParseAmount(digits)
}

// Big returns a copy as a big.Int.
func (a Amount) Big() *big.Int {
	if a.i == nil {
		return new(big.Int)
	}
	return new(big.Int).Set(a.i)
}

// Sign is 0 for zero and 1 for everything else.
func (a Amount) Sign() int {
	if a.i == nil {
		return 0
	}
	return a.i.Sign()
}

// Cmp compares a and b: −1, 0 or 1.
func (a Amount) Cmp(b Amount) int { return a.ref().Cmp(b.ref()) }

// Add returns a+b, or [ErrAmountRange] when the sum leaves the range of an EVM word.
func (a Amount) Add(b Amount) (Amount, error) {
	return AmountFromBig(new(big.Int).Add(a.ref(), b.ref()))
}

// LessTolerance returns the smallest sum that settles a, given a tolerance in basis points (1/10,000), rounded up, so
// that a tolerance never forgives more than it says.
func (a Amount) LessTolerance(bps int) Amount {
	due := new(big.Int).Mul(a.ref(), big.NewInt(int64(10_000-bps)))
	due.Add(due, big.NewInt(9_999))
	return Amount{due.Div(due, big.NewInt(10_000))}
}

// String returns the base units as decimal digits.
func (a Amount) String() string { return a.ref().String() }

// Decimal writes the amount in whole units for people, without trailing zeros: 1500000 with 6 decimals is "1.5".
func (a Amount) Decimal(decimals uint8) string {
	s := a.String()
	if decimals == 0 {
		return s
	}
	if pad := int(decimals) + 1 - len(s); pad > 0 {
		s = strings.Repeat("0", pad) + s
	}
	whole, frac := s[:len(s)-int(decimals)], strings.TrimRight(s[len(s)-int(decimals):], "0")
	if frac == "" {
		return whole
	}
	return whole + "." + frac
}

// MarshalText writes decimal digits; JSON shows them as a string.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (a *Amount) UnmarshalText(b []byte) error {
	v, err := ParseAmount(string(b))
	if err != nil {
		return err
	}
	*a = v
	return nil
}

// Value stores decimal digits.
func (a Amount) Value() (driver.Value, error) { return a.String(), nil }

// Scan reads decimal digits; a float is refused, because it has lost money already.
func (a *Amount) Scan(src any) error {
	var s string
	switch v := src.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	case int64:
		s = fmt.Sprint(v)
	default:
		return fmt.Errorf("models: amount from %T", src)
	}
	parsed, err := ParseAmount(s)
	if err != nil {
		return fmt.Errorf("models: amount %w", err)
	}
	*a = parsed
	return nil
}

func (a Amount) ref() *big.Int {
	if a.i == nil {
		return new(big.Int)
	}
	return a.i
}
