package wallet

import "lode/consensus"

// Point is a place in a chain.
type Point struct {
	Height uint32         `json:"height"`
	Hash   consensus.Hash `json:"hash"`
}

// points are the places up to which a wallet has scanned, rising, the last one
// being the tip: all recent ones, and fewer of the older ones.
type points []Point

func (p points) tip() Point { return p[len(p)-1] }

// How many of the last points are all kept, and how densely those before are:
// so that the fork of a reorg is found at about a sixteenth of its depth.
const (
	recentPoints = 100
	pointDensity = 16
)

// add makes a point the tip and forgets points that are no longer needed. A
// point at depth d stays if its height is a multiple of the largest power of
// two up to d/16: what stays at one depth has stayed at all lesser ones.
func (p *points) add(tip Point) {
	*p = append(*p, tip)
	if len(*p)%recentPoints != 0 {
		return // in batches: it need not be exact
	}
	kept := (*p)[:1] // the start
	for _, q := range (*p)[1:] {
		depth, spacing := tip.Height-q.Height, uint32(1)
		for spacing*2 <= depth/pointDensity {
			spacing *= 2
		}
		if depth < recentPoints || q.Height%spacing == 0 {
			kept = append(kept, q)
		}
	}
	*p = kept
}

// cut makes a point the tip that stands at or below the one that is.
func (p *points) cut(to Point) {
	for len(*p) > 0 && p.tip().Height >= to.Height {
		*p = (*p)[:len(*p)-1]
	}
	*p = append(*p, to)
}
