package mempool

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// TestFeeArithmetic compares fees and rates, up to the largest that there can
// be, with arithmetic that cannot overflow.
func TestFeeArithmetic(t *testing.T) {
	const most = 1 << 53 // sat
	fee, size := rapid.Int64Range(0, most), rapid.IntRange(1, 4_000_000)
	rapid.Check(t, func(t *rapid.T) {
		feeA, feeB, sizeA, sizeB := fee.Draw(t, "feeA"), fee.Draw(t, "feeB"), size.Draw(t, "sizeA"), size.Draw(t, "sizeB")
		a := new(big.Int).Mul(big.NewInt(feeA), big.NewInt(int64(sizeB)))
		b := new(big.Int).Mul(big.NewInt(feeB), big.NewInt(int64(sizeA)))
		if got := compareRates(consensus.Amount(feeA), sizeA, consensus.Amount(feeB), sizeB); got != a.Cmp(b) {
			t.Fatalf("rates compare as %d, want %d", got, a.Cmp(b))
		}
		rate := rateOf(consensus.Amount(feeA), sizeA)
		want := new(big.Int).Mul(big.NewInt(int64(rate)), big.NewInt(int64(sizeB)))
		want.Add(want, big.NewInt(999)).Div(want, big.NewInt(1000))
		if !want.IsInt64() {
			want.SetInt64(math.MaxInt64)
		}
		if got := rate.Fee(sizeB); int64(got) != want.Int64() {
			t.Fatalf("fee %d, want %v", got, want)
		}
	})
}
