package p2p

import (
	"encoding/binary"

	"lode/consensus"
)

const (
	maxInv     = 50_000 // elements of inv, getdata and notfound
	invSize    = 4 + 32
	maxLocator = 101  // hashes of a locator
	maxHeaders = 2000 // of one headers message; fewer mean that there are no more
)

// The kinds of things that inv, getdata and notfound name.
const (
	invTx    = 1
	invBlock = 2
	invCmpct = 4 // a block in its compact form (BIP152)
	invWTx   = 5 // a transaction by its witness id (BIP339)

	// invWitness is added to invTx and invBlock in getdata to get the witness
	// too (BIP144).
	invWitness = 1 << 30
)

// invItem names one transaction or block.
type invItem struct {
	kind uint32
	hash consensus.Hash
}

// msgInv is an inv, getdata or notfound message.
type msgInv struct {
	cmd   string
	items []invItem
}

func invFormat(command string) func(*consensus.Decoder) message {
	return func(d *consensus.Decoder) message {
		m := &msgInv{command, make([]invItem, readCount(d, invSize, maxInv))}
		for i := range m.items {
			m.items[i] = invItem{d.Uint32(), d.Hash()}
		}
		return m
	}
}

func (m *msgInv) command() string { return m.cmd }

func (m *msgInv) append(b []byte) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(m.items)))
	for i := range m.items {
		b = binary.LittleEndian.AppendUint32(b, m.items[i].kind)
		b = append(b, m.items[i].hash[:]...)
	}
	return b
}

// msgLocate is a getheaders or getblocks message: give me what follows the first
// hash of the locator that you know, up to stop.
type msgLocate struct {
	cmd     string
	version uint32
	locator []consensus.Hash
	stop    consensus.Hash
}

func locateFormat(command string) func(*consensus.Decoder) message {
	return func(d *consensus.Decoder) message {
		m := &msgLocate{cmd: command, version: d.Uint32()}
		m.locator = make([]consensus.Hash, readCount(d, 32, maxLocator))
		for i := range m.locator {
			m.locator[i] = d.Hash()
		}
		m.stop = d.Hash()
		return m
	}
}

func (m *msgLocate) command() string { return m.cmd }

func (m *msgLocate) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, m.version)
	b = consensus.AppendCompactSize(b, uint64(len(m.locator)))
	for i := range m.locator {
		b = append(b, m.locator[i][:]...)
	}
	return append(b, m.stop[:]...)
}

// msgHeaders holds headers, each followed by a count of transactions that is
// always zero.
type msgHeaders []consensus.Header

func decodeHeaders(d *consensus.Decoder) message {
	m := make(msgHeaders, readCount(d, consensus.HeaderSize+1, maxHeaders))
	for i := range m {
		m[i] = d.Header()
		if n := d.Uint8(); n != 0 {
			d.Fail("header with %d transactions", n)
		}
	}
	return m
}

func (m msgHeaders) command() string { return cmdHeaders }

func (m msgHeaders) append(b []byte) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(m)))
	for i := range m {
		b = append(m[i].Append(b), 0)
	}
	return b
}

// msgBlock is a block with its witness.
type msgBlock struct{ *consensus.Block }

func (m msgBlock) command() string        { return cmdBlock }
func (m msgBlock) append(b []byte) []byte { return m.Block.Append(b) }

// msgTx is a transaction with its witness.
type msgTx struct{ *consensus.Tx }

func (m msgTx) command() string        { return cmdTx }
func (m msgTx) append(b []byte) []byte { return m.Tx.Append(b) }
