package consensus_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"lode/consensus"
	"lode/consensus/internal/testchain"
)

func drawHash(t *rapid.T) (h consensus.Hash) {
	copy(h[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return h
}

// drawTx is any transaction that has an encoding of its own: one without
// inputs has no outputs either.
func drawTx(t *rapid.T) *consensus.Tx {
	data := rapid.SliceOfN(rapid.Byte(), 0, 300)
	tx := &consensus.Tx{Version: rapid.Uint32().Draw(t, "version"), LockTime: rapid.Uint32().Draw(t, "lock time")}
	witness := rapid.Bool().Draw(t, "with witness")
	for range rapid.IntRange(0, 4).Draw(t, "inputs") {
		in := consensus.TxIn{
			PrevOut:   consensus.OutPoint{TxID: drawHash(t), Index: rapid.Uint32().Draw(t, "index")},
			ScriptSig: data.Draw(t, "script"),
			Sequence:  rapid.Uint32().Draw(t, "sequence"),
		}
		if witness {
			in.Witness = rapid.SliceOfN(data, 0, 3).Draw(t, "witness")
		}
		tx.In = append(tx.In, in)
	}
	for range rapid.IntRange(0, 4).Draw(t, "outputs") {
		if len(tx.In) > 0 {
			tx.Out = append(tx.Out, consensus.TxOut{Value: consensus.Amount(rapid.Int64().Draw(t, "value")), Script: data.Draw(t, "script")})
		}
	}
	return tx
}

func TestBlockRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &consensus.Block{Header: consensus.Header{
			Version: rapid.Int32().Draw(t, "version"), Prev: drawHash(t), MerkleRoot: drawHash(t),
			Time: rapid.Uint32().Draw(t, "time"), Bits: rapid.Uint32().Draw(t, "bits"), Nonce: rapid.Uint32().Draw(t, "nonce"),
		}}
		for range rapid.IntRange(0, 3).Draw(t, "transactions") {
			b.Txs = append(b.Txs, drawTx(t))
		}
		raw := b.Bytes()
		back, err := consensus.DecodeBlock(raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		if len(raw) != b.Size() || !bytes.Equal(raw, back.Bytes()) {
			t.Fatalf("%d bytes, size %d", len(raw), b.Size())
		}
		for i, tx := range b.Txs {
			if tx.Size() != len(tx.Bytes()) || tx.StrippedSize() != len(tx.AppendStripped(nil)) {
				t.Fatalf("transaction %d: sizes %d and %d, encoded %d and %d", i, tx.Size(), tx.StrippedSize(), len(tx.Bytes()), len(tx.AppendStripped(nil)))
			}
			if (tx.TxID() == tx.WTxID()) == tx.HasWitness() {
				t.Fatalf("transaction %d: the ids differ without a witness, or do not with one", i)
			}
		}
	})
}

// drawBlock is a good block on c, but for its signatures, with random
// transactions that may spend each other's outputs.
func drawBlock(t *rapid.T, c *testchain.Chain) *consensus.Block {
	view := consensus.NewView(c.Coins)
	var free []consensus.OutPoint
	for height := range uint32(11) {
		free = append(free, c.Coinbase(height+1))
	}
	var txs []*consensus.Tx
	for range rapid.IntRange(0, 5).Draw(t, "transactions") {
		free = rapid.Permutation(free).Draw(t, "order")
		from := free[:rapid.IntRange(1, min(3, len(free))).Draw(t, "inputs")]
		free = free[len(from):]
		coins, _, _ := view.Inputs(testchain.Unsigned(from))
		var sum consensus.Amount
		for i := range coins {
			sum += coins[i].Value
		}
		tx := testchain.Unsigned(from)
		id := func() consensus.Hash { return tx.TxID() }
		for n := range rapid.IntRange(1, 3).Draw(t, "outputs") {
			if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
				tx.Out = append(tx.Out, consensus.TxOut{Script: []byte{0x6a}})
			} else {
				tx.Out = append(tx.Out, testchain.Key(n).Pay(sum/4))
			}
		}
		for n := range tx.Out {
			if tx.Out[n].Value > 0 {
				free = append(free, consensus.OutPoint{TxID: id(), Index: uint32(n)})
			}
		}
		view.ApplyTx(tx, id(), c.State.Height+1)
		txs = append(txs, tx)
		if len(free) == 0 {
			break
		}
	}
	return c.Next(txs...)
}

