package linearize

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
	g := New(n)
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

// TestLinearizeSmall compares the diagram of graphs of up to 12 transactions
// with the best that there is.
func TestLinearizeSmall(t *testing.T) {
	checks(t, 2000)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, 12-rapid.IntRange(0, 11).Draw(t, "fewer")) // small draws are common
		order, chunks := g.Linearize(drawOrder(t, g), Cost)
		checkLinear(t, g, order, chunks)
		if best := Best(g); !Same(best, chunks) {
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
	checks(t, 50)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, rapid.IntRange(13, 64).Draw(t, "n"))
		start := drawOrder(t, g)
		before := chunksOf(g, start)
		for _, cost := range []int{0, rapid.IntRange(0, 500).Draw(t, "cost"), Cost} {
			order, chunks := g.Linearize(start, cost)
			checkLinear(t, g, order, chunks)
			if !Same(chunks, before) && !Improves(chunks, before) {
				t.Fatalf("cost %d: %v is worse than %v", cost, chunks, before)
			}
			start, before = order, chunks
		}
		if _, chunks := g.Linearize(drawOrder(t, g), Cost); !Same(chunks, before) {
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

// checks has rapid run a number of checks, unless somebody has asked for another.
func checks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	was := f.Value.String()
	if was != f.DefValue {
		return
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
