package wallet

import (
	"testing"

	"lode/consensus"
)

func TestParseAmount(t *testing.T) {
	for s, want := range map[string]consensus.Amount{
		"0": 0, "1": 1e8, "1.5": 150000000, "0.00000001": 1, "0.10000000": 1e7, "21000000": 2100000000000000,
		"007": 7e8, "20999999.97690000": 2099999997690000, "90000000000": 9e18,
	} {
		if got, err := ParseAmount(s); err != nil || got != want {
			t.Errorf("%q gives %d, %v; want %d", s, got, err, want)
		}
	}
	for _, bad := range []string{
		"", ".", "1.", ".5", "-1", "+1", "1e8", "1,5", "1 ", " 1", "0x1", "1.000000001", "1.0000000000", "1.5.0", "NaN", "Inf", "١",
		"92233720369", "99999999999999999999999999",
	} {
		if got, err := ParseAmount(bad); err == nil {
			t.Errorf("%q passes as %d", bad, got)
		}
	}
}

func TestFeeRate(t *testing.T) {
	for s, want := range map[string]FeeRate{"1": 1000, "0.001": 1, "2.5": 2500, "1000000": 1_000_000_000} {
		got, err := ParseFeeRate(s)
		if err != nil || got != want {
			t.Errorf("%q gives %d, %v; want %d", s, got, err, want)
		}
		if got.String() != s {
			t.Errorf("%d is written %q, want %q", got, got, s)
		}
	}
	if got, err := ParseFeeRate("3.00000000"); err != nil || got != 3000 {
		t.Errorf("zeros at the end: %d, %v", got, err)
	}
	for _, bad := range []string{"", "0", "0.0001", "-1", "1000000.001", "a", "1.00000001", "1.000x"} {
		if got, err := ParseFeeRate(bad); err == nil {
			t.Errorf("%q passes as %d", bad, got)
		}
	}
	for _, c := range []struct {
		rate FeeRate
		size int
		want consensus.Amount
	}{{1000, 111, 111}, {1, 1, 1}, {1001, 1000, 1001}, {1500, 111, 167}, {maxFeeRate, 100_000, 1e11}} {
		if got := c.rate.Fee(c.size); got != c.want {
			t.Errorf("%d vB at %s sat/vB cost %d, want %d", c.size, c.rate, got, c.want)
		}
	}
}
