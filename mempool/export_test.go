package mempool

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"lode/consensus"
	"lode/mempool/fees"
	"lode/mempool/linearize"
)

// Verify recounts everything that the pool keeps about its transactions.
func (p *Pool) Verify() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.graph.All() {
		if n.Modified != modified(n.Fee, p.deltas[n.TxID]) {
			return fmt.Errorf("%s has a wrong priority", n.TxID)
		}
	}
	return p.graph.Verify()
}

// Diagrams gives the chunks of every cluster of up to most transactions, and
// those of the best order that there is.
func (p *Pool) Diagrams(most int) (have, best [][]linearize.FeeWeight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range maps.Keys(clustersOf(p)) {
		if len(c.Txs) > most {
			continue
		}
		have = append(have, Diagram([]*Cluster{c}))
		best = append(best, linearize.Best(graphOf(c)))
	}
	return have, best
}

func clustersOf(p *Pool) map[*Cluster]struct{} {
	all := make(map[*Cluster]struct{})
	for n := range p.graph.All() {
		all[n.Cluster] = struct{}{}
	}
	return all
}

func graphOf(c *Cluster) *linearize.Graph {
	g := linearize.New(len(c.Txs))
	for i, n := range c.Txs {
		g.Of[i] = linearize.FeeWeight{Fee: n.Modified, Weight: n.Weight}
		for _, parent := range n.Parents {
			g.Depend(i, parent.At)
		}
	}
	return g
}

// Synthetic is a pool of n transactions without signatures that spend each other
// as they like, within the limits of clusters, and whose weights and fees are
// like those of a busy network. It stands on no ledger.
func Synthetic(random *rand.Rand, n int) (*Pool, []Info) {
	p := New(Config{Policy: DefaultPolicy()})
	var made []*Node
	for len(made) < n {
		p.addSynthetic(random, &made)
	}
	return p, p.All()
}

// addSynthetic adds one transaction that spends some of made, unless that makes
// too large a cluster.
func (p *Pool) addSynthetic(random *rand.Rand, made *[]*Node) {
	var id consensus.Hash
	binary.LittleEndian.PutUint64(id[:], random.Uint64())
	tx := &consensus.Tx{In: []consensus.TxIn{{PrevOut: consensus.OutPoint{TxID: id}}}, Out: make([]consensus.TxOut, 1)}
	weight := 400 + random.IntN(600)
	if random.IntN(20) == 0 {
		weight *= 1 + random.IntN(60)
	}
	rate := math.Exp(random.NormFloat64()*1.5 + 1) // sat for a virtual byte
	n := &Node{Usage: Memory(tx), Entry: Entry{
		Tx: tx, TxID: id, WTxID: id, Weight: weight, Size: (weight + 3) / 4, Fee: 1 + consensus.Amount(rate*float64(weight)/4), Time: time.Now(),
	}}
	n.Modified = n.Fee
	for range random.IntN(4) {
		if len(*made) == 0 || random.IntN(2) == 0 {
			break
		}
		// Mostly recent ones: that is how chains and large families come to be.
		back := min(random.IntN(len(*made)), random.IntN(30))
		if parent := (*made)[len(*made)-1-back]; parent.Cluster != nil && !slices.Contains(n.Parents, parent) {
			n.Parents = append(n.Parents, parent)
		}
	}
	n.Seq = p.graph.Next()
	c, err := p.stage(nil, []*Node{n})
	if err != nil {
		return
	}
	p.commit(c)
	*made = append(*made, n)
}

// Thin removes some transactions: what depends on one, as a conflict does, or
// what one needs, as a block does.
func (p *Pool) Thin(random *rand.Rand) {
	list := p.graph.InOrder()
	for range len(list) / 10 {
		n := list[random.IntN(len(list))]
		switch {
		case n.Cluster == nil: // it is gone
		case random.IntN(2) == 0:
			p.removeAll(n.Relatives((*Node).Down))
		default:
			p.removeAll(n.Relatives((*Node).Up))
		}
	}
}

// Fill is a selection.
func (p *Pool) Fill(weight int) (s Selection) {
	p.fill(&s, weight, math.MaxInt)
	return s
}

// BestDiagrams reports whether the order of each of the n clusters of up to most
// transactions is the best.
func (p *Pool) BestDiagrams(most int) (n int, ok bool) {
	have, best := p.Diagrams(most)
	for i := range have {
		if !linearize.Same(have[i], best[i]) {
			return len(have), false
		}
	}
	return len(have), true
}

// ReadSaved reads a file with a right checksum.
func ReadSaved(body []byte) {
	if s, err := readSaved(Checked(body)); err == nil && s.count != len(s.list) {
		panic("miscounted")
	}
}

// Checked is a body with its checksum behind it.
func Checked(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(slices.Clip(body), sum[:]...)
}

// FreshEstimates is the body of a file of fee estimates that know nothing.
func FreshEstimates() []byte {
	return estimatesBody(fees.New(7))
}

// RewriteEstimates reads a body and writes it again.
func RewriteEstimates(body []byte) (again []byte, ok bool) {
	e, err := readEstimates(body)
	if err != nil {
		return nil, false
	}
	return estimatesBody(e), true
}

// Full is a synthetic pool that stays at the limit of its memory.
type Full struct {
	*Pool
	made []*Node
}

// SyntheticFull is a full pool, and what is in it: cfg says what it stands on.
func SyntheticFull(random *rand.Rand, cfg Config) (*Full, []Info) {
	f := &Full{Pool: New(cfg)}
	for f.graph.Totals().Memory < f.cfg.Policy.MaxMemory {
		f.addSynthetic(random, &f.made)
	}
	f.trim()
	return f, f.All()
}

// AddSynthetic adds a transaction and evicts what is too much.
func (f *Full) AddSynthetic(random *rand.Rand) {
	f.addSynthetic(random, &f.made)
	f.trim()
}

// ReplaceSynthetic replaces a transaction of the pool and what depends on it by
// one that pays more.
func (f *Full) ReplaceSynthetic(random *rand.Rand) {
	old := f.made[random.IntN(len(f.made))]
	if old.Cluster == nil {
		return
	}
	c := &candidate{Node: &Node{Entry: old.Entry, Usage: old.Usage, Parents: slices.Clone(old.Parents)}}
	c.Seq = f.graph.Next()
	binary.LittleEndian.PutUint64(c.TxID[8:], c.Seq)
	c.WTxID = c.TxID
	for _, n := range old.Relatives((*Node).Down) {
		c.Fee += n.Fee
	}
	c.Fee += 1 + consensus.Amount(c.Size)
	c.Modified = c.Fee
	if err := f.replace(c, []*Node{old}, false); err != nil {
		return // it pays more, but not better
	}
	f.commit(c.change)
	f.trim()
	f.made = append(f.made, c.Node)
}
