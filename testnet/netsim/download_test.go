package netsim

import (
	"math/rand/v2"
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
	made, random := chaingen.New(&spec.Rules, chaingen.Params{Seed: 1}), rand.NewChaCha8([32]byte{1})
	for range blocks {
		b := made.Empty(made.Tip())
		data := make([]byte, size)
		_, _ = random.Read(data[1:])
		const opReturn, opPush4 = 0x6a, 0x4e // a push that is never done, so that nothing in it counts
		data[0], data[1] = opReturn, opPush4
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
// there are lines.
func download(t *testing.T, spec *consensus.Spec, blocks []*consensus.Block, lines ...p2p.Line) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		sigs := sigcheck.New(0)
		w := New(Config{
			Spec: spec, Dir: t.TempDir(), Sigs: sigs,
			Line: func(_, to int) p2p.Line { return lines[to] },
		})
		source, err := chain.Open(chain.Config{Dir: t.TempDir(), Spec: spec, Now: Now, Sigs: sigs})
		if err != nil {
			t.Fatal(err)
		}
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
		for i := range lines {
			if err := n.AddNode(w.nodes[i].URL); err != nil {
				t.Fatal(err)
			}
		}
		ok := false
		for !ok && time.Since(start) < time.Hour {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			var at time.Time
			if at, ok = n.Reached(tip); ok {
				took = at.Sub(start)
			}
		}
		if !ok {
			t.Errorf("the chain is not there after an hour, at height %d", n.Ledger.Tip().Height)
		}
		received, _ := n.TakeTraffic()
		t.Logf("%d peers: %v, blocks %v", len(lines), took, received["block"])
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Second)
	})
	return took
}

// Four peers are nearly four times as fast as one, and three if one of them is
// hardly of any use.
func TestDownload(t *testing.T) {
	spec := chaingen.Spec(func(*consensus.Spec) {})
	fast := p2p.Line{Latency: 50 * time.Millisecond, Rate: 20e6 / 8}
	slow := fast
	slow.Rate /= 50
	blocks := bulky(t, spec, 1500, 40_000)
	one := download(t, spec, blocks, fast)
	four := download(t, spec, blocks, fast, fast, fast, fast)
	three := download(t, spec, blocks, fast, fast, fast, slow)
	t.Log(one, four, float64(one)/float64(four), float64(one)/float64(three))
}
