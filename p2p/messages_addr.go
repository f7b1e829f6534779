package p2p

import (
	"encoding/binary"

	"lode/consensus"
)

const (
	maxAddrs      = 1000 // in one addr or addrv2 message
	maxAddrV2Len  = 512  // bytes of one address (BIP155)
	addrSize      = 4 + 26
	minAddrV2Size = 4 + 1 + 1 + 1 + 2
	maxAddrV2Size = 4 + 9 + 1 + 3 + maxAddrV2Len + 2
)

// Network ids in addrv2 messages (BIP155).
const (
	networkIPv4                           = 1
	networkIPv6                           = 2
	networkTor3, networkI2P, networkCJDNS = 4, 5, 6
	// networkURL is Lode's own: the address is a URL. BIP155 has its readers
	// ignore ids that they do not know, but btcd hangs up when it knows none of
	// a message. So URLs go only to those who said sendaddrurl before verack.
	networkURL = 0x4c
)

// addrLengths are the lengths in bytes of the networks of BIP155: IPv4, IPv6,
// Tor v2 and v3, I2P, CJDNS.
var addrLengths = map[uint8]int{networkIPv4: 4, networkIPv6: 16, 3: 10, networkTor3: 32, networkI2P: 32, networkCJDNS: 16}

// timedAddr is one element of an addr message.
type timedAddr struct {
	time uint32 // Unix seconds
	netAddr
}

// msgAddr holds IP addresses, for peers that do not speak addrv2.
type msgAddr []timedAddr

func decodeAddr(d *consensus.Decoder) message {
	m := make(msgAddr, readCount(d, addrSize, maxAddrs))
	for i := range m {
		m[i] = timedAddr{d.Uint32(), readNetAddr(d)}
	}
	return m
}

func (m msgAddr) command() string { return cmdAddr }

func (m msgAddr) append(b []byte) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(m)))
	for i := range m {
		b = binary.LittleEndian.AppendUint32(b, m[i].time)
		b = m[i].netAddr.append(b)
	}
	return b
}

// addrV2 is one element of an addrv2 message.
type addrV2 struct {
	time     uint32 // Unix seconds, when the peer was last seen
	services uint64
	network  uint8
	addr     []byte
	port     uint16
}

// msgAddrV2 holds addresses of any network (BIP155).
type msgAddrV2 []addrV2

func decodeAddrV2(d *consensus.Decoder) message {
	m := make(msgAddrV2, readCount(d, minAddrV2Size, maxAddrs))
	for i := range m {
		a := addrV2{time: d.Uint32(), services: d.CompactSize(), network: d.Uint8()}
		a.addr = d.Bytes(readCount(d, 1, maxAddrV2Len))
		a.port = readPort(d)
		if want, ok := addrLengths[a.network]; ok && len(a.addr) != want {
			d.Fail("address of %d bytes in network %d, want %d", len(a.addr), a.network, want)
		}
		m[i] = a
	}
	return m
}

func (m msgAddrV2) command() string { return cmdAddrV2 }

func (m msgAddrV2) append(b []byte) []byte {
	b = consensus.AppendCompactSize(b, uint64(len(m)))
	for i := range m {
		b = binary.LittleEndian.AppendUint32(b, m[i].time)
		b = consensus.AppendCompactSize(b, m[i].services)
		b = append(b, m[i].network)
		b = consensus.AppendVarBytes(b, m[i].addr)
		b = binary.BigEndian.AppendUint16(b, m[i].port)
	}
	return b
}
