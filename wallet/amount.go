package wallet

import (
	"fmt"
	"math"
	"strings"

	"lode/consensus"
)

// coinDecimals is the number of decimal places of a coin: 1 sat is 10^-8.
const coinDecimals = 8

// ParseAmount reads coins written as a plain decimal number with up to eight
// places ("1.5") and gives sat. Signs, exponents and separators are refused:
// where money is concerned there is one way to write a number.
func ParseAmount(s string) (consensus.Amount, error) {
	n, err := parseDecimal(s, coinDecimals)
	if err != nil {
		return 0, fmt.Errorf("amount %.40q: %w", s, err)
	}
	return consensus.Amount(n), nil
}

// FeeRate is a fee rate in sat per 1000 virtual bytes, the finest unit that
// nodes use. People see sat/vB.
type FeeRate int64

// The rates that a wallet is willing to use, in sat per 1000 virtual bytes. The
// upper one is far above any sane fee and keeps every product within 64 bits.
const (
	DefaultFeeRate FeeRate = 1000 // 1 sat/vB
	maxFeeRate     FeeRate = 1_000_000_000
)

// rateDecimals is the number of decimal places of a fee rate in sat/vB.
const rateDecimals = 3

// ParseFeeRate reads a fee rate in sat/vB with up to three decimal places; zeros
// behind them are harmless.
func ParseFeeRate(s string) (FeeRate, error) {
	exact := s
	if whole, frac, _ := strings.Cut(s, "."); len(frac) > rateDecimals && strings.Trim(frac[rateDecimals:], "0") == "" {
		exact = whole + "." + frac[:rateDecimals]
	}
	n, err := parseDecimal(exact, rateDecimals)
	switch {
	case err != nil:
		return 0, fmt.Errorf("fee rate %.40q: %w", s, err)
	case n == 0 || FeeRate(n) > maxFeeRate:
		return 0, fmt.Errorf("fee rate %.40q: want more than 0 and at most %s sat/vB", s, maxFeeRate)
	}
	return FeeRate(n), nil
}

// String gives sat/vB without zeros at the end.
func (r FeeRate) String() string {
	s := fmt.Sprintf("%d.%03d", r/1000, r%1000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// Fee is what a transaction of this many virtual bytes pays at rate r, rounded
// up to whole sat.
func (r FeeRate) Fee(vsize int) consensus.Amount {
	return consensus.Amount((int64(vsize)*int64(r) + 999) / 1000)
}

// parseDecimal reads a number without sign and gives it times 10^places.
func parseDecimal(s string, places int) (int64, error) {
	whole, frac, point := strings.Cut(s, ".")
	switch {
	case whole == "" || point && frac == "":
		return 0, fmt.Errorf("want a decimal number such as 1.5")
	case len(frac) > places:
		return 0, fmt.Errorf("has %d decimal places, at most %d are possible", len(frac), places)
	}
	var n int64
	for _, c := range whole + frac + strings.Repeat("0", places-len(frac)) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("want a decimal number such as 1.5")
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, fmt.Errorf("is too large")
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
