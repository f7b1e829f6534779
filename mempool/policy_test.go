package mempool

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/mempool/linearize"
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
		if got := linearize.CompareRates(consensus.Amount(feeA), sizeA, consensus.Amount(feeB), sizeB); got != a.Cmp(b) {
			t.Fatalf("rates compare as %d, want %d", got, a.Cmp(b))
		}
		rate := RateOf(consensus.Amount(feeA), sizeA)
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

// TestDataOutputsHaveALimit counts the scripts of all of them, as Bitcoin Core's
// -datacarriersize does; without room not even an empty one passes.
func TestDataOutputsHaveALimit(t *testing.T) {
	empty, four := []byte{0x6a}, []byte{0x6a, 2, 1, 2}
	for _, c := range []struct {
		room    int
		scripts [][]byte
		want    error
	}{
		{0, nil, nil},
		{0, [][]byte{empty}, ErrDataCarrier},
		{1, [][]byte{empty}, nil},
		{4, [][]byte{four}, nil},
		{3, [][]byte{four}, ErrDataCarrier},
		{8, [][]byte{four, four}, nil},
		{7, [][]byte{four, four}, ErrDataCarrier},
		{0, [][]byte{{0x6a, 0x61}}, ErrScriptPubKey},
		{DefaultPolicy().MaxData, [][]byte{append([]byte{0x6a, 0x4d, 0xff, 0xff}, make([]byte, 0xffff)...)}, nil},
	} {
		p := DefaultPolicy()
		p.MaxData = c.room
		tx := &consensus.Tx{Version: 2, In: make([]consensus.TxIn, 2), Out: []consensus.TxOut{{Value: 1000, Script: consensus.TaprootScript([32]byte{})}}}
		for _, script := range c.scripts {
			tx.Out = append(tx.Out, consensus.TxOut{Script: script})
		}
		if err := p.checkStandard(tx, nil); !errors.Is(err, c.want) {
			t.Errorf("room for %d bytes, scripts %.20x: %v, want %v", c.room, c.scripts, err, c.want)
		}
	}
}
