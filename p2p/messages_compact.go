package p2p

import (
	"encoding/binary"

	"lode/consensus"
)

// Compact blocks (BIP152).
const (
	// compactVersion is the version that is spoken here: short ids are made of
	// witness ids.
	compactVersion = 2
	// maxBlockTxs is how many transactions a block may have for its compact
	// form: their places are counted in 16 bits.
	maxBlockTxs = 1 << 16
	shortIDSize = 6 // bytes
	minTxSize   = 10
)

// msgSendCmpct says how blocks are to be announced.
type msgSendCmpct struct {
	highBandwidth bool // by cmpctblock at once; else as always
	version       uint64
}

func decodeSendCmpct(d *consensus.Decoder) message {
	fast := d.Uint8()
	if fast > 1 {
		d.Fail("announce flag %d", fast)
	}
	return msgSendCmpct{fast == 1, d.Uint64()}
}

func (m msgSendCmpct) command() string { return cmdSendCmpct }

func (m msgSendCmpct) append(b []byte) []byte {
	var fast byte
	if m.highBandwidth {
		fast = 1
	}
	return binary.LittleEndian.AppendUint64(append(b, fast), m.version)
}

// placedTx is a transaction and its place in a block.
type placedTx struct {
	index uint16
	tx    *consensus.Tx
}

// msgCmpctBlock is a block without the transactions that the receiver is
// likely to have.
type msgCmpctBlock struct {
	header    consensus.Header
	nonce     uint64
	shortIDs  []uint64   // of the others, in order
	prefilled []placedTx // in order
}

func decodeCmpctBlock(d *consensus.Decoder) message {
	m := &msgCmpctBlock{header: d.Header(), nonce: d.Uint64()}
	m.shortIDs = make([]uint64, readCount(d, shortIDSize, maxBlockTxs))
	for i := range m.shortIDs {
		if b := d.Bytes(shortIDSize); b != nil {
			m.shortIDs[i] = uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
		}
	}
	m.prefilled = make([]placedTx, 0, readCount(d, 1+minTxSize, maxBlockTxs))
	total := len(m.shortIDs) + cap(m.prefilled)
	if total == 0 || total > maxBlockTxs {
		d.Fail("%d transactions in a block", total)
	}
	for next := 0; len(m.prefilled) < cap(m.prefilled) && d.Err() == nil; {
		next = readIndex(d, next, total)
		m.prefilled = append(m.prefilled, placedTx{uint16(next), d.Tx()})
		next++
	}
	return m
}

// readIndex reads a place in a block of so many transactions that is written as
// its distance from the least that it may be.
func readIndex(d *consensus.Decoder, least, total int) int {
	distance := d.CompactSize()
	if distance >= uint64(total) || least+int(distance) >= total {
		d.Fail("transaction number %d+%d of %d", least, distance, total)
		return 0
	}
	return least + int(distance)
}

func (m *msgCmpctBlock) command() string { return cmdCmpctBlock }

func (m *msgCmpctBlock) append(b []byte) []byte {
	b = m.header.Append(b)
	b = binary.LittleEndian.AppendUint64(b, m.nonce)
	b = consensus.AppendCompactSize(b, uint64(len(m.shortIDs)))
	for _, id := range m.shortIDs {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
		b = binary.LittleEndian.AppendUint16(b, uint16(id>>32))
	}
	b = consensus.AppendCompactSize(b, uint64(len(m.prefilled)))
	next := 0
	for _, p := range m.prefilled {
		b = consensus.AppendCompactSize(b, uint64(int(p.index)-next))
		b = p.tx.Append(b)
		next = int(p.index) + 1
	}
	return b
}

// msgGetBlockTxn asks for some transactions of a block.
type msgGetBlockTxn struct {
	hash    consensus.Hash
	indexes []uint16 // ascending
}

func decodeGetBlockTxn(d *consensus.Decoder) message {
	m := &msgGetBlockTxn{hash: d.Hash()}
	m.indexes = make([]uint16, readCount(d, 1, maxBlockTxs))
	next := 0
	for i := range m.indexes {
		next = readIndex(d, next, maxBlockTxs)
		m.indexes[i] = uint16(next)
		next++
	}
	return m
}

func (m *msgGetBlockTxn) command() string { return cmdGetBlockTxn }

func (m *msgGetBlockTxn) append(b []byte) []byte {
	b = append(b, m.hash[:]...)
	b = consensus.AppendCompactSize(b, uint64(len(m.indexes)))
	next := 0
	for _, index := range m.indexes {
		b = consensus.AppendCompactSize(b, uint64(int(index)-next))
		next = int(index) + 1
	}
	return b
}

// msgBlockTxn answers getblocktxn, in the same order.
type msgBlockTxn struct {
	hash consensus.Hash
	txs  []*consensus.Tx
}

func decodeBlockTxn(d *consensus.Decoder) message {
	m := &msgBlockTxn{hash: d.Hash()}
	m.txs = make([]*consensus.Tx, 0, readCount(d, minTxSize, maxBlockTxs))
	for len(m.txs) < cap(m.txs) && d.Err() == nil {
		m.txs = append(m.txs, d.Tx())
	}
	return m
}

func (m *msgBlockTxn) command() string { return cmdBlockTxn }

func (m *msgBlockTxn) append(b []byte) []byte {
	b = append(b, m.hash[:]...)
	b = consensus.AppendCompactSize(b, uint64(len(m.txs)))
	for _, tx := range m.txs {
		b = tx.Append(b)
	}
	return b
}
