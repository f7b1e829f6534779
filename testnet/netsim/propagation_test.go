package netsim

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/p2p"
	"lode/testnet/chaingen"
)

var (
	bench = flag.Int("netsim.bench", 0, "networks of each kind to measure for the table of make bench-net")
	seed  = flag.Uint64("netsim.seed", 1, "of the first network")
	full  = flag.Bool("netsim.full", false, "pass blocks through 100 nodes, not 30, for make simulate")
)

// spread is a network and the blocks that it passes on.
type spread struct {
	name     string
	nodes    int
	outbound int // peers that each node dials
	miners   int // nodes that find blocks
	warmUp   int // blocks with nothing in them, by which nodes learn who is early
	blocks   int // to be measured
	txs      int // in each of them
	line     p2p.Line
	lost     func(string) bool
}

// propagation is the network for which there are limits.
var propagation = spread{
	name: "compact blocks", nodes: 100, outbound: 8, miners: 10, warmUp: 40, blocks: 3, txs: 2000,
	line: p2p.Line{Latency: 100 * time.Millisecond, Rate: 20e6 / 8},
}

const (
	maxTime  = 650 * time.Millisecond // for a block to reach 99 % of the nodes
	maxBytes = 35_000                 // that it costs a node on average
)

// passage is how one block went around.
type passage struct {
	times    []time.Duration // when each node had it, the first first
	bytes    []int           // that each has received, the least first
	received Traffic         // by all
}

// share is the time, or the bytes, of so many percent of the nodes.
func share[T any](sorted []T, percent int) T { return sorted[(len(sorted)*percent+99)/100-1] }

