package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MerkleBlock is a header with the part of its merkle tree that shows which of
// some transactions are in the block (BIP37).
type MerkleBlock struct {
	Header Header
	Total  uint32 // transactions of the block
	Hashes []Hash // of the nodes that are given, depth first
	Flags  []byte // one bit for each node that is visited, lowest bit first: whether it is or has a match
}

// ErrMerkleProof is the kind of the error for a partial merkle tree that is not
// well formed.
var ErrMerkleProof = errors.New("not a partial merkle tree")

// minTxWeight is the least that a transaction can weigh, as in Bitcoin Core.
const minTxWeight = 60 * WitnessScale

// NewMerkleBlock proves that the transactions of block whose ids are wanted are
// in it.
func NewMerkleBlock(block *Block, wanted func(txid Hash) bool) *MerkleBlock {
	ids := block.TxIDs()
	m := &MerkleBlock{Header: block.Header, Total: uint32(len(ids))}
	levels, matches := [][]Hash{ids}, [][]bool{make([]bool, len(ids))}
	for i := range ids {
		matches[0][i] = wanted(ids[i])
	}
	for len(levels[len(levels)-1]) > 1 {
		below, hit := levels[len(levels)-1], matches[len(matches)-1]
		up, upHit := make([]Hash, (len(below)+1)/2), make([]bool, (len(below)+1)/2)
		for i := range up {
			right := min(2*i+1, len(below)-1)
			up[i], upHit[i] = hashPair(&below[2*i], &below[right]), hit[2*i] || hit[right]
		}
		levels, matches = append(levels, up), append(matches, upHit)
	}
	bits := 0
	var visit func(level, at int)
	visit = func(level, at int) {
		if bits%8 == 0 {
			m.Flags = append(m.Flags, 0)
		}
		hit := matches[level][at]
		if hit {
			m.Flags[bits/8] |= 1 << (bits % 8)
		}
		bits++
		if level == 0 || !hit {
			m.Hashes = append(m.Hashes, levels[level][at])
			return
		}
		visit(level-1, 2*at)
		if 2*at+1 < len(levels[level-1]) {
			visit(level-1, 2*at+1)
		}
	}
	if len(ids) > 0 {
		visit(len(levels)-1, 0)
	}
	return m
}

// Append appends the encoding of BIP37's merkleblock message.
func (m *MerkleBlock) Append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(m.Header.Append(b), m.Total)
	b = AppendCompactSize(b, uint64(len(m.Hashes)))
	for i := range m.Hashes {
		b = append(b, m.Hashes[i][:]...)
	}
	return AppendVarBytes(b, m.Flags)
}

// DecodeMerkleBlock reads what Append writes, and nothing more. Errors are of
// kind ErrDecode.
func DecodeMerkleBlock(raw []byte) (*MerkleBlock, error) {
	d := NewDecoder(raw)
	m := &MerkleBlock{Header: d.Header(), Total: d.Uint32()}
	m.Hashes = make([]Hash, d.Count(len(Hash{})))
	for i := range m.Hashes {
		m.Hashes[i] = d.Hash()
	}
	m.Flags = append(m.Flags, d.VarBytes()...)
	return m, d.Finish()
}

// Matches gives the ids that m proves to be in a block with the merkle root of
// its header. limit is the largest weight of a block. Errors are of kind
// ErrMerkleProof. Whether there is such a block the caller has to find out, and
// that it has m.Total transactions.
func (m *MerkleBlock) Matches(limit int) (ids []Hash, err error) {
	switch {
	case m.Total == 0 || int64(m.Total) > int64(limit/minTxWeight):
		return nil, fmt.Errorf("%w: %d transactions", ErrMerkleProof, m.Total)
	case len(m.Hashes) > int(m.Total) || 8*len(m.Flags) < len(m.Hashes):
		return nil, fmt.Errorf("%w: %d hashes and %d flags for %d transactions", ErrMerkleProof, len(m.Hashes), 8*len(m.Flags), m.Total)
	}
	w := merkleWalk{m: m}
	level := 0
	for w.width(level) > 1 {
		level++
	}
	root, ok := w.visit(level, 0)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: its nodes do not fit together", ErrMerkleProof)
	case (w.bits+7)/8 != len(m.Flags) || w.hashes != len(m.Hashes):
		return nil, fmt.Errorf("%w: something is left over", ErrMerkleProof)
	case root != m.Header.MerkleRoot:
		return nil, fmt.Errorf("%w: root %s, the header has %s", ErrMerkleProof, root, m.Header.MerkleRoot)
	}
	return w.ids, nil
}

// merkleWalk goes through a partial tree as it was written.
type merkleWalk struct {
	m            *MerkleBlock
	bits, hashes int // used
	ids          []Hash
}

// width is how many nodes a level has; level 0 is the leaves.
func (w *merkleWalk) width(level int) int { return (int(w.m.Total) + 1<<level - 1) >> level }

func (w *merkleWalk) visit(level, at int) (hash Hash, ok bool) {
	if w.bits >= 8*len(w.m.Flags) {
		return Hash{}, false
	}
	hit := w.m.Flags[w.bits/8]>>(w.bits%8)&1 == 1
	w.bits++
	if level == 0 || !hit {
		if w.hashes >= len(w.m.Hashes) {
			return Hash{}, false
		}
		hash = w.m.Hashes[w.hashes]
		w.hashes++
		if hit {
			w.ids = append(w.ids, hash)
		}
		return hash, true
	}
	left, ok := w.visit(level-1, 2*at)
	if !ok {
		return Hash{}, false
	}
	right := left
	if 2*at+1 < w.width(level-1) {
		// Two equal ones would let one proof stand for two trees (CVE-2012-2459).
		if right, ok = w.visit(level-1, 2*at+1); !ok || right == left {
			return Hash{}, false
		}
	}
	return hashPair(&left, &right), true
}
