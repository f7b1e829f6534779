// Package linearize finds the best order of transactions that spend each other, and
// cuts it into the runs that go into a block as a whole. It is pure: it knows of each
// transaction its fee, its weight and what it spends from.
//
// Read it in this order: linearize.go (the search), diagram.go (which of two orders is
// better), best.go (the best of all, slowly, for tests).
package linearize

import (
	"cmp"
	"math/bits"

	"lode/consensus"
)

// MaxCount is the most transactions that are linearized together: they
// are sets of bits.
const MaxCount = 64

// Cost bounds the search for a better order, in dependencies looked at:
// about a millisecond. Clusters that have no pattern made against the search
// need a hundredth of it.
const Cost = 200_000

// FeeWeight is a fee in sat, prioritised or not, for a weight in weight units:
// of a transaction, or of several.
type FeeWeight struct {
	Fee    consensus.Amount
	Weight int
}

func (a FeeWeight) Plus(b FeeWeight) FeeWeight  { return FeeWeight{a.Fee + b.Fee, a.Weight + b.Weight} }
func (a FeeWeight) Minus(b FeeWeight) FeeWeight { return FeeWeight{a.Fee - b.Fee, a.Weight - b.Weight} }

// Compare compares fee rates exactly. Weights must not be negative.
func (a FeeWeight) Compare(b FeeWeight) int {
	return CompareRates(a.Fee, a.Weight, b.Fee, b.Weight)
}

// CompareRates compares fees per size exactly. The products need more than 64
// bits. Sizes are not negative; fees may be, once they are prioritised.
func CompareRates(feeA consensus.Amount, sizeA int, feeB consensus.Amount, sizeB int) int {
	highA, lowA := product(feeA, sizeB)
	highB, lowB := product(feeB, sizeA)
	return cmp.Or(cmp.Compare(highA, highB), cmp.Compare(lowA, lowB))
}

// product is fee times size, in two's complement.
func product(fee consensus.Amount, size int) (high int64, low uint64) {
	h, low := bits.Mul64(uint64(fee), uint64(size))
	high = int64(h)
	if fee < 0 {
		high -= int64(size)
	}
	return high, low
}

// Graph is a cluster to be linearized: at most MaxCount transactions, by index.
type Graph struct {
	Of       []FeeWeight
	parents  []uint64 // of each the set of those that it spends from
	children []uint64
}

func New(n int) *Graph {
	sets := make([]uint64, 2*n)
	return &Graph{Of: make([]FeeWeight, n), parents: sets[:n], children: sets[n:]}
}

func (g *Graph) Depend(child, parent int) {
	g.parents[child] |= 1 << parent
	g.children[parent] |= 1 << child
}

// Linearize gives an order of g, parents before children, and cuts it into
// chunks of falling fee rate: each is the best paying of all sets that may come
// next. order is any order of g with parents before children; the new one is at
// least as good. It is optimal unless the search takes more than cost.
//
// The search keeps a set of dependencies active, a forest whose trees are the
// chunks. A dependency whose upper side pays better than its lower side is cut;
// a chunk that pays no less than one that it depends on is joined with it. When
// nothing is left to do, no chunk has a part that pays better and could come
// first, so the order is optimal (the spanning-forest linearization of Bitcoin
// Core; it is the simplex method on the problem of maximum ratio closure).
func (g *Graph) Linearize(order []int, cost int) (better []int, chunks []FeeWeight) {
	if len(order) == 1 {
		return order, g.Of
	}
	f := forest{Graph: g, tree: make([]uint64, len(g.Of)), sum: make([]FeeWeight, len(g.Of)), up: make([]uint64, len(g.Of)), down: make([]uint64, len(g.Of)), cost: cost, random: 1}
	for _, i := range order {
		f.tree[i], f.sum[i] = 1<<i, g.Of[i]
		f.joinUp(i)
	}
	f.optimize()
	f.split()
	return f.emit(order)
}

// forest is the state of the search.
type forest struct {
	*Graph
	tree     []uint64    // by transaction: the chunk that it is in
	sum      []FeeWeight // by transaction: of that chunk
	up, down []uint64    // by transaction: its parents and children by active dependencies
	cost     int
	random   uint64
}

func lowest(set uint64) int { return bits.TrailingZeros64(set) }

// setTree makes set, which adds up to sum, one chunk.
func (f *forest) setTree(set uint64, sum FeeWeight) {
	for rest := set; rest != 0; rest &= rest - 1 {
		i := lowest(rest)
		f.tree[i], f.sum[i] = set, sum
	}
}

// neighbours are all that members of set depend on, or that depend on them.
func neighbours(of []uint64, set uint64) (all uint64) {
	for rest := set; rest != 0; rest &= rest - 1 {
		all |= of[lowest(rest)]
	}
	return all &^ set
}

// join activates one dependency of the lower on the upper chunk.
func (f *forest) join(lower, upper int) {
	low, high := f.tree[lower], f.tree[upper]
	for rest := low; rest != 0; rest &= rest - 1 {
		i := lowest(rest)
		if from := f.parents[i] & high; from != 0 {
			// Which one does not matter for the order; always the same one
			// could let the search go in a circle.
			for skip := f.next() % uint64(bits.OnesCount64(from)); skip > 0; skip-- {
				from &= from - 1
			}
			f.up[i] |= from & -from
			f.down[lowest(from)] |= 1 << i
			break
		}
	}
	f.setTree(low|high, f.sum[lower].Plus(f.sum[upper]))
}

func (f *forest) next() uint64 { // xorshift64
	f.random ^= f.random << 13
	f.random ^= f.random >> 7
	f.random ^= f.random << 17
	return f.random
}