// run makes the network from a seed, and blocks pass through it. The transactions
// lie in all mempools before there are links: their relay is not measured.
func (s *spread) run(t *testing.T, seed uint64) (list []passage) {
	random := rand.New(rand.NewPCG(seed, 0))
	spec := chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })
	made := chaingen.New(&spec.Rules, chaingen.Params{Seed: seed, Txs: 1, Outputs: s.txs * s.blocks, Fee: 1_000_000})
	first := made.Extend(2) // a coinbase, then its coins for the transactions
	made.Params = chaingen.Params{Txs: s.txs * s.blocks, Outputs: 2, Fee: 1000}
	txs := made.Next().Txs[1:]
	made.Params.Txs = 0
	made.Extend(s.warmUp)
	for part := range slices.Chunk(txs, s.txs) {
		if err := made.Add(made.With(part...)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(made.Blocks) - 3 - s.warmUp; got != s.blocks {
		t.Fatalf("%d blocks with %d transactions", got, len(txs))
	}
	w := New(Config{
		Spec: spec, Dir: t.TempDir(), Sigs: sigcheck.New(2 * len(txs)), Lost: s.lost,
		Line: func(int, int) p2p.Line { return s.line },
	})
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range s.nodes {
		n, err := w.Add(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range n.Ledger.SubmitBlocks(first...) {
			if v.Err != nil {
				t.Fatal(v.Err)
			}
		}
		for _, err := range n.Pool.AddAll(txs) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	s.connect(t, w, random)
	miners := random.Perm(s.nodes)[:s.miners]
	for i, b := range made.Blocks[3:] {
		p := w.pass(t, b, miners[random.IntN(len(miners))])
		if i >= s.warmUp {
			list = append(list, p)
		}
	}
	return list
}

// connect has every node dial others at random.
func (s *spread) connect(t *testing.T, w *Network, random *rand.Rand) {
	for _, n := range w.nodes {
		for _, to := range random.Perm(s.nodes - 1)[:s.outbound] {
			if to >= n.Number {
				to++
			}
			if err := n.AddNode(w.nodes[to].URL); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(5 * time.Second)
}

// pass has a node find a block, and waits until nobody speaks of it any more.
func (w *Network) pass(t *testing.T, b *consensus.Block, miner int) passage {
	for _, n := range w.nodes {
		n.TakeTraffic()
	}
	start, p := time.Now(), passage{received: make(Traffic)}
	if err := w.nodes[miner].Ledger.AddBlock(b); err != nil {
		t.Fatal(err)
	}
	time.Sleep(4 * time.Second)
	synctest.Wait()
	for _, n := range w.nodes {
		at, ok := n.Reached(b.Header.Hash())
		if !ok {
			t.Fatalf("node %d has not got block %d", n.Number, n.Ledger.Tip().Height+1)
		}
		received, _ := n.TakeTraffic()
		p.times, p.bytes = append(p.times, at.Sub(start)), append(p.bytes, received.Bytes())
		p.received.Add(received)
	}
	slices.Sort(p.times)
	slices.Sort(p.bytes)
	return p
}

// summary is the averages over several blocks.
type summary struct {
	name             string
	blocks, nodes    int
	half, most, last time.Duration // until 50 %, 99 % and all of the nodes had a block
	slowest          time.Duration // until 99 % had the slowest of the blocks
	bytes, worst     int           // that a node has received for a block: on average, and 99 % of them at most
	received         Traffic       // by all, for all blocks
}

func (s *spread) summarize(list []passage) summary {
	sum := summary{name: s.name, blocks: len(list), nodes: s.nodes, received: make(Traffic)}
	for _, p := range list {
		sum.half += share(p.times, 50) / time.Duration(len(list))
		sum.most += share(p.times, 99) / time.Duration(len(list))
		sum.last += share(p.times, 100) / time.Duration(len(list))
		sum.slowest = max(sum.slowest, share(p.times, 99))
		sum.worst += share(p.bytes, 99) / len(list)
		sum.received.Add(p.received)
	}
	sum.bytes = sum.received.Bytes() / s.nodes / len(list)
	return sum
}

// table shows summaries, the bytes that a node receives for a block by message.
func table(list ...summary) string {
	all := make(Traffic)
	for i := range list {
		all.Add(list[i].received)
	}
	commands := slices.SortedFunc(maps.Keys(all), func(a, b string) int { return all[b].Bytes - all[a].Bytes })
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\n\tblocks\t50 %%\t99 %%\tall\tslowest 99 %%\tbytes a node\t99 %% below\t%s\t\n", strings.Join(commands, "\t"))
	for _, s := range list {
		ms := func(d time.Duration) int64 { return d.Milliseconds() }
		fmt.Fprintf(w, "%s\t%d\t%d ms\t%d ms\t%d ms\t%d ms\t%d\t%d\t", s.name, s.blocks, ms(s.half), ms(s.most), ms(s.last), ms(s.slowest), s.bytes, s.worst)
		for _, c := range commands {
			fmt.Fprintf(w, "%d\t", s.received[c].Bytes/s.nodes/s.blocks)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // never fails
	return text.String()
}

// measure is the averages over several networks.
func (s spread) measure(t *testing.T, networks int) summary {
	var list []passage
	for i := range uint64(networks) {
		synctest.Test(t, func(t *testing.T) { list = append(list, s.run(t, *seed+i)...) })
	}
	return s.summarize(list)
}

// A block whose transactions the nodes know is soon with nearly all of them, and
// costs each little more than two compact blocks.
func TestPropagation(t *testing.T) {
	s := propagation
	if !*full {
		s.nodes, s.miners, s.warmUp, s.blocks = 30, 3, 10, 1
	}
	sum := s.measure(t, 1)
	t.Log(table(sum))
	if sum.most > maxTime || sum.bytes > maxBytes {
		t.Errorf("99 %% of the nodes have a block after %v, for %d bytes each", sum.most, sum.bytes)
	}
}

// TestPropagationTable is make bench-net.
func TestPropagationTable(t *testing.T) {
	if *bench == 0 {
		t.Skip("for make bench-net")
	}
	anywhere, without := propagation, propagation
	anywhere.name, anywhere.miners = "compact blocks, found anywhere", anywhere.nodes
	without.name, without.lost = "full blocks", func(command string) bool { return command == "sendcmpct" }
	var list []summary
	for _, s := range []spread{propagation, anywhere, without} {
		list = append(list, s.measure(t, *bench))
	}
	t.Log(table(list...))
	for _, s := range list[:2] {
		if s.most > maxTime || s.bytes > maxBytes {
			t.Errorf("%s: 99 %% of the nodes have a block after %v, for %d bytes each", s.name, s.most, s.bytes)
		}
	}
}
