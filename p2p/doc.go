// Package p2p is the network: it finds peers, keeps connections to them, follows
// the chain with the most work and passes blocks and transactions on.
//
// Read it in this order: message.go and the messages_ files (the formats),
// transport.go, websocket.go, pipe.go (how messages travel), handshake.go,
// peer.go, queue.go (one connection), dispatch.go (what comes in), serve.go (what
// is answered), headers.go, presync.go, download.go, judge.go, announce.go (the
// chain), siphash.go, compact.go, compactrelay.go (compact blocks), relay.go,
// txrequest.go, incoming.go, orphans.go, package.go, confirmed.go (transactions; whom
// to ask and what to keep is decided in txrequest/ and orphanage/, which know
// nothing of locks and clocks), addrbook.go, addrtable.go, netgroup.go,
// gossip.go, space.go, outbound.go, anchors.go (finding peers), misbehaviour.go,
// bans.go, meter.go, gate.go, places.go, eviction.go, limits.go, upload.go (what a
// peer may do), clockcheck.go, node.go and api.go.
//
// The payloads are Bitcoin's. Nothing above transport.go knows which transport a
// peer is on. Whatever arrives from a peer costs that peer its connection at
// most, and everything that is kept for a peer is bounded.
//
// No lock is held over IO or over a call into the chain or the pool.
package p2p
