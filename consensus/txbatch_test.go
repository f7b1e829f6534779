package consensus

import (
	"encoding/hex"
	"testing"
)

// TestBatchDecodesAsOne: a transaction that is decoded in a batch, and its id, are those of
// DecodeTx and TxID, and what one cannot decode the other cannot.
func TestBatchDecodesAsOne(t *testing.T) {
	many := &Tx{Version: 2, LockTime: 7}
	for i := range 200 { // more than a piece gives at once
		many.In = append(many.In, TxIn{PrevOut: OutPoint{Index: uint32(i)}, Witness: [][]byte{{1}, make([]byte, 300)}})
		many.Out = append(many.Out, TxOut{Value: Amount(i), Script: make([]byte, i)})
	}
	plain := &Tx{Version: 1, In: []TxIn{{ScriptSig: []byte{1, 2}}}, Out: []TxOut{{Value: 5, Script: []byte{0x6a}}}}
	mixed := &Tx{Version: 3, In: []TxIn{{}, {Witness: [][]byte{{9}}}}, LockTime: 1 << 31}
	var batch TxBatch
	for name, tx := range map[string]*Tx{"many": many, "plain": plain, "mixed": mixed, "empty": {}} {
		raw := tx.Bytes()
		for range 300 { // over the end of several pieces
			got, id, err := batch.Decode(raw)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if id != tx.TxID() || hex.EncodeToString(got.Bytes()) != hex.EncodeToString(raw) {
				t.Fatalf("%s: decoded to another transaction, or with another id", name)
			}
		}
		for size := 0; size < len(raw); size += 1 + len(raw)/200 {
			_, want := DecodeTx(raw[:size])
			if _, _, err := batch.Decode(raw[:size]); (err == nil) != (want == nil) {
				t.Fatalf("%s cut at %d: %v, want %v", name, size, err, want)
			}
		}
	}
}
