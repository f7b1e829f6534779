package mempool

import (
	"flag"
	"math/bits"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
)

// drawGraph is a graph of n transactions whose fees make equal rates common.
func drawGraph(t *rapid.T, n int) *Graph {
	g := NewGraph(n)
	density := rapid.IntRange(1, 6).Draw(t, "density")
	for i := range n {
		g.Of[i] = FeeWeight{consensus.Amount(rapid.IntRange(-3, 30).Draw(t, "fee")), rapid.IntRange(1, 12).Draw(t, "weight")}
		for k := range i {
			if rapid.IntRange(0, density).Draw(t, "depends") == 0 {
				g.Depend(i, k)
			}
		}
	}
	return g
}

// bestOf is the diagram of the best order, by trying every set that may come
// next: the best paying one, and the largest of equals, until none is left.
func bestOf(g *Graph) (chunks []FeeWeight) {
	n := len(g.Of)
	sums := make([]FeeWeight, 1<<n)
	closed := make([]bool, 1<<n)
	for set := 1; set < 1<<n; set++ {
		i := lowest(uint64(set))
		sums[set] = sums[set&(set-1)].Plus(g.Of[i])
		closed[set] = true
		for rest := uint64(set); rest != 0; rest &= rest - 1 {
			closed[set] = closed[set] && g.parents[lowest(rest)]&^uint64(set) == 0
		}
	}
	for done := 0; done != 1<<n-1; {
		best := 0
		for set := 1; set < 1<<n; set++ {
			if set&done != done || set == done || !closed[set] {
				continue
			}
			a, b := sums[set].Minus(sums[done]), sums[best].Minus(sums[done])
			if best == 0 || a.Compare(b) > 0 || a.Compare(b) == 0 && a.Weight > b.Weight {
				best = set
			}
		}
		chunks = append(chunks, sums[best].Minus(sums[done]))
		done = best
	}
	return chunks
}

// checkLinear makes sure that order and chunks are of g.
func checkLinear(t *rapid.T, g *Graph, order []int, chunks []FeeWeight) {
	var done uint64
	at := 0
	for i, c := range chunks {
		if i > 0 && chunks[i-1].Compare(c) < 0 {
			t.Fatalf("chunk %d pays more than the one before", i)
		}
		var sum FeeWeight
		for sum.Weight < c.Weight {
			if g.parents[order[at]]&^done != 0 {
				t.Fatalf("%d comes before what it spends", order[at])
			}
			done |= 1 << order[at]
			sum = sum.Plus(g.Of[order[at]])
			at++
		}
		if sum != c {
			t.Fatalf("chunk %d is %v, not %v", i, sum, c)
		}
	}
	if bits.OnesCount64(done) != len(g.Of) || at != len(order) {
		t.Fatalf("%d of %d transactions", at, len(g.Of))
	}
}

// same reports whether two diagrams are the same line.
func same(a, b []FeeWeight) bool {
	total := func(chunks []FeeWeight) (sum FeeWeight) {
		for _, c := range chunks {
			sum = sum.Plus(c)
		}
		return sum
	}
	return total(a) == total(b) && !Improves(a, b) && !Improves(b, a)
}

// TestLinearizeSmall compares the diagram of graphs of up to 12 transactions
// with the best that there is.
func TestLinearizeSmall(t *testing.T) {
	manyChecks(t, 2000)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, 12-rapid.IntRange(0, 11).Draw(t, "fewer")) // small draws are common
		order, chunks := g.Linearize(drawOrder(t, g), Cost)
		checkLinear(t, g, order, chunks)
		if best := bestOf(g); !same(best, chunks) {
			t.Fatalf("%v, best is %v", chunks, best)
		}
	})
}

// drawOrder is any order with parents before children.
func drawOrder(t *rapid.T, g *Graph) (order []int) {
	for left := uint64(1)<<len(g.Of) - 1; left != 0; {
		var ready []int
		for rest := left; rest != 0; rest &= rest - 1 {
			if i := lowest(rest); g.parents[i]&left == 0 {
				ready = append(ready, i)
			}
		}
		i := rapid.SampledFrom(ready).Draw(t, "next")
		order, left = append(order, i), left&^(1<<i)
	}
	return order
}

// TestLinearizeLarge linearizes up to 64 transactions, from the start and in
// part: the order is never worse than the one before, and the whole search is
// not better than the search once more.
func TestLinearizeLarge(t *testing.T) {
	manyChecks(t, 50)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, rapid.IntRange(13, 64).Draw(t, "n"))
		start := drawOrder(t, g)
		before := chunksOf(g, start)
		for _, cost := range []int{0, rapid.IntRange(0, 500).Draw(t, "cost"), Cost} {
			order, chunks := g.Linearize(start, cost)
			checkLinear(t, g, order, chunks)
			if !same(chunks, before) && !Improves(chunks, before) {
				t.Fatalf("cost %d: %v is worse than %v", cost, chunks, before)
			}
			start, before = order, chunks
		}
		if _, chunks := g.Linearize(drawOrder(t, g), Cost); !same(chunks, before) {
			t.Fatalf("%v from one start, %v from another", chunks, before)
		}
	})
}

// chunksOf cuts an order into chunks: what pays better is joined with what
// comes before it.
func chunksOf(g *Graph, order []int) (chunks []FeeWeight) {
	for _, i := range order {
		chunks = append(chunks, g.Of[i])
		for n := len(chunks); n > 1 && chunks[n-1].Compare(chunks[n-2]) > 0; n-- {
			chunks[n-2] = chunks[n-2].Plus(chunks[n-1])
			chunks = chunks[:n-1]
		}
	}
	return chunks
}

// manyChecks has rapid run more checks than TestMain says: they are cheap.
func manyChecks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if was != fewChecks {
		return // somebody has asked for a number
	}
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(was); err != nil {
			t.Error(err)
		}
	})
}

// ManyChecks is manyChecks for the tests outside.
var ManyChecks = manyChecks

// fewChecks is what TestMain has rapid do.
const fewChecks = "25"

// FewChecks is fewChecks for the tests outside.
const FewChecks = fewChecks
