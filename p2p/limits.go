package p2p

import "time"

// The limits of a node on what others can make it hold or do. Those that belong
// to one mechanism stand with it:
//
//	bytes of one message by its command          payloadLimit, formats (message.go)
//	large messages decoded at a time             largeMessage, Node.large (serving.go)
//	messages and requests queued for one peer    queue.go
//	addresses in one message, in one burst       maxAddrs, maxAddrTokens (messages_addr.go, gossip.go)
//	addresses in the book, by source and group   maxBook, newPerSource, triedPerGroup (addrtable.go)
//	headers before their work is shown           presync.go
//	headers without blocks, by peer and in all   holdLimits (headerhold.go)
//	blocks under way from one peer               download.go
//	transactions known, asked for, orphaned      relay.go, txrequest/, orphanage/
//	peers that are asked for one block           tiprequests.go, compactrelay.go
//	work and memory for what peers ask           serving.go, turns.go
//	block filters in one answer, and at a time    messages_filter.go, filters.go
//	recent blocks that are kept decoded          blockcache.go
//	memory for long messages while they come     maxReceivedBytes (serving.go)
//	log lines about one host                     linesPerMinute (misbehaviour.go)
const (
	// DefaultOutbound is how many peers a node chooses for full relay, and
	// blockOutbound how many more for blocks alone.
	DefaultOutbound = 8
	MaxOutbound     = 10
	blockOutbound   = 2
	// MaxConnections bounds all peers but those that the operator names, as in
	// Bitcoin Core, and maxInbound those that dialled us, so that there is
	// always room for those that this node chooses, and a feeler.
	MaxConnections = 125
	maxInbound     = MaxConnections - DefaultOutbound - blockOutbound
	// DefaultInbound is maxInbound: a node may have fewer, see Config.MaxInbound.
	DefaultInbound = maxInbound
	// maxUnfinished is how many sockets may be open beyond the inbound peers:
	// those whose HTTP request, or first bytes on TCP, have not come yet. Of
	// those that were closed to make room, maxCut may not have ended yet.
	maxUnfinished = 64
	maxCut        = 16
	// maxWaiting is how many wait for the place of a peer that is leaving, and
	// placeTimeout how long: it may be in the middle of judging a block.
	maxWaiting   = 32
	placeTimeout = 5 * time.Second
	// An address (a /64 of IPv6) may connect once every hostInterval, and before
	// that hostBurst times at once: as many nodes may share one and be started
	// together. All of a network group have groupInterval and groupBurst. Of
	// either, maxMetered are remembered.
	hostInterval  = time.Second
	hostBurst     = 20
	groupInterval = 20 * time.Millisecond
	groupBurst    = 500
	maxMetered    = 10_000
	// maxBans is how many networks the operator can ban, and maxDiscouraged
	// how many addresses are remembered for what they did, the latest.
	maxBans        = 10_000
	maxDiscouraged = 10_000
	// discouragedTime is how long they are.
	discouragedTime = 24 * time.Hour
	// MaxMemory is about how many bytes all peers can make a node hold: answers,
	// blocks that are judged or kept, and for each peer its queue, what it may
	// have announced, and a message that is being read.
	MaxMemory  = maxServedBytes + maxJudged + maxCachedBlocks + MaxConnections*peerMemory
	peerMemory = maxQueuedBytes + maxQueuedRequests*64 + 2<<20
)

// InboundOf is how many peers may dial a node that is to have so many in all besides
// those that its operator names, as in Bitcoin Core: places for those that it dials,
// and a feeler, are kept.
func InboundOf(connections int) int {
	if connections >= MaxConnections {
		return maxInbound
	}
	return max(0, connections-DefaultOutbound-blockOutbound-1)
}

// unfinished is how many sockets may be unfinished beside so many inbound peers.
func unfinished(inbound int) int { return min(inbound, maxUnfinished) }

// Sockets is how many file descriptors so many inbound peers take, with those who
// are not peers yet or no more.
func Sockets(inbound int) int { return inbound + unfinished(inbound) + maxCut + 1 }

// DialedSockets is how many file descriptors the peers take that a node dials when
// it looks for so many and is given others by name: also for blocks alone, for a
// feeler, and for what the operator adds later.
func DialedSockets(outbound, given int) int {
	const feelers, added = 1, 8
	return outbound + blockOutbound + feelers + given + added
}
