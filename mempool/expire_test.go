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
	p := &Pool{byTxID: make(map[consensus.Hash]*Node)}
	begun := time.Unix(1_700_000_000, 0)
	var stays *Node
	for i := range 10_000 {
		n := &Node{}
		n.TxID, n.Time = consensus.Hash{byte(i), byte(i >> 8)}, begun.Add(time.Duration(i)*time.Second)
		p.byTxID[n.TxID] = n
		p.ages(n)
		if i == 0 {
			stays = n
		} else {
			delete(p.byTxID, n.TxID)
		}
		if len(p.aging) > 1010 {
			t.Fatalf("%d in the queue for %d in the pool", len(p.aging), len(p.byTxID))
		}
	}
	if first := heap.Pop(&p.aging).(waiting); first.txid != stays.TxID {
		t.Errorf("the first is %v, want the oldest", first)
	}
}
