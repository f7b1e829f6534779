package rpc_test

import (
	"encoding/hex"
	"slices"
	"testing"

	"lode/consensus"
)

// TestScanMempool finds what pays to a key, what spends a coin, and what spends
// what was paid to the key, and nothing else.
func TestScanMempool(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 105)
	const value = 50 * consensus.SatPerCoin
	key, other := [32]byte{1}, [32]byte{2}
	to := func(key [32]byte, value consensus.Amount) consensus.TxOut {
		return consensus.TxOut{Value: value, Script: consensus.TaprootScript(key)}
	}
	pays := n.pay(value, []consensus.OutPoint{n.coinbase(1)}, to(key, value-2000))
	own := n.pay(value, []consensus.OutPoint{n.coinbase(2)}, consensus.TxOut{Value: value - 2000, Script: n.script})
	child := n.pay(value-2000, []consensus.OutPoint{{TxID: own.TxID()}}, to(other, value-4000))
	stranger := n.pay(value, []consensus.OutPoint{n.coinbase(3)}, to(other, value-2000))
	for _, tx := range []*consensus.Tx{pays, own, child, stranger} {
		check(t, n.pool.Add(tx))
	}
	type answer struct {
		Loaded       bool
		Transactions []string
		Next         *string
	}
	coin := func(o consensus.OutPoint) object { return object{"txid": o.TxID, "vout": o.Index} }
	mine, taproot := hex.EncodeToString(key[:]), hex.EncodeToString(n.script[2:])
	for name, c := range map[string]struct {
		keys []string
		outs []any
		want []*consensus.Tx
	}{
		"nothing":                  {[]string{}, []any{}, nil},
		"a key":                    {[]string{mine}, []any{}, []*consensus.Tx{pays}},
		"a key, and what it pays":  {[]string{taproot}, []any{}, []*consensus.Tx{own, child}},
		"a coin of a block":        {[]string{}, []any{coin(n.coinbase(3))}, []*consensus.Tx{stranger}},
		"a coin of the mempool":    {[]string{}, []any{coin(consensus.OutPoint{TxID: own.TxID()})}, []*consensus.Tx{child}},
		"a coin that is not spent": {[]string{}, []any{coin(n.coinbase(4))}, nil},
	} {
		got := ok[answer](n, "scanmempool", c.keys, c.outs)
		var want []string
		for _, tx := range c.want {
			want = append(want, hexTx(tx))
		}
		slices.Sort(want)
		slices.Sort(got.Transactions)
		if !slices.Equal(got.Transactions, want) || got.Next != nil {
			t.Errorf("%s: %+v, want %v", name, got, want)
		}
	}
	// Page by page: what comes after the first is what is left.
	all := ok[answer](n, "scanmempool", []string{mine, taproot}, []any{}).Transactions
	first, err := hex.DecodeString(all[0])
	check(t, err)
	tx, err := consensus.DecodeTx(first)
	check(t, err)
	if rest := ok[answer](n, "scanmempool", []string{mine, taproot}, []any{}, tx.TxID()).Transactions; !slices.Equal(rest, all[1:]) {
		t.Errorf("after the first of %v: %v", all, rest)
	}
	n.refused(-8, `"zz" is no output key: want 64 hex digits`, "scanmempool", []string{"zz"}, []any{})
}
