package electrum

import (
	"sync"

	"lode/consensus"
	"lode/rpc/scripthash"
)

// A proof that a header is part of the chain is a branch of a merkle tree over the
// hashes of all headers up to a checkpoint. The roots of every chunk of treeChunk
// headers are kept, so that a proof hashes about two chunks, however long the chain.
const (
	treeDepth = 10
	treeChunk = 1 << treeDepth
)

// headerTree keeps the roots of the whole chunks of the active chain. A root belongs
// to the last hash of its chunk, which stands for all before it: after a
// reorganization it is not used any more.
type headerTree struct {
	ledger Ledger

	mu     sync.Mutex // guards what follows
	chunks []chunkRoot
}

type chunkRoot struct{ last, root consensus.Hash }

// proof is the branch of the header at a height in the tree of those up to a
// checkpoint, and the root; false if the chain changes meanwhile.
func (t *headerTree) proof(height, checkpoint uint32) (branch []consensus.Hash, root consensus.Hash, ok bool) {
	last, ok := t.ledger.HashAt(checkpoint)
	if !ok {
		return nil, root, false
	}
	whole := int(checkpoint+1) / treeChunk
	roots, ok := t.roots(whole)
	if !ok {
		return nil, root, false
	}
	own := int(height) / treeChunk
	leaves, ok := t.hashes(uint32(own*treeChunk), min(treeChunk, int(checkpoint)+1-own*treeChunk))
	if !ok {
		return nil, root, false
	}
	rest := int(checkpoint+1) - whole*treeChunk
	if whole == 0 || whole == 1 && rest == 0 { // one chunk is the whole tree
		branch, root = scripthash.MerkleBranch(leaves, int(height))
	} else {
		low, top := fullBranch(leaves, int(height)%treeChunk)
		if rest > 0 {
			end := top
			if own != whole {
				ends, ok := t.hashes(uint32(whole*treeChunk), rest)
				if !ok {
					return nil, root, false
				}
				_, end = fullBranch(ends, 0)
			}
			roots = append(roots, end)
		}
		high, r := scripthash.MerkleBranch(roots, own)
		branch, root = append(low, high...), r
	}
	now, ok := t.ledger.HashAt(checkpoint)
	return branch, root, ok && now == last
}

// fullBranch is MerkleBranch in a tree of treeDepth levels, of which the leaves may be
// the beginning.
func fullBranch(leaves []consensus.Hash, index int) (branch []consensus.Hash, root consensus.Hash) {
	for range treeDepth {
		if len(leaves)%2 == 1 {
			leaves = append(leaves, leaves[len(leaves)-1])
		}
		branch = append(branch, leaves[index^1])
		index /= 2
		leaves = scripthash.MerkleLevel(leaves)
	}
	return branch, leaves[0]
}

// roots lists the roots of the first chunks, in a slice of the caller's own.
func (t *headerTree) roots(count int) ([]consensus.Hash, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	valid := 0
	for valid < min(count, len(t.chunks)) {
		if hash, ok := t.ledger.HashAt(uint32((valid+1)*treeChunk - 1)); !ok || hash != t.chunks[valid].last {
			break
		}
		valid++
	}
	if valid < min(count, len(t.chunks)) {
		t.chunks = t.chunks[:valid]
	}
	for i := len(t.chunks); i < count; i++ {
		leaves, ok := t.hashes(uint32(i*treeChunk), treeChunk)
		if !ok {
			return nil, false
		}
		last := leaves[treeChunk-1]
		_, root := fullBranch(leaves, 0)
		t.chunks = append(t.chunks, chunkRoot{last, root})
	}
	roots := make([]consensus.Hash, 0, count+2)
	for _, c := range t.chunks[:count] {
		roots = append(roots, c.root)
	}
	return roots, true
}

// hashes lists the hashes of headers, with room for one more.
func (t *headerTree) hashes(from uint32, count int) ([]consensus.Hash, bool) {
	list := make([]consensus.Hash, 0, count+1)
	for i := range uint32(count) {
		hash, ok := t.ledger.HashAt(from + i)
		if !ok {
			return nil, false
		}
		list = append(list, hash)
	}
	return list, true
}
