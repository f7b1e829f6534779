package consensus

import (
	"math"
	"testing"
)

func TestFormatMoney(t *testing.T) {
	for _, tc := range []struct {
		a             Amount
		text, trimmed string
	}{
		{0, "0.00000000", "0.00"},
		{1, "0.00000001", "0.00000001"},
		{10, "0.00000010", "0.0000001"},
		{1_000_000, "0.01000000", "0.01"},
		{10_000_000, "0.10000000", "0.10"},
		{100_000_000, "1.00000000", "1.00"},
		{123_456_789_012, "1234.56789012", "1234.56789012"},
		{-1, "-0.00000001", "-0.00000001"},
		{-150_000_000, "-1.50000000", "-1.50"},
		{math.MaxInt64, "92233720368.54775807", "92233720368.54775807"},
		{math.MinInt64, "-92233720368.54775808", "-92233720368.54775808"},
	} {
		if got := tc.a.String(); got != tc.text {
			t.Errorf("%d: %s, want %s", int64(tc.a), got, tc.text)
		}
		if got := FormatMoney(tc.a); got != tc.trimmed {
			t.Errorf("%d trimmed: %s, want %s", int64(tc.a), got, tc.trimmed)
		}
	}
}

func TestIsFinal(t *testing.T) {
	const height, median = 1000, 1_600_000_000
	for _, tc := range []struct {
		lock, sequence uint32
		want           bool
	}{
		{0, 0, true},
		{height - 1, 0, true},
		{height, 0, false},
		{height, sequenceFinal, true},
		{height, sequenceFinal - 1, false},
		{499_999_999, 0, false}, // the last lock time that is a height
		{500_000_000, 0, true},  // the first that is a time
		{median - 1, 0, true},
		{median, 0, false},
		{math.MaxUint32, 0, false},
		{math.MaxUint32, sequenceFinal, true},
	} {
		tx := &Tx{LockTime: tc.lock, In: []TxIn{{Sequence: sequenceFinal}, {Sequence: tc.sequence}}}
		if got := tx.IsFinal(height, median); got != tc.want {
			t.Errorf("lock time %d, sequence %#x: %v", tc.lock, tc.sequence, got)
		}
	}
}

func TestSequenceLocks(t *testing.T) {
	// A coin of block 100 spent in block 110; the median time past of block n
	// is 600 n, so that 10 blocks are 6,000 s, which is 11.7 units.
	const made, height = 100, 110
	times := func(h uint32) uint32 { return 600 * h }
	for _, tc := range []struct {
		version, sequence uint32
		want              bool
	}{
		{2, 0, true},
		{2, 10, true},
		{2, 11, false},
		{2, 0xffff, false},
		{2, 0x10000 | 10, true}, // bits 16 to 21 mean nothing
		{2, 0x1f0000 | 11, false},
		{2, 1<<22 | 11, true},
		{2, 1<<22 | 12, false},
		{2, 1<<31 | 0xffff, true},
		{2, sequenceFinal, true},
		{0, 11, true},
		{1, 11, true},
		{3, 11, false},
		{0x80000000, 11, false}, // the version is unsigned
		{0xffffffff, 11, false},
		{0xffffffff, 10, true},
	} {
		tx := &Tx{Version: tc.version, In: []TxIn{{Sequence: tc.sequence}}}
		if got := SequenceLocksMet(tx, []Coin{{Height: made}}, height, times(height-1), times); got != tc.want {
			t.Errorf("version %#x, sequence %#x: %v", tc.version, tc.sequence, got)
		}
	}
	// A coin of genesis, if there were one, has no parent: its own median.
	tx := &Tx{Version: 2, In: []TxIn{{Sequence: 1 << 22}}}
	if !SequenceLocksMet(tx, []Coin{{}}, 1, 0, times) {
		t.Error("a lock of nothing holds")
	}
	// What is made in the same block is not a second old.
	tx.In[0].Sequence = 1<<22 | 1
	if SequenceLocksMet(tx, []Coin{{Height: height}}, height, times(height-1), times) {
		t.Error("512 seconds went by within a block")
	}
}

func TestSubsidy(t *testing.T) {
	r := regtestRules(t)
	for _, tc := range []struct {
		height uint32
		want   Amount
	}{
		{1, 50 * SatPerCoin}, {149, 50 * SatPerCoin}, {150, 25 * SatPerCoin}, {300, 1_250_000_000},
		{32 * 150, 1}, {33 * 150, 0}, {62 * 150, 0}, {63 * 150, 0}, {64 * 150, 0}, {math.MaxUint32, 0},
	} {
		if got := r.Subsidy(tc.height); got != tc.want {
			t.Errorf("height %d: %d, want %d", tc.height, got, tc.want)
		}
	}
}

func TestSubsidyOfAllTheMoney(t *testing.T) {
	r := &Rules{InitialSubsidy: 1 << 53, HalvingInterval: 10}
	for halvings := range uint32(70) {
		want := Amount(0)
		if halvings <= 53 {
			want = 1 << (53 - halvings)
		}
		if got := r.Subsidy(10*halvings + 9); got != want {
			t.Errorf("after %d halvings: %d, want %d", halvings, got, want)
		}
	}
}

func TestOutPoint(t *testing.T) {
	null := OutPoint{Index: nullIndex}
	if !null.IsNull() || (OutPoint{}).IsNull() || (OutPoint{Hash{1}, nullIndex}).IsNull() {
		t.Error("null is the zero hash with the largest index, and nothing else")
	}
	if got, want := (OutPoint{Hash{}, 7}).String(), (Hash{}).String()+":7"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
