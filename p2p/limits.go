package p2p

import "time"

// The limits of a node on what others can make it hold or do. Those that belong
// to one mechanism stand with it:
//
//	bytes of one message by its command          payloadLimit, formats (message.go)
//	large messages decoded at a time             largeMessage, Node.large (peer.go)
//	messages and requests queued for one peer    queue.go
//	addresses in one message, in one burst       maxAddrs, maxAddrTokens (messages_addr.go, gossip.go)
//	addresses in the book, by source and group   maxBook, newPerSource, triedPerGroup (addrtable.go)
//	headers before their work is shown           presync.go
//	blocks under way from one peer               download.go
//	transactions known, asked for, orphaned      relay.go, txrequest.go, orphans.go
//	sockets that are not yet peers               maxUnfinished (listen.go)
//	log lines about one host                     linesPerMinute (misbehaviour.go)
const (
	// DefaultOutbound is how many peers a node chooses for full relay, and
	// blockOutbound how many more for blocks alone.
	DefaultOutbound = 8
	maxOutbound     = 10
	blockOutbound   = 2
	// maxConnections bounds all peers but those that the operator names, as in
	// Bitcoin Core, and maxInbound those that dialled us, so that there is
	// always room for those that this node chooses, and a feeler.
	maxConnections = 125
	maxInbound     = maxConnections - DefaultOutbound - blockOutbound
	// maxBans is how many networks the operator can ban, and maxDiscouraged
	// how many addresses are remembered for what they did, the latest.
	maxBans        = 10_000
	maxDiscouraged = 10_000
	// discouragedTime is how long they are.
	discouragedTime = 24 * time.Hour
)
