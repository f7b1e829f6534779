package p2p

import (
	"encoding/binary"

	"lode/consensus"
)

// Block filters (BIP157). A node never asks for any, so that the answers have no formats.
const (
	cmdGetCFilters  = "getcfilters"
	cmdCFilter      = "cfilter"
	cmdGetCFHeaders = "getcfheaders"
	cmdCFHeaders    = "cfheaders"
	cmdGetCFCheckpt = "getcfcheckpt"
	cmdCFCheckpt    = "cfcheckpt"
)

const (
	// maxCFilters and maxCFHeaders are how many filters, and hashes of them, one request
	// may be for.
	maxCFilters  = 1000
	maxCFHeaders = 2000
)

// msgGetFilters is a getcfilters, getcfheaders or getcfcheckpt message: give me what
// belongs to the blocks from a height to the one that is named, in its chain.
type msgGetFilters struct {
	cmd   string
	kind  byte   // of the filters, see blockfilter.Basic
	start uint32 // absent from getcfcheckpt
	stop  consensus.Hash
}

func filtersFormat(command string) func(*consensus.Decoder) message {
	return func(d *consensus.Decoder) message {
		m := &msgGetFilters{cmd: command, kind: d.Uint8()}
		if command != cmdGetCFCheckpt {
			m.start = d.Uint32()
		}
		m.stop = d.Hash()
		return m
	}
}

func (m *msgGetFilters) command() string { return m.cmd }

func (m *msgGetFilters) append(b []byte) []byte {
	b = append(b, m.kind)
	if m.cmd != cmdGetCFCheckpt {
		b = binary.LittleEndian.AppendUint32(b, m.start)
	}
	return append(b, m.stop[:]...)
}

// msgCFilter is a block's filter.
type msgCFilter struct {
	kind   byte
	block  consensus.Hash
	filter []byte
}

func (m *msgCFilter) command() string { return cmdCFilter }

func (m *msgCFilter) append(b []byte) []byte {
	b = append(append(b, m.kind), m.block[:]...)
	return append(consensus.AppendCompactSize(b, uint64(len(m.filter))), m.filter...)
}

// msgCFHeaders holds the hashes of the filters of blocks up to one, and the filter header
// before the first.
type msgCFHeaders struct {
	kind         byte
	stop, before consensus.Hash
	hashes       []consensus.Hash
}

func (m *msgCFHeaders) command() string { return cmdCFHeaders }

func (m *msgCFHeaders) append(b []byte) []byte {
	b = append(append(b, m.kind), m.stop[:]...)
	return appendHashes(append(b, m.before[:]...), m.hashes)
}

// msgCFCheckpt holds every thousandth filter header up to a block.
type msgCFCheckpt struct {
	kind    byte
	stop    consensus.Hash
	headers []consensus.Hash
}

func (m *msgCFCheckpt) command() string { return cmdCFCheckpt }

func (m *msgCFCheckpt) append(b []byte) []byte {
	return appendHashes(append(append(b, m.kind), m.stop[:]...), m.headers)
}

func appendHashes(b []byte, list []consensus.Hash) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(list)))
	for i := range list {
		b = append(b, list[i][:]...)
	}
	return b
}
