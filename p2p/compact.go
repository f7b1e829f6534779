package p2p

import (
	"crypto/sha256"
	"encoding/binary"

	"lode/consensus"
)

// shortIDKey is the key of a block's short ids (BIP152).
func shortIDKey(header *consensus.Header, nonce uint64) sipKey {
	b := header.Append(make([]byte, 0, consensus.HeaderSize+8))
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64(b, nonce))
	return sipKey{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

// shortID is what stands for a transaction in a compact block.
func (k sipKey) shortID(wtxid *consensus.Hash) uint64 {
	return k.hash(wtxid) & (1<<(8*shortIDSize) - 1)
}

// compactOf makes the compact form of a block, with the coinbase in it: nobody
// can have that. ok is false for a block that has too many transactions.
func compactOf(block *consensus.Block, nonce uint64) (m *msgCmpctBlock, ok bool) {
	if len(block.Txs) == 0 || len(block.Txs) > maxBlockTxs {
		return nil, false
	}
	m = &msgCmpctBlock{
		header: block.Header, nonce: nonce,
		shortIDs:  make([]uint64, 0, len(block.Txs)-1),
		prefilled: []placedTx{{0, block.Txs[0]}},
	}
	key := shortIDKey(&block.Header, nonce)
	for _, tx := range block.Txs[1:] {
		wtxid := tx.WTxID()
		m.shortIDs = append(m.shortIDs, key.shortID(&wtxid))
	}
	return m, true
}

// partialBlock is a block that is being put together from its compact form.
type partialBlock struct {
	header consensus.Header
	key    sipKey
	txs    []*consensus.Tx  // nil where missing
	wtxids []consensus.Hash // of those that were offered
	places map[uint64]int   // in txs, by short id; -1 once two fit
}

// newPartial begins with what m holds. ok is false if two of its short ids are
// the same, so that nobody could tell which transaction belongs where.
func newPartial(m *msgCmpctBlock) (b *partialBlock, ok bool) {
	total := len(m.shortIDs) + len(m.prefilled)
	b = &partialBlock{
		header: m.header, key: shortIDKey(&m.header, m.nonce),
		txs: make([]*consensus.Tx, total), wtxids: make([]consensus.Hash, total),
		places: make(map[uint64]int, len(m.shortIDs)),
	}
	for _, p := range m.prefilled {
		b.txs[p.index] = p.tx
	}
	at := 0
	for _, id := range m.shortIDs {
		for b.txs[at] != nil {
			at++
		}
		b.places[id] = at
		at++
	}
	return b, len(b.places) == len(m.shortIDs)
}

// offer puts a transaction where its short id says. If another one was offered
// for the same place neither is taken: the sender knows which it is.
func (b *partialBlock) offer(wtxid consensus.Hash, tx *consensus.Tx) {
	id := b.key.shortID(&wtxid)
	at, ok := b.places[id]
	switch {
	case !ok || at < 0:
	case b.txs[at] == nil:
		b.txs[at], b.wtxids[at] = tx, wtxid
	case b.wtxids[at] != wtxid:
		b.txs[at], b.places[id] = nil, -1
	}
}

// missing lists the places for which nothing was offered, and lets go of what
// only offer needs.
func (b *partialBlock) missing() (list []uint16) {
	b.places, b.wtxids = nil, nil
	for i, tx := range b.txs {
		if tx == nil {
			list = append(list, uint16(i))
		}
	}
	return list
}

// complete fills the places that missing has listed, and gives the block, which
// may be another one than the header commits to. ok is false if txs are not as
// many as are missing.
func (b *partialBlock) complete(txs []*consensus.Tx) (block *consensus.Block, ok bool) {
	block = &consensus.Block{Header: b.header, Txs: make([]*consensus.Tx, len(b.txs))}
	for i, tx := range b.txs {
		if tx == nil {
			if len(txs) == 0 {
				return nil, false
			}
			tx, txs = txs[0], txs[1:]
		}
		block.Txs[i] = tx
	}
	return block, len(txs) == 0
}
