package consensus

// Block is a header and its transactions, the coinbase first.
type Block struct {
	Header
	Txs []*Tx
}

// DecodeBlock reads one block that fills b. Errors are of kind ErrDecode.
func DecodeBlock(b []byte) (*Block, error) {
	d := NewDecoder(b)
	block := d.Block()
	if err := d.Finish(); err != nil {
		return nil, err
	}
	return block, nil
}

// Block reads one block.
func (d *Decoder) Block() *Block {
	block := &Block{Header: d.Header()}
	n := d.Count(minTxSize)
	block.Txs = make([]*Tx, 0, n)
	for range n {
		block.Txs = append(block.Txs, d.Tx())
		if d.err != nil {
			break
		}
	}
	return block
}

// Append appends the encoding of b (BIP144).
func (b *Block) Append(buf []byte) []byte {
	buf = b.Header.Append(buf)
	buf = AppendCompactSize(buf, uint64(len(b.Txs)))
	for _, tx := range b.Txs {
		buf = tx.Append(buf)
	}
	return buf
}

// Bytes is the encoding of b.
func (b *Block) Bytes() []byte { return b.Append(make([]byte, 0, b.Size())) }

// Size is the length in bytes of the encoding.
func (b *Block) Size() int { return b.size((*Tx).Size) }

// StrippedSize is the length in bytes of the encoding without witnesses.
func (b *Block) StrippedSize() int { return b.size((*Tx).StrippedSize) }

func (b *Block) size(of func(*Tx) int) int {
	n := HeaderSize + CompactSizeLen(uint64(len(b.Txs)))
	for _, tx := range b.Txs {
		n += of(tx)
	}
	return n
}

// Weight is the weight of b in weight units (BIP141).
func (b *Block) Weight() int { return (WitnessScale-1)*b.StrippedSize() + b.Size() }

// TxIDs gives the transaction ids of b in order.
func (b *Block) TxIDs() []Hash {
	ids := make([]Hash, len(b.Txs))
	var buf []byte
	for i, tx := range b.Txs {
		buf = tx.AppendStripped(buf[:0])
		ids[i] = DoubleSHA256(buf)
	}
	return ids
}

// MerkleRoot is the root of the merkle tree over leaves, and whether two equal
// hashes stood side by side as a pair: then another list of transactions has
// the same root (CVE-2012-2459). The root over nothing is zero.
func MerkleRoot(leaves []Hash) (root Hash, mutated bool) {
	if len(leaves) == 0 {
		return Hash{}, false
	}
	level := append(make([]Hash, 0, len(leaves)+1), leaves...)
	for len(level) > 1 {
		for i := 0; i+1 < len(level); i += 2 {
			mutated = mutated || level[i] == level[i+1]
		}
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := 0; i < len(level); i += 2 {
			level[i/2] = hashPair(&level[i], &level[i+1])
		}
		level = level[:len(level)/2]
	}
	return level[0], mutated
}

// MerkleBranch is what the first leaf is hashed with on the way to the merkle
// root, lowest level first; that leaf itself does not matter.
func MerkleBranch(leaves []Hash) (branch []Hash) {
	level := append([]Hash(nil), leaves...)
	for len(level) > 1 {
		branch = append(branch, level[1])
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1])
		}
		for i := 2; i < len(level); i += 2 {
			level[i/2] = hashPair(&level[i], &level[i+1])
		}
		level = level[:len(level)/2]
	}
	return branch
}

// BranchRoot is the merkle root over leaves of which the first is given and the
// others are in branch.
func BranchRoot(first Hash, branch []Hash) Hash {
	for i := range branch {
		first = hashPair(&first, &branch[i])
	}
	return first
}

func hashPair(a, b *Hash) Hash {
	var pair [64]byte
	copy(pair[:32], a[:])
	copy(pair[32:], b[:])
	return DoubleSHA256(pair[:])
}

// WitnessRoot is the root of the merkle tree over the witness transaction ids
// of b, the coinbase's taken as zero (BIP141).
func (b *Block) WitnessRoot() Hash {
	leaves := make([]Hash, len(b.Txs))
	var buf []byte
	for i, tx := range b.Txs {
		if i > 0 {
			buf = tx.Append(buf[:0])
			leaves[i] = DoubleSHA256(buf)
		}
	}
	root, _ := MerkleRoot(leaves)
	return root
}

// commitmentPrefix begins the output of a coinbase that commits to the
// witnesses: OP_RETURN, a push of 36 bytes, and the four bytes of BIP141.
var commitmentPrefix = [6]byte{opReturn, 0x24, 0xaa, 0x21, 0xa9, 0xed}

// WitnessCommitmentIndex finds the output of the coinbase that commits to the
// witnesses: the last one if there are several (BIP141).
func (b *Block) WitnessCommitmentIndex() (int, bool) {
	if len(b.Txs) == 0 {
		return 0, false
	}
	outs := b.Txs[0].Out
	for i := len(outs) - 1; i >= 0; i-- {
		s := outs[i].Script
		if len(s) >= len(commitmentPrefix)+32 && [6]byte(s) == commitmentPrefix {
			return i, true
		}
	}
	return 0, false
}

// WitnessCommitment is the script that commits to a witness root and to the
// reserved value in the witness of the coinbase (BIP141).
func WitnessCommitment(root Hash, reserved [32]byte) []byte {
	h := DoubleSHA256(append(root[:], reserved[:]...))
	return append(commitmentPrefix[:], h[:]...)
}

// FillReservedValue gives the coinbase of b the witness reserved value of zero
// if it commits to witnesses and has none. Miners that build their blocks from
// a template leave it out, and Bitcoin Core's submitblock adds it.
func (b *Block) FillReservedValue() {
	if _, ok := b.WitnessCommitmentIndex(); !ok || b.Txs[0].HasWitness() || len(b.Txs[0].In) == 0 {
		return
	}
	coinbase := b.Txs[0].Clone()
	coinbase.In[0].Witness = [][]byte{make([]byte, 32)}
	b.Txs[0] = coinbase
}
