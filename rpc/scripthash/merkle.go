package scripthash

import "lode/consensus"

// MerkleBranch is the hashes that the leaf at an index is paired with on the way to
// the root, the deepest first, and the root. An odd one at the end of a level is
// paired with itself. It overwrites the leaves.
func MerkleBranch(leaves []consensus.Hash, index int) (branch []consensus.Hash, root consensus.Hash) {
	for len(leaves) > 1 {
		if len(leaves)%2 == 1 {
			leaves = append(leaves, leaves[len(leaves)-1])
		}
		branch = append(branch, leaves[index^1])
		index /= 2
		leaves = MerkleLevel(leaves)
	}
	return branch, leaves[0]
}

// MerkleLevel is the level above one of an even number of hashes, in the same memory.
func MerkleLevel(level []consensus.Hash) []consensus.Hash {
	above := level[:len(level)/2]
	var pair [64]byte
	for i := range above {
		copy(pair[:32], level[2*i][:])
		copy(pair[32:], level[2*i+1][:])
		above[i] = consensus.DoubleSHA256(pair[:])
	}
	return above
}
