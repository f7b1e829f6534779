package p2p

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"lode/consensus"
)

// Services that a peer may announce.
const (
	serviceNetwork        = 1 << 0  // has all blocks
	serviceWitness        = 1 << 3  // BIP144
	serviceCompactFilters = 1 << 6  // BIP157
	serviceNetworkLimited = 1 << 10 // has the last 288 blocks (BIP159)
)

// serviceNames are Bitcoin Core's names of services by their bits, with those that
// are not here.
var serviceNames = map[int]string{0: "NETWORK", 2: "BLOOM", 3: "WITNESS", 6: "COMPACT_FILTERS", 10: "NETWORK_LIMITED", 11: "P2P_V2"}

// ServiceNames names services as Bitcoin Core does, in the order of their bits.
func ServiceNames(services uint64) []string {
	names := []string{}
	for bit := range 64 {
		if services&(1<<bit) != 0 {
			names = append(names, cmp.Or(serviceNames[bit], fmt.Sprintf("UNKNOWN[2^%d]", bit)))
		}
	}
	return names
}

// maxUserAgent is the most bytes of a user agent, as in Bitcoin Core.
const maxUserAgent = 256

// netAddr is an address as version and addr messages hold it.
type netAddr struct {
	services uint64
	ip       [16]byte
	port     uint16 // big endian on the wire
}

func readNetAddr(d *consensus.Decoder) (a netAddr) {
	a.services = d.Uint64()
	copy(a.ip[:], d.Bytes(len(a.ip)))
	a.port = readPort(d)
	return a
}

func readPort(d *consensus.Decoder) uint16 {
	p := d.Uint16()
	return p>>8 | p<<8
}

func (a *netAddr) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, a.services)
	b = append(b, a.ip[:]...)
	return binary.BigEndian.AppendUint16(b, a.port)
}

// msgVersion opens a connection.
type msgVersion struct {
	version     int32
	services    uint64
	time        int64 // Unix seconds
	to, from    netAddr
	nonce       uint64
	userAgent   string
	startHeight int32
	relay       bool // whether transactions may be announced (BIP37)
	without     int  // how many of its last parts an old program leaves out, see versionTail
}

// versionTail is how many parts of a version message came with later versions of the
// protocol: the sender with the nonce, the user agent, the height, and the relay flag.
const versionTail = 4

func decodeVersion(d *consensus.Decoder) message {
	m := &msgVersion{
		version:  int32(d.Uint32()),
		services: d.Uint64(),
		time:     int64(d.Uint64()),
		to:       readNetAddr(d),
	}
	m.nonce, m.startHeight, m.relay = 1, -1, true // as Bitcoin Core has what is left out
	for m.without = versionTail; m.without > 0 && len(d.Rest()) > 0; m.without-- {
		switch m.without {
		case 4:
			m.from, m.nonce = readNetAddr(d), d.Uint64()
		case 3:
			m.userAgent = string(d.Bytes(readCount(d, 1, maxUserAgent)))
		case 2:
			m.startHeight = int32(d.Uint32())
		case 1:
			relay := d.Uint8()
			if m.relay = relay == 1; relay > 1 {
				d.Fail("relay flag %d", relay)
			}
		}
	}
	return m
}

func (m *msgVersion) command() string { return cmdVersion }

func (m *msgVersion) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(m.version))
	b = binary.LittleEndian.AppendUint64(b, m.services)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.time))
	b = m.to.append(b)
	if m.without < 4 {
		b = m.from.append(b)
		b = binary.LittleEndian.AppendUint64(b, m.nonce)
	}
	if m.without < 3 {
		b = consensus.AppendVarBytes(b, []byte(m.userAgent))
	}
	if m.without < 2 {
		b = binary.LittleEndian.AppendUint32(b, uint32(m.startHeight))
	}
	if m.without < 1 {
		var relay byte
		if m.relay {
			relay = 1
		}
		b = append(b, relay)
	}
	return b
}

// msgPing asks for a pong with the same nonce (BIP31).
type msgPing uint64

func decodePing(d *consensus.Decoder) message {
	if len(d.Rest()) == 0 { // of an old program, which wants no answer
		return msgEmpty(cmdPing)
	}
	return msgPing(d.Uint64())
}

func (m msgPing) command() string        { return cmdPing }
func (m msgPing) append(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, uint64(m)) }

// msgPong answers a ping.
type msgPong uint64

// shortPong is a pong without a nonce, which Bitcoin Core takes for the answer of a
// peer of old: it ends the wait and measures nothing. It keeps the bytes that came,
// fewer than eight, so that every message is encoded as it was received.
type shortPong string

func decodePong(d *consensus.Decoder) message {
	if rest := d.Rest(); len(rest) < 8 {
		return shortPong(d.Bytes(len(rest)))
	}
	return msgPong(d.Uint64())
}

func (shortPong) command() string          { return cmdPong }
func (m shortPong) append(b []byte) []byte { return append(b, m...) }

func (m msgPong) command() string        { return cmdPong }
func (m msgPong) append(b []byte) []byte { return binary.LittleEndian.AppendUint64(b, uint64(m)) }

// msgFeeFilter asks not to announce transactions below a fee rate, in sat per
// 1000 vB (BIP133).
type msgFeeFilter int64

func decodeFeeFilter(d *consensus.Decoder) message { return msgFeeFilter(d.Uint64()) }

func (m msgFeeFilter) command() string { return cmdFeeFilter }
func (m msgFeeFilter) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(b, uint64(m))
}
