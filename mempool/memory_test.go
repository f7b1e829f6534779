package mempool

import (
	"encoding/binary"
	"runtime"
	"testing"

	"lode/consensus"
)

// TestMemory compares what the pool says that it takes with the heap: limits
// would mean nothing if it took much more.
func TestMemory(t *testing.T) {
	const count = 20_000
	heap := func() int {
		runtime.GC()
		runtime.GC() // for what the first one has only found
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for name, shape := range map[string][2]int{"one input, one output": {1, 1}, "5 inputs, 2 outputs": {5, 2}, "one input, 20 outputs": {1, 20}} {
		before := heap()
		p := New(Config{Policy: DefaultPolicy()})
		for i := range count {
			tx := &consensus.Tx{Version: 2}
			for k := range shape[0] {
				o := consensus.OutPoint{Index: uint32(k)}
				binary.LittleEndian.PutUint64(o.TxID[:], uint64(i))
				tx.In = append(tx.In, consensus.TxIn{PrevOut: o, Witness: [][]byte{make([]byte, 64)}})
			}
			for range shape[1] {
				tx.Out = append(tx.Out, consensus.TxOut{Value: 1000, Script: consensus.TaprootScript([32]byte{1})})
			}
			tx = ownCopy(tx)
			n := &Node{Entry: Entry{Tx: tx, TxID: tx.TxID(), WTxID: tx.WTxID(), Weight: tx.Weight(), Size: tx.VSize()}, Usage: Memory(tx), Seq: uint64(i)}
			c, err := p.stage(nil, []*Node{n})
			if err != nil {
				t.Fatal(err)
			}
			p.commit(c)
		}
		taken := heap() - before
		t.Logf("%s: %d bytes each, said to be %d", name, taken/count, p.graph.Totals().Memory/count)
		if taken > p.graph.Totals().Memory*6/5 || taken < p.graph.Totals().Memory/3 {
			t.Errorf("%s: %d bytes of heap, said to be %d", name, taken, p.graph.Totals().Memory)
		}
		runtime.KeepAlive(p)
	}
}
