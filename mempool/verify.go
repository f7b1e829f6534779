package mempool

import (
	"errors"
	"fmt"
	"slices"

	"lode/mempool/linearize"
)

// Verify recounts everything that a graph keeps about its transactions. That takes
// long: it is for tests, and for builds with the tag check.
func (g *Graph) Verify() error {
	var totals Totals
	clusters := make(map[*Cluster]int) // and how many of their transactions were met
	for n := range g.All() {
		totals.Memory += Memory(n.Tx)
		totals.VBytes += n.Size
		totals.Fees += n.Fee
		clusters[n.Cluster]++
		if n.Cluster.Txs[n.At] != n || g.byWTxID[n.WTxID] != n {
			return fmt.Errorf("%s is not where it should be", n.TxID)
		}
		for _, parent := range n.Parents {
			if parent.Cluster != n.Cluster || parent.At >= n.At || parent.Seq >= n.Seq || !slices.Contains(parent.Children, n) {
				return fmt.Errorf("%s comes before %s, which it spends", n.TxID, parent.TxID)
			}
		}
	}
	if totals != g.totals || len(g.byWTxID) != len(g.byTxID) {
		return fmt.Errorf("%+v, want %+v; %d and %d transactions", g.totals, totals, len(g.byWTxID), len(g.byTxID))
	}
	for c, count := range clusters {
		if err := c.verify(g.limits, count); err != nil {
			return err
		}
	}
	return g.verifyOrder(clusters)
}

// verifyOrder makes sure that all chunks of the clusters are in order, and no others.
func (g *Graph) verifyOrder(clusters map[*Cluster]int) error {
	ordered := slices.Collect(g.Best)
	left := make(map[*Chunk]bool, len(ordered))
	for i, c := range ordered {
		if i > 0 && (!ordered[i-1].Before(c) || ordered[i-1].Compare(c.FeeWeight) < 0) {
			return fmt.Errorf("chunk %d is out of order", i)
		}
		left[c] = true
	}
	for c := range clusters {
		for i := range c.Chunks {
			if !left[&c.Chunks[i]] {
				return errors.New("a chunk is not in the order")
			}
			delete(left, &c.Chunks[i])
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%d chunks of clusters that are gone", len(left))
	}
	return nil
}

func (c *Cluster) verify(most Limits, count int) error {
	weight, at := 0, 0
	for i := range c.Chunks {
		var sum linearize.FeeWeight
		for _, n := range c.Chunks[i].Txs() {
			sum = sum.Plus(linearize.FeeWeight{Fee: n.Modified, Weight: n.Weight})
		}
		if sum != c.Chunks[i].FeeWeight || c.Chunks[i].Begin != at || i > 0 && c.Chunks[i-1].Compare(sum) < 0 {
			return fmt.Errorf("chunk %d does not add up, or pays more than the one before", i)
		}
		weight, at = weight+sum.Weight, c.Chunks[i].End
	}
	groups := connected(slices.Clone(c.Txs))
	if count != len(c.Txs) || at != count || count > most.Count || weight > most.Weight || len(groups) != 1 {
		return fmt.Errorf("a cluster of %d transactions in %d parts, of which %d are there, chunks of %d, and weight %d", len(c.Txs), len(groups), count, at, weight)
	}
	return nil
}
