package netsim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/p2p"
	"lode/testnet/chaingen"
)

var (
	rounds = flag.Int("netsim.rounds", 1, "networks to measure")
	exTxs = flag.Int("ex.txs", 2000, "")
	seed   = flag.Uint64("netsim.seed", 1, "of the first network")
)

// spread is the network of which issue 5 speaks, and a block that it passes on.
type spread struct {
	nodes, outbound, txs int
	warmUp               int // blocks before, by which nodes choose whom they hear first
	line                 p2p.Line
	lost                 func(string) bool
}

// result is how one block went around.
type result struct {
	times    []time.Duration // sorted; when each node had it
	received Traffic         // by all nodes together
	most     int             // bytes that one node has received
	block    int             // bytes
}

func (r *result) at(percent int) time.Duration { return r.times[(len(r.times)*percent+99)/100-1] }
func (r *result) mean() int                    { return r.received.Bytes() / len(r.times) }

// run builds the network from a seed and measures it. The transactions lie in all
// pools before there are links, because their relay is not what is measured.
func (s spread) run(t *testing.T, seed uint64) (res result) {
	random := rand.New(rand.NewPCG(seed, 0))
	spec := chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })
	made := chaingen.New(&spec.Rules, chaingen.Params{Seed: seed, Txs: 1, Outputs: s.txs, Fee: 100_000})
	made.Extend(2) // a coinbase, then its coins for the transactions
	made.Params = chaingen.Params{Txs: s.txs, Outputs: 2, Fee: 1000}
	txs := made.Next().Txs[1:]
	if len(txs) != s.txs {
		t.Fatalf("there are %d transactions", len(txs))
	}
	made.Params.Txs = 0
	made.Extend(s.warmUp)
	if err := made.Add(made.With(txs...)); err != nil {
		t.Fatal(err)
	}
	w := New(Config{
		Spec: spec, Dir: t.TempDir(), Sigs: sigcheck.New(2 * s.txs), Lost: s.lost,
		Line: func(int, int) p2p.Line { return s.line },
	})
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	var nodes []*Node
	for range s.nodes {
		n, err := w.Add(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range made.Blocks[1:3] {
			if err := n.Ledger.AddBlock(b); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range n.Pool.AddAll(txs) {
			if err != nil {
				t.Fatal(err)
			}
		}
		nodes = append(nodes, n)
	}
	synctest.Wait()
	for _, n := range nodes {
		for _, to := range random.Perm(s.nodes - 1)[:s.outbound] {
			if to >= n.Number {
				to++
			}
			if err := n.AddNode(nodes[to].URL); err != nil {
				t.Fatal(err)
			}
		}
	}
	const pause = 3 * time.Second
	time.Sleep(pause)
	for _, b := range made.Blocks[3:] {
		for _, n := range nodes {
			n.TakeTraffic()
		}
		start := time.Now()
		if err := nodes[random.IntN(len(nodes))].Ledger.AddBlock(b); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
		synctest.Wait()
		res = result{received: make(Traffic), block: b.Size()}
		for _, n := range nodes {
			at, ok := n.Reached(b.Header.Hash())
			if !ok {
				t.Fatalf("node %d has not got the block at height %d", n.Number, n.Ledger.Tip().Height+1)
			}
			res.times = append(res.times, at.Sub(start))
			received, _ := n.TakeTraffic()
			res.received.Add(received)
			res.most = max(res.most, received.Bytes())
		}
		slices.Sort(res.times)
	}
	return res
}

func noCompact(command string) bool { return command == "sendcmpct" }

func (r *result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "50 %% %v, 99 %% %v, all %v; mean %d, most %d bytes;", r.at(50), r.at(99), r.at(100), r.mean(), r.most)
	for _, c := range slices.Sorted(func(yield func(string) bool) {
		for c := range r.received {
			if !yield(c) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, " %s %d/%d", c, r.received[c].Messages, r.received[c].Bytes/len(r.times))
	}
	return b.String()
}

func TestPropagation(t *testing.T) {
	for i := range uint64(*rounds) {
		synctest.Test(t, func(t *testing.T) {
			s := spread{nodes: 100, outbound: 8, txs: *exTxs, warmUp: 20, line: p2p.Line{Latency: 100 * time.Millisecond, Rate: 2_500_000 * (*exTxs+50)/2050}}
			res := s.run(t, *seed+i)
			t.Log(res.String())
		})
	}
}
