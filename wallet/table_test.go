package wallet

import (
	"math/rand/v2"
	"testing"

	"lode/consensus"
)

// TestTableIsAMap: a table answers as a map does, whatever is added, set and removed, with keys
// that share their first bytes too.
func TestTableIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table, model := newTable[consensus.OutPoint, int](hashOutPoint), make(map[consensus.OutPoint]int)
	table.reserve(10)
	for i := range 50_000 {
		o := consensus.OutPoint{Index: uint32(rng.IntN(3))}
		o.TxID[rng.IntN(2)*20] = byte(rng.IntN(256)) // the last ones differ where the hash does not look
		have, ok := model[o]
		switch rng.IntN(4) {
		case 0:
			if got, added := table.add(o, i); added == ok || ok && got != have {
				t.Fatalf("step %d: add gave %d, %v; the map has %d, %v", i, got, added, have, ok)
			}
			if !ok {
				model[o] = i
			}
		case 1:
			table.set(o, i)
			model[o] = i
		case 2:
			table.remove(o)
			delete(model, o)
		default:
			if got, found := table.get(o); found != ok || got != have {
				t.Fatalf("step %d: get gave %d, %v; the map has %d, %v", i, got, found, have, ok)
			}
		}
		if table.len() != len(model) {
			t.Fatalf("step %d: %d entries, the map has %d", i, table.len(), len(model))
		}
	}
	for o, v := range table.all() {
		if model[o] != v {
			t.Errorf("%s: %d, the map has %d", o, v, model[o])
		}
		table.remove(o)
	}
	if table.len() != 0 {
		t.Errorf("%d entries are left after all were removed", table.len())
	}
	if 8*len(table.list) > 100_000 {
		t.Errorf("a table of at most %d keys has %d places", 512*3, len(table.list))
	}
}

// TestTableDoesNotFollowItsKeys: ids that someone has ground to agree in the bits that would
// choose a slot, were the hash not keyed, do not meet in one place.
func TestTableDoesNotFollowItsKeys(t *testing.T) {
	for name, shift := range map[string]int{"low": 0, "high": 6} {
		table := newTable[consensus.Hash, int](hashTxID)
		const n = 5_000
		table.reserve(n)
		for i := range n {
			var h consensus.Hash
			h[shift], h[shift+1] = byte(i), byte(i>>8)
			table.add(h, i)
		}
		longest, run := 0, 0
		for _, s := range table.slots {
			if run++; s == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		if longest > 500 {
			t.Errorf("%s: %d slots in a row are taken by %d keys", name, longest, n)
		}
	}
}
