package mempool_test

import (
	"cmp"
	"container/heap"
	"flag"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/mempool"
)

var templateCases = flag.Int("template.cases", 6, "pools of which templates are compared with ancestor score")

// TestTemplateFees compares the fees of templates with those that selection by
// ancestor score, which came before clusters, makes of the same pools of 5,000.
func TestTemplateFees(t *testing.T) {
	mempool.ManyChecks(t, *templateCases)
	rapid.Check(t, func(t *rapid.T) { templateFees(t, rapid.Uint64().Draw(t, "seed")) })
}

// TestTemplateFeesBoundary has a pool of which a large chunk misses a block of a
// tenth by a little: by fee rate alone that came to 99.89 %.
func TestTemplateFeesBoundary(t *testing.T) { templateFees(t, 0x133a1744) }

// TestTemplateFeesAverage has the same pools at every run: the average is so close
// to 1 that of a few pools it may be less.
func TestTemplateFeesAverage(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	var sum, count float64
	worst := math.MaxFloat64
	for seed := range max(uint64(*templateCases), 30) {
		for _, ratio := range templateFees(t, seed) {
			sum, count, worst = sum+ratio, count+1, min(worst, ratio)
		}
	}
	t.Logf("%.5f of the fees of ancestor score on average over %.0f templates, %.5f at worst", sum/count, count, worst)
	if sum < count {
		t.Error("templates pay less than by ancestor score on average")
	}
}

// templateFees gives, for some weights, the fees of the template of a random pool
// by those of ancestor score. Each must be at least 99.9 %.
func templateFees(t failer, seed uint64) (ratios []float64) {
	pool, infos := mempool.Synthetic(rand.New(rand.NewPCG(seed, 6)), 5000)
	total := 0
	for i := range infos {
		total += infos[i].Weight
	}
	for _, part := range []int{2, 10, 40, 95} {
		weight := total / 100 * part
		s := pool.Fill(weight)
		checkOrder(t, infos, s, weight)
		reference := byAncestorScore(infos, weight)
		ratio := float64(s.Fees) / float64(reference)
		if ratio < 0.999 {
			t.Fatalf("a block of %d %%: fees %d, by ancestor score %d", part, s.Fees, reference)
		}
		ratios = append(ratios, ratio)
	}
	return ratios
}

// checkOrder makes sure that a selection has parents before children, nothing
// twice, and no more weight than it may.
func checkOrder(t failer, infos []mempool.Info, s mempool.Selection, weight int) {
	depends := make(map[consensus.Hash][]consensus.Hash, len(infos))
	for i := range infos {
		depends[infos[i].TxID] = infos[i].Depends
	}
	taken := make(map[consensus.Hash]bool, len(s.Txs))
	var fees consensus.Amount
	for _, e := range s.Txs {
		for _, parent := range depends[e.TxID] {
			if !taken[parent] {
				t.Fatalf("%s comes before %s, which it spends", e.TxID, parent)
			}
		}
		if taken[e.TxID] {
			t.Fatalf("%s is there twice", e.TxID)
		}
		taken[e.TxID] = true
		weight, fees = weight-e.Weight, fees+e.Fee
	}
	if weight < 0 || fees != s.Fees {
		t.Fatalf("%d weight is left, fees %d, said to be %d", weight, fees, s.Fees)
	}
}

// TestDiagrams compares the clusters of a pool, whose history made them, with the
// best by exhaustive search.
func TestDiagrams(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 7))
		pool, _ := mempool.Synthetic(random, 300)
		pool.Thin(random)
		if err := pool.Verify(); err != nil {
			t.Fatal(err)
		}
		if n, ok := pool.BestDiagrams(12); !ok {
			t.Fatalf("one of %d clusters is not in the best order", n)
		} else if n < 10 {
			t.Fatalf("only %d clusters", n)
		}
	})
}

// byAncestorScore is the fees of a block that takes, again and again, the
// transaction that pays best together with the ancestors that it still needs
// (Bitcoin Core until 30).
func byAncestorScore(infos []mempool.Info, weight int) (fees consensus.Amount) {
	byID := make(map[consensus.Hash]*scored, len(infos))
	var best scores
	for i := range infos { // parents come before children
		s := &scored{Info: &infos[i], fees: infos[i].Fee, weight: infos[i].Weight, ancestors: make(map[*scored]bool), index: i}
		for _, id := range infos[i].Depends {
			parent := byID[id]
			s.ancestors[parent] = true
			for a := range parent.ancestors {
				s.ancestors[a] = true
			}
		}
		for a := range s.ancestors {
			s.fees, s.weight = s.fees+a.Fee, s.weight+a.Weight
			a.descendants = append(a.descendants, s)
		}
		byID[s.TxID], best = s, append(best, s)
	}
	heap.Init(&best)
	for misses := 0; len(best) > 0 && misses < 1000; {
		s := heap.Pop(&best).(*scored)
		if s.weight > weight {
			misses++
			continue
		}
		misses, weight, fees = 0, weight-s.weight, fees+s.fees
		s.ancestors[s] = true
		for a := range s.ancestors {
			if a.index >= 0 {
				heap.Remove(&best, a.index)
			}
			for _, d := range a.descendants {
				if d.ancestors[a] && d != s {
					delete(d.ancestors, a)
					d.fees, d.weight = d.fees-a.Fee, d.weight-a.Weight
					if d.index >= 0 {
						heap.Fix(&best, d.index)
					} else if !s.ancestors[d] {
						heap.Push(&best, d) // it did not fit before
					}
				}
			}
		}
	}
	return fees
}

type scored struct {
	*mempool.Info
	fees        consensus.Amount // with the ancestors that are not taken
	weight      int
	ancestors   map[*scored]bool // that are not taken
	descendants []*scored
	index       int // in the heap, or -1
}

type scores []*scored

func (h scores) Len() int { return len(h) }

func (h scores) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(b.fees*consensus.Amount(a.weight), a.fees*consensus.Amount(b.weight)), cmp.Compare(a.Fee, b.Fee)) < 0
}

func (h scores) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *scores) Push(x any) {
	s := x.(*scored)
	s.index = len(*h)
	*h = append(*h, s)
}

func (h *scores) Pop() any {
	old := *h
	last := old[len(old)-1]
	last.index = -1
	*h = old[:len(old)-1]
	return last
}
