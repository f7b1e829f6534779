package consensus

import "errors"

// HashedBlock is a block and the hash of its header, computed once for all who want
// it. Only Block.Hashed makes one, so the two belong together as long as nobody
// changes the block.
type HashedBlock struct {
	block *Block
	hash  Hash
}

// Hashed gives b with its hash. b must not be changed any more.
func (b *Block) Hashed() HashedBlock { return HashedBlock{b, b.Header.Hash()} }

// Block is the block, which must not be changed.
func (h HashedBlock) Block() *Block { return h.block }

// Hash is the hash of the block.
func (h HashedBlock) Hash() Hash { return h.hash }

// CheckedBlock is a block that has passed Rules.CheckBlock, with its hash and the ids
// of its transactions. Nothing else makes one, but Rules.Stored, for a block that was
// one before. Who is handed one need not check it again.
type CheckedBlock struct {
	block *Block
	hash  Hash
	ids   []Hash
}

// Block is the block, which must not be changed.
func (b *CheckedBlock) Block() *Block { return b.block }

// Hash is the hash of the block.
func (b *CheckedBlock) Hash() Hash { return b.hash }

// IDs are the ids of its transactions, in order. They must not be changed.
func (b *CheckedBlock) IDs() []Hash { return b.ids }

// errOther is the error for a block that has another header than it should.
var errOther = errors.New("it has another header")

// Stored gives back a block that had passed CheckBlock and CheckBlockAfter before it
// was stored, and makes sure that it still is that one, but does not apply the rules
// again. want is the header that it had then, and hash the hash of that. What was
// stored is what the header commits to if the transactions have its merkle root, and
// the witnesses those of the coinbase's commitment (BIP141); whole says that the
// caller has compared a checksum of all bytes, and then the second is not computed.
//
// The hash of the header alone would prove nothing: it does not commit to the
// witnesses, nor to the number of transactions (CVE-2012-2459).
func (r *Rules) Stored(b *Block, want *Header, hash Hash, whole bool) (*CheckedBlock, error) {
	if b.Header != *want {
		return nil, errOther
	}
	ids := b.TxIDs()
	if err := checkMerkleRoot(b, ids, nil); err != nil {
		return nil, err
	}
	if !whole {
		if len(b.Txs) == 0 || !b.Txs[0].IsCoinbase() { // where the commitment is looked for
			return nil, broken(ErrCoinbaseMissing, "first tx is not coinbase")
		}
		if err := checkWitnessCommitment(b, nil); err != nil {
			return nil, err
		}
	}
	return &CheckedBlock{b, hash, ids}, nil
}