// A block that is applied and then reverted leaves the coins as they were.
func TestRevertIsTheInverse(t *testing.T) {
	base := baseChain()
	rapid.Check(t, func(t *rapid.T) {
		c := base.Clone()
		b := drawBlock(t, c)
		u, err := c.Rules.ApplyBlock(c.State, b, c.Coins, c.Median, c.Latest)
		if err != nil {
			t.Fatal(err)
		}
		after := changed(c.Coins, u.View)
		view := consensus.NewView(after)
		if err := consensus.RevertBlock(view, b, u.IDs, u.Spent); err != nil {
			t.Fatal(err)
		}
		if got := changed(after, view); !maps.Equal(got, c.Coins) {
			t.Fatalf("%d coins became %d", len(c.Coins), len(got))
		}
		// The coins after the block are what a plain set says they are, and
		// its fees are what went in and did not come out.
		want := maps.Clone(c.Coins)
		var in, out consensus.Amount
		for i, tx := range b.Txs {
			for n := range tx.In {
				in += want[tx.In[n].PrevOut].Value
				delete(want, tx.In[n].PrevOut)
			}
			for n := range tx.Out {
				if i > 0 {
					out += tx.Out[n].Value
				}
				if key, ok := consensus.TaprootKey(tx.Out[n].Script); ok {
					want[consensus.OutPoint{TxID: tx.TxID(), Index: uint32(n)}] = consensus.Coin{
						Value: tx.Out[n].Value, Key: key, Height: c.State.Height + 1, Coinbase: i == 0,
					}
				}
			}
		}
		if !maps.Equal(after, want) || u.Fees != in-out {
			t.Fatalf("fees %d, want %d; %d coins, want %d", u.Fees, in-out, len(after), len(want))
		}
	})
}

func changed(base consensus.Coins, view *consensus.View) consensus.Coins {
	coins := maps.Clone(base)
	removed, added := view.Changes()
	for o := range removed {
		delete(coins, o)
	}
	maps.Copy(coins, added)
	return coins
}

func TestRevertRefusesOtherUndoData(t *testing.T) {
	c := baseChain().Clone()
	b := c.Next(c.Spend(1, testchain.Key(500).Pay(coin)))
	if err := c.Add(b); err != nil {
		t.Fatal(err)
	}
	undo := c.Undo[len(c.Undo)-1]
	for _, spent := range [][]consensus.Coin{nil, append(slices.Clone(undo), undo...)} {
		if err := consensus.RevertBlock(consensus.NewView(c.Coins), b, b.TxIDs(), spent); !errors.Is(err, consensus.ErrUndo) {
			t.Errorf("%d coins: %v", len(spent), err)
		}
	}
	before := baseChain().Coins
	if err := c.Revert(); err != nil || !maps.Equal(c.Coins, before) {
		t.Errorf("reverted: %v", err)
	}
}

// A view is a set of coins: whatever is applied and reverted, it holds what a
// plain map holds, and so does its base with the changes.
func TestViewIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := consensus.Coins{}
		for i := range 4 {
			base[consensus.OutPoint{Index: uint32(i)}] = consensus.Coin{Value: consensus.Amount(i), Key: [32]byte{byte(i)}}
		}
		view, model := consensus.NewView(base), maps.Clone(base)
		type applied struct {
			tx    *consensus.Tx
			id    consensus.Hash
			spent []consensus.Coin
		}
		var stack []applied
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			if len(stack) > 0 && rapid.IntRange(0, 2).Draw(t, "revert") == 0 {
				last := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				view.RevertTx(last.tx, last.id, last.spent)
				for i := range last.tx.Out {
					delete(model, consensus.OutPoint{TxID: last.id, Index: uint32(i)})
				}
				for i := range last.spent {
					model[last.tx.In[i].PrevOut] = last.spent[i]
				}
			} else if len(model) > 0 {
				all := slices.SortedFunc(maps.Keys(model), func(a, b consensus.OutPoint) int { return strings.Compare(a.String(), b.String()) })
				from := rapid.Permutation(all).Draw(t, "coins")[:rapid.IntRange(1, min(2, len(all))).Draw(t, "inputs")]
				tx := testchain.Unsigned(from)
				tx.LockTime = uint32(n) // no two are the same
				for i := range rapid.IntRange(0, 2).Draw(t, "outputs") {
					tx.Out = append(tx.Out, consensus.TxOut{Value: consensus.Amount(n), Script: consensus.TaprootScript([32]byte{byte(i)})})
				}
				spent, _, ok := view.Inputs(tx)
				if !ok {
					t.Fatal("a coin of the model is not in the view")
				}
				id := tx.TxID()
				view.ApplyTx(tx, id, 7)
				for _, o := range from {
					delete(model, o)
				}
				for i := range tx.Out {
					model[consensus.OutPoint{TxID: id, Index: uint32(i)}] = consensus.Coin{Value: tx.Out[i].Value, Key: [32]byte{byte(i)}, Height: 7}
				}
				stack = append(stack, applied{tx, id, spent})
			}
			if got := changed(base, view); !maps.Equal(got, model) {
				t.Fatalf("step %d: %v, want %v", n, got, model)
			}
			removed, _ := view.Changes()
			for o := range removed {
				if _, ok := base[o]; !ok {
					t.Fatalf("step %d: %s is to be removed from a base that lacks it", n, o)
				}
			}
			for o := range base {
				got, ok := view.Coin(o)
				if want, there := model[o]; ok != there || got != want {
					t.Fatalf("step %d: coin %s is %v, want %v", n, o, ok, there)
				}
			}
		}
	})
}