// joinUp joins the chunk of i with those that it depends on and that do not pay
// more, the worst first.
func (f *forest) joinUp(i int) {
	for {
		worst := -1
		for rest := neighbours(f.parents, f.tree[i]); rest != 0; rest &^= f.tree[lowest(rest)] {
			if k := lowest(rest); f.sum[k].Compare(f.sum[i]) <= 0 && (worst < 0 || f.sum[k].Compare(f.sum[worst]) < 0) {
				worst = k
			}
		}
		if worst < 0 {
			return
		}
		f.join(i, worst)
	}
}

// joinDown joins the chunk of i with those that depend on it and do not pay
// less, the best first.
func (f *forest) joinDown(i int) {
	for {
		best := -1
		for rest := neighbours(f.children, f.tree[i]); rest != 0; rest &^= f.tree[lowest(rest)] {
			if k := lowest(rest); f.sum[k].Compare(f.sum[i]) >= 0 && (best < 0 || f.sum[k].Compare(f.sum[best]) > 0) {
				best = k
			}
		}
		if best < 0 {
			return
		}
		f.join(best, i)
	}
}

// optimize cuts and joins until nothing gets better, or until the cost is spent.
func (f *forest) optimize() {
	for dirty := f.all(); dirty != 0 && f.cost > 0; {
		i := lowest(dirty)
		dirty &^= f.tree[i]
		top, bottom, ok := f.cut(i)
		if !ok {
			continue
		}
		f.joinUp(top)
		if f.tree[top] != f.tree[bottom] {
			f.joinDown(bottom)
		}
		dirty |= f.tree[top] | f.tree[bottom]
	}
}

// all is the set of all transactions.
func (f *forest) all() uint64 { return 1<<len(f.Of) - 1 }

// edge is an active dependency, and what lies above it in its chunk.
type edge struct {
	parent, child int
	top           uint64
	sum           FeeWeight
}

// cut deactivates the dependency in the chunk of i whose upper side pays best
// compared with the lower side, if it pays better at all.
func (f *forest) cut(i int) (top, bottom int, ok bool) {
	var best edge
	most := 0.0
	f.edges(i, func(e edge) {
		if e.sum.Compare(f.sum[i]) <= 0 {
			return
		}
		gain := float64(e.sum.Fee)*float64(f.sum[i].Weight) - float64(f.sum[i].Fee)*float64(e.sum.Weight)
		gain *= float64(1<<10 + f.next()%(1<<10)) // for the same reason as in join
		if !ok || gain > most {
			best, most, ok = e, gain, true
		}
	})
	if ok {
		f.deactivate(best)
	}
	return best.parent, best.child, ok
}

func (f *forest) deactivate(e edge) {
	f.up[e.child] &^= 1 << e.parent
	f.down[e.parent] &^= 1 << e.child
	whole, sum := f.tree[e.parent], f.sum[e.parent]
	f.setTree(e.top, e.sum)
	f.setTree(whole&^e.top, sum.Minus(e.sum))
}

// edges calls visit for every active dependency of the chunk of i.
func (f *forest) edges(i int, visit func(edge)) {
	var walk func(at, from int) (uint64, FeeWeight)
	walk = func(at, from int) (set uint64, sum FeeWeight) {
		set, sum = 1<<at, f.Of[at]
		for rest := (f.up[at] | f.down[at]) &^ (1 << from); rest != 0; rest &= rest - 1 {
			f.cost--
			k := lowest(rest)
			below, belowSum := walk(k, at)
			if f.up[at]&(1<<k) != 0 {
				visit(edge{k, at, below, belowSum})
			} else {
				visit(edge{at, k, f.tree[i] &^ below, f.sum[i].Minus(belowSum)})
			}
			set, sum = set|below, sum.Plus(belowSum)
		}
		return set, sum
	}
	walk(i, 64) // 1 << 64 is 0: it comes from nowhere
}

// split cuts chunks into parts that pay the same where it can: small ones fit
// into more blocks.
func (f *forest) split() {
	for dirty := f.all(); dirty != 0; {
		i := lowest(dirty)
		var found edge
		f.edges(i, func(e edge) {
			if found.top == 0 && e.sum.Compare(f.sum[i]) == 0 && neighbours(f.parents, e.top)&f.tree[i] == 0 {
				found = e
			}
		})
		if found.top == 0 {
			dirty &^= f.tree[i]
			continue
		}
		f.deactivate(found)
	}
}

// emit lists the chunks, the best paying first, and their members, parents
// before children.
func (f *forest) emit(hint []int) (order []int, chunks []FeeWeight) {
	order, chunks = make([]int, 0, len(hint)), make([]FeeWeight, 0, len(hint))
	for left := f.all(); left != 0; {
		best := -1
		for _, i := range hint {
			if left&(1<<i) == 0 || best >= 0 && f.tree[i] == f.tree[best] || neighbours(f.parents, f.tree[i])&left != 0 {
				continue
			}
			if best < 0 || better(f.sum[i], f.sum[best]) {
				best = i
			}
		}
		chunks = append(chunks, f.sum[best])
		left &^= f.tree[best]
		for inside := f.tree[best]; inside != 0; {
			next := -1
			for _, i := range hint {
				if inside&(1<<i) != 0 && f.parents[i]&inside == 0 && (next < 0 || f.Of[i].Compare(f.Of[next]) > 0) {
					next = i
				}
			}
			inside &^= 1 << next
			order = append(order, next)
		}
	}
	return order, chunks
}

// better prefers the higher fee rate and then the smaller.
func better(a, b FeeWeight) bool {
	if c := a.Compare(b); c != 0 {
		return c > 0
	}
	return a.Weight < b.Weight
}
