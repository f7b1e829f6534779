package netsim

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/p2p"
	"lode/testnet/chaingen"
)

// bulky is a chain of blocks that are long and cost little to verify: their
// coinbases carry so many bytes of no meaning.
func bulky(t *testing.T, spec *consensus.Spec, blocks, size int) []*consensus.Block {
	made, data := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1}), make([]byte, size)
	copy(data, "\x6a\x4e\xff\xff\xff\xff") // OP_RETURN, OP_PUSHDATA4 of more than there is
	for range blocks {
		b := made.Empty(made.Tip())
		b.Txs[0].Out = append(b.Txs[0].Out, consensus.TxOut{Script: data})
		b.Seal()
		chaingen.Mine(b)
		if err := made.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	return made.Blocks[1:]
}

// download is how long a new node takes to get a chain from as many peers as
// there are lines, and how many blocks it is sent. The link to a peer is cut after
// a time, unless that is 0.
func download(t *testing.T, spec *consensus.Spec, blocks []*consensus.Block, cut time.Duration, lines ...p2p.Line) (took time.Duration, sent int) {
	synctest.Test(t, func(t *testing.T) {
		sigs := sigcheck.New(0)
		w := New(Config{Spec: spec, Dir: t.TempDir(), Sigs: sigs, Line: func(_, to int) p2p.Line { return lines[to] }})
		source, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Now: Now, Sigs: sigs})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(w.Close(), source.Close()); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second) // virtual, as in Close
		}()
		for _, v := range source.SubmitBlocks(blocks...) {
			if v.Err != nil {
				t.Fatal(v.Err)
			}
		}
		for range lines {
			if _, err := w.Add(source); err != nil {
				t.Fatal(err)
			}
		}
		n, err := w.Add(nil)
		if err != nil {
			t.Fatal(err)
		}
		start, tip := time.Now(), source.Tip().Hash
		for _, peer := range w.nodes[:len(lines)] {
			if err := n.AddNode(peer.URL); err != nil {
				t.Fatal(err)
			}
		}
		if cut > 0 {
			time.AfterFunc(cut, func() { w.Cut(func(_, to int) bool { return to == 0 }) })
		}
		at, ok := n.Reached(tip)
		for ; !ok; at, ok = n.Reached(tip) {
			if time.Since(start) > time.Hour {
				t.Fatalf("after an hour the chain is there up to block %d", n.Ledger.Tip().Height)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		received, _ := n.TakeTraffic()
		took, sent = at.Sub(start), received["block"].Messages
	})
	return took, sent
}

// Four peers are nearly four times as fast as one, and three if the fourth is
// hardly of any use, or leaves. Hardly a block is sent twice.
func TestDownload(t *testing.T) {
	const megabit = 1e6 / 8
	count, size := 1500, 40_000 // more than the window of the download
	if testing.Short() {
		count, size = 300, 200_000
	}
	spec := chaingen.Spec(func(*consensus.Spec) {})
	blocks := bulky(t, spec, count, size)
	line := p2p.Line{Latency: 50 * time.Millisecond, Rate: 20 * megabit}
	one, _ := download(t, spec, blocks, 0, line)
	slow := line
	slow.Rate /= 50
	for _, c := range []struct {
		name  string
		cut   time.Duration
		first p2p.Line
		times float64 // as fast as one peer, at least
		twice int     // blocks, at most
	}{
		{"four", 0, line, 3.2, 15},
		{"one of four slow", 0, slow, 2.8, 15},
		{"one of four cut", time.Second, line, 2.8, 15},
	} {
		took, sent := download(t, spec, blocks, c.cut, c.first, line, line, line)
		times := float64(one) / float64(took)
		t.Logf("%s: %v, %.2f times as fast as one peer with %v, %d of %d blocks twice", c.name, took, times, one, sent-count, count)
		if times < c.times || sent-count > c.twice {
			t.Errorf("%s: want %.2f times as fast, and at most %d blocks twice", c.name, c.times, c.twice)
		}
	}
}
