package mempool

import (
	"container/heap"
	"testing"
	"time"

	"lode/consensus"
)

// What has left is not kept for as long as it would have stayed: there is at most
// about twice as much in the queue as in the pool.
func TestQueueForgetsWhatHasLeft(t *testing.T) {
	p := New(Config{Policy: DefaultPolicy()})
	begun := time.Unix(1_700_000_000, 0)
	var stays *Node
	for i := range 10_000 {
		tx := &consensus.Tx{}
		n := &Node{Seq: p.graph.Next(), Usage: Memory(tx), Entry: Entry{Tx: tx, Size: 1, Weight: 4}}
		n.TxID, n.WTxID, n.Time = consensus.Hash{byte(i), byte(i >> 8)}, consensus.Hash{byte(i), byte(i >> 8)}, begun.Add(time.Duration(i)*time.Second)
		come, err := p.stage(nil, []*Node{n})
		if err != nil {
			t.Fatal(err)
		}
		p.commit(come)
		if i == 0 {
			stays = n
		} else {
			p.removeAll([]*Node{n})
		}
		if len(p.aging) > 1010 {
			t.Fatalf("%d in the queue for %d in the pool", len(p.aging), p.graph.Len())
		}
	}
	if first := heap.Pop(&p.aging).(waiting); first.txid != stays.TxID {
		t.Errorf("the first is %v, want the oldest", first)
	}
}
