package linearize

// Best is the diagram of the best order of a graph of few transactions, for tests. It
// tries every set that may come next: it takes the best paying one, and the largest of
// equals, until none is left.
func Best(g *Graph) (chunks []FeeWeight) {
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

// Same reports whether two diagrams are the same line.
func Same(a, b []FeeWeight) bool {
	total := func(chunks []FeeWeight) (sum FeeWeight) {
		for _, c := range chunks {
			sum = sum.Plus(c)
		}
		return sum
	}
	return total(a) == total(b) && !Improves(a, b) && !Improves(b, a)
}
