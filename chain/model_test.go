package chain_test

import (
	"cmp"

	"pgregory.net/rapid"

	"lode/consensus"
	"lode/testnet/chaingen"
)

// piece is a block of a random tree.
type piece struct {
	block  *consensus.Block
	hash   consensus.Hash
	state  consensus.State // after it
	parent int             // in the tree, or -1 for genesis
	valid  bool            // it and all its ancestors keep every rule
}

// tree is random blocks that all descend from genesis, parents before children.
type tree []piece

func (t *tree) add(rules *consensus.Rules, block *consensus.Block, parent int, valid bool) int {
	before := rules.GenesisState()
	if parent >= 0 {
		before, valid = (*t)[parent].state, valid && (*t)[parent].valid
	}
	*t = append(*t, piece{block, block.Header.Hash(), rules.NextState(before, &block.Header), parent, valid})
	return len(*t) - 1
}

// drawTree grows branches at random places, and now and then a block that breaks
// a rule which only shows when it is connected, with children of its own.
func drawTree(t *rapid.T, rules *consensus.Rules) tree {
	type branch struct {
		*chaingen.Chain
		at []int // by height: the piece; -1 for genesis
	}
	var tr tree
	params := chaingen.Params{Seed: rapid.Uint64().Draw(t, "seed"), Txs: 2, Inputs: 1, Outputs: 2, Fee: 1000}
	branches := []*branch{{chaingen.New(rules, params), []int{-1}}}
	for step := range rapid.IntRange(3, 25).Draw(t, "steps") {
		b := branches[rapid.IntRange(0, len(branches)-1).Draw(t, "branch")]
		switch rapid.SampledFrom([]string{"grow", "grow", "fork", "flaw"}).Draw(t, "step") {
		case "grow":
			block := b.Extend(1)[0]
			b.at = append(b.at, tr.add(rules, block, b.at[len(b.at)-1], true))
		case "fork":
			height := max(0, len(b.at)-1-rapid.IntRange(0, 4).Draw(t, "depth"))
			f := &branch{b.Fork(uint32(height), uint64(step)), append([]int(nil), b.at[:height+1]...)}
			block := f.Extend(1)[0]
			f.at = append(f.at, tr.add(rules, block, f.at[height], true))
			branches = append(branches, f)
		case "flaw":
			flaw := rapid.SampledFrom([]chaingen.Flaw{
				chaingen.FlawAmount, chaingen.FlawHeight, chaingen.FlawSignature, chaingen.FlawMissing, chaingen.FlawTwice, chaingen.FlawInflation,
			}).Draw(t, "flaw")
			block, ok := b.Flawed(flaw)
			if !ok {
				continue
			}
			at := tr.add(rules, block, b.at[len(b.at)-1], false)
			for range rapid.IntRange(0, 3).Draw(t, "children") {
				at = tr.add(rules, b.Empty(tr[at].state), at, false)
			}
		}
	}
	return tr
}

// path is the pieces from genesis, which is left out, to one.
func (t tree) path(to int) (pieces []int) {
	if to < 0 {
		return nil
	}
	return append(t.path(t[to].parent), to)
}

// model is what a ledger that was given pieces of a tree must say.
type model struct {
	tree    tree
	headers map[int]bool // known; of valid pieces only
	stored  map[int]bool
	failed  map[int]bool // told to be invalid, or built on what was
	log     []int        // what was stored, in order
	seq     map[int]int  // of complete pieces: when they became so
	prefer  map[int]int  // the highest is preferred among equals
}

func newModel(t tree) *model {
	return &model{
		tree: t, headers: make(map[int]bool), stored: make(map[int]bool), failed: make(map[int]bool),
		seq: make(map[int]int), prefer: make(map[int]int),
	}
}

func (m *model) knows(i int) bool { return i < 0 || m.headers[i] }

// takes says whether the header of i would be taken, or is there.
func (m *model) takes(i int) bool {
	return !m.failed[i] && m.knows(m.tree[i].parent) && !m.failed[m.tree[i].parent]
}

// hear has the header of i, whose parent is known, be known too.
func (m *model) hear(i int) {
	if parent := m.tree[i].parent; !m.headers[i] && parent >= 0 && m.failed[parent] {
		m.failed[i] = true
	}
	m.headers[i] = true
}

// descends reports whether i is a or built on it.
func (m *model) descends(i, a int) bool {
	for i > a {
		i = m.tree[i].parent
	}
	return i == a
}

func (m *model) invalidate(a int) {
	for i, known := range m.headers {
		if known && m.descends(i, a) {
			m.failed[i] = true
		}
	}
}

func (m *model) reconsider(a int) {
	for i := range m.tree {
		if m.descends(i, a) || m.descends(a, i) {
			delete(m.failed, i)
		}
	}
}

func (m *model) store(i int) {
	m.headers[i], m.stored[i] = true, true
	m.log = append(m.log, i)
	m.complete(i)
}

func (m *model) isComplete(i int) bool { return i < 0 || m.seq[i] > 0 }

// complete gives i its number if its ancestors are there, and then what waited
// for it, in the order in which it came.
func (m *model) complete(i int) {
	if !m.isComplete(m.tree[i].parent) || m.isComplete(i) {
		return
	}
	for queue := []int{i}; len(queue) > 0; queue = queue[1:] {
		if m.isComplete(queue[0]) {
			continue // it was stored twice, as a reindex forgets what waits
		}
		m.seq[queue[0]] = len(m.seq) + 1
		for _, j := range m.log {
			if m.stored[j] && m.tree[j].parent == queue[0] && !m.isComplete(j) {
				queue = append(queue, j)
			}
		}
	}
}

// reindex forgets what is not in the block files, or waits there.
func (m *model) reindex() {
	log := m.log
	*m = *newModel(m.tree)
	for _, i := range log {
		m.log = append(m.log, i)
		m.stored[i] = true
		m.complete(i)
	}
	for i := range m.stored {
		m.headers[i] = m.isComplete(i)
		m.stored[i] = m.isComplete(i)
	}
}

// tip is the valid complete piece with the most work, the preferred or first
// among equals.
func (m *model) tip() (best int) {
	best = -1
	for i := range m.seq {
		if !m.tree[i].valid || m.failed[i] {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		if cmp.Or(m.tree[i].state.Work.Cmp(&m.tree[best].state.Work), cmp.Compare(m.prefer[i], m.prefer[best]), cmp.Compare(m.seq[best], m.seq[i])) > 0 {
			best = i
		}
	}
	return best
}
