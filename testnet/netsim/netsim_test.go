package netsim

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/p2p"
	"lode/testnet/chaingen"
)

// What one node sends the other receives, a latency later. A link that was cut
// carries nothing, and comes back when that is over.
func TestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency = 70 * time.Millisecond
		spec := chaingen.Spec(func(*consensus.Spec) {})
		w := New(Config{
			Spec: spec, Dir: t.TempDir(), Sigs: sigcheck.New(0),
			Line: func(int, int) p2p.Line { return p2p.Line{Latency: latency} },
		})
		defer func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
		for range 2 {
			if _, err := w.Add(nil); err != nil {
				t.Fatal(err)
			}
		}
		a, b := w.nodes[0], w.nodes[1]
		if err := a.AddNode(b.URL); err != nil {
			t.Fatal(err)
		}
		made := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1})
		find := func() (tip consensus.Hash, at time.Time) {
			block := made.Extend(1)[0]
			if err := a.Ledger.AddBlock(block); err != nil {
				t.Fatal(err)
			}
			return block.Header.Hash(), time.Now()
		}
		time.Sleep(time.Second)
		tip, start := find() // by its header: there, back and there again
		time.Sleep(time.Second)
		if at, ok := b.Reached(tip); !ok || at.Sub(start) != 3*latency {
			t.Errorf("the block came after %v", at.Sub(start))
		}
		fromA, toA := a.TakeTraffic()
		fromB, toB := b.TakeTraffic()
		if !maps.Equal(fromA, toB) || !maps.Equal(fromB, toA) || fromB["cmpctblock"].Messages != 1 || fromB.Bytes() == 0 {
			t.Errorf("a has received %v and sent %v, b has received %v and sent %v", fromA, toA, fromB, toB)
		}

		w.Cut(func(from, to int) bool { return from == 0 && to == 1 })
		tip, _ = find()
		time.Sleep(time.Minute)
		if _, ok := b.Reached(tip); ok || len(b.Peers()) > 0 {
			t.Error("the link is not cut")
		}
		w.Cut(nil)
		time.Sleep(2 * time.Minute)
		if _, ok := b.Reached(tip); !ok {
			t.Error("the link does not come back")
		}
	})
}
