package chain

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// world is blocks that all descend from genesis, parents before children.
type world struct {
	pieces []*piece
	byHash map[consensus.Hash]*piece

	mu   sync.Mutex // guards sets
	sets map[consensus.Hash]consensus.Hash
}

// piece is one block of a world.
type piece struct {
	block  *consensus.Block
	hash   consensus.Hash
	state  consensus.State // after it
	parent *piece          // nil for genesis
	valid  bool            // it and all its ancestors keep every rule
}

// path is the pieces from genesis, which is left out, to p.
func (p *piece) path() []*piece {
	if p == nil {
		return nil
	}
	return append(p.parent.path(), p)
}

// descends reports whether p is a or built on it.
func (p *piece) descends(a *piece) bool {
	for ; p != nil; p = p.parent {
		if p == a {
			return true
		}
	}
	return false
}

// newWorld grows branches off each other, the later ones better, and blocks that
// break a rule which only shows when they are connected, with children.
func newWorld(seed uint64) *world {
	w := &world{byHash: make(map[consensus.Hash]*piece), sets: make(map[consensus.Hash]consensus.Hash)}
	random := rand.New(rand.NewPCG(seed, 2))
	rules := &testSpec.Rules
	add := func(b *consensus.Block, valid bool) *piece {
		parent, before := w.byHash[b.Prev], rules.GenesisState()
		if parent != nil {
			before, valid = parent.state, valid && parent.valid
		}
		p := &piece{b, b.Header.Hash(), rules.NextState(before, &b.Header), parent, valid}
		w.pieces, w.byHash[p.hash] = append(w.pieces, p), p
		return p
	}
	g := chaingen.New(rules, chaingen.Params{Seed: seed, Txs: 3, Inputs: 2, Outputs: 3, Fee: 1000})
	for fork := range uint64(5) {
		for range 3 + random.IntN(6) {
			add(g.Extend(1)[0], true)
			if b, ok := g.Flawed(chaingen.Flaw(random.IntN(int(chaingen.FlawMerkle)))); ok && random.IntN(5) == 0 {
				bad := add(b, false)
				for range random.IntN(3) {
					bad = add(g.Empty(bad.state), false)
				}
			}
		}
		g = g.Fork(g.Tip().Height-uint32(random.IntN(5)), fork)
	}
	return w
}

// set is the hash of the coins after a block, by an undisturbed replay.
func (w *world) set(t *testing.T, hash consensus.Hash) consensus.Hash {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.sets[hash]; !ok {
		c, err := Open(context.Background(), Config{Dir: "/replay", Spec: testSpec, Sigs: sigcheck.New(0), disk: newFaultDisk(0)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range w.byHash[hash].path() {
			if err := c.AddBlock(p.block); err != nil {
				t.Fatal(err)
			}
		}
		s, err := c.UTXOStats(context.Background())
		if err != nil || s.Tip != hash {
			t.Fatal(err, s)
		}
		w.sets[hash] = s.Hash
		c.Close()
	}
	return w.sets[hash]
}

// mustFind is the node of a block that is known.
func mustFind(c *Chain, hash consensus.Hash) *node {
	n, ok := c.tree.Find(hash)
	if !ok {
		panic("block " + hash.String() + " is not known")
	}
	return n
}
