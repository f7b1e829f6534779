package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"lode/chain"
	"lode/consensus"
)

// connectionKind says why there is a connection.
type connectionKind string

// The names of Bitcoin Core's getpeerinfo.
const (
	kindInbound   connectionKind = "inbound"
	kindManual    connectionKind = "manual" // asked for by the operator
	kindOutbound  connectionKind = "outbound-full-relay"
	kindBlocks    connectionKind = "block-relay-only" // no transactions and no addresses, so that nobody sees it
	kindFeeler    connectionKind = "feeler"           // ends with the handshake
	kindAddrFetch connectionKind = "addr-fetch"       // ends when it has told addresses
)

// peer is one connection and what is known of its other side.
type peer struct {
	id        int64
	conn      Conn
	kind      connectionKind
	url       string // that was dialled; empty for inbound
	addr      string // of the socket
	host      netip.Addr
	connected time.Time
	ctx       context.Context         // of the connection
	drop      context.CancelCauseFunc // ends the connection for a reason; never blocks
	may       Permissions
	trusted   bool           // the operator vouches for it: MayNotBeBanned
	noTxs     bool           // it is told to send no transactions, and may not
	group     sync.WaitGroup // of what works for it
	out       *sendQueue
	telling   chan struct{} // holds one who makes and sends what this node has of the chain: the peer gets it in order

	// Set by the handshake and not changed after it.
	version     int32
	services    uint64
	userAgent   string
	startHeight int32
	timeOffset  int64 // seconds
	relayTxs    bool  // transactions may be announced to it
	wtxidRelay  bool
	addrV2      bool
	addrURL     bool   // URLs may be among the addresses that it is sent
	seenAs      string // the address of this node that it has told; empty for none

	mu    sync.Mutex // guards what follows
	stats peerStats
	flags peerFlags

	// Only its reader uses these.
	presync  *presync                         // nil unless headers come in two passes
	unasked  bool                             // it has sent headers since its last ping
	untried  bool                             // likewise, transactions: they may be the parents of orphans
	partials map[consensus.Hash]*partialBlock // of which transactions were asked for
	misfit   consensus.Hash                   // the block of which it has sent transactions that did not fit
	tried    consensus.Hash                   // the block of which it last sent a compact form that was tried
	node     *Node
	capture  *capture      // nil for none
	holds    bool          // a slot of Node.large
	hasTurn  bool          // of reading
	hasRoom  bool          // of receiving
	verdicts chan struct{} // closed when all its blocks so far are judged; nil if they are

	judge judgeQueue

	reading, writing *lane // of Node.serving
	receiving        *lane // of Node.readers
	prompts          promptList

	// Guarded by Node.mu, see places.go.
	leaving bool
	heir    *peer         // gets the place when this one has left; nil for none
	leaver  *peer         // whose heir it is; nil for none
	turn    chan struct{} // closed when it gets that place; nil if it did not have to wait

	sync  peerSync  // guarded by syncer.mu
	relay peerRelay // guarded by relay.mu
}

// peerFlags is what a peer told after the handshake, and small state of the
// conversation.
type peerFlags struct {
	sendHeaders bool           // announce blocks by headers (BIP130)
	compact     bool           // it understands compact blocks (BIP152)
	fast        bool           // announce blocks by their compact form (BIP152's high bandwidth)
	feeFilter   int64          // sat per 1000 vB
	gaveAddrs   bool           // its getaddr was answered
	spokeAddrs  bool           // it has sent getaddr or addresses
	askedAddrs  bool           // it was asked for addresses and has not answered
	addrs       addrTrickle    // that it is to be told
	addrTokens  int            // addresses of it that will be looked at
	addrTime    time.Time      // when the last token came
	filter      feeFilter      // that it is sent
	presynced   int64          // see PeerInfo.PresyncHeight
	lastOfInv   consensus.Hash // the last block of an answer to getblocks that may not be all

	waiting   time.Time     // since when the reader waits for a message; zero while it handles one
	waited    time.Duration // before that, see peer.waited
	pingNonce uint64        // of the ping under way; 0 for none
	pingSent  time.Time
}

func (p *peer) inbound() bool { return p.kind == kindInbound }

// chosen reports whether this node chose the peer for one of its outbound slots.
func (p *peer) chosen() bool { return p.kind == kindOutbound || p.kind == kindBlocks }

// isMomentary reports whether the peer was dialled for no more than one question.
func (p *peer) isMomentary() bool { return p.kind == kindFeeler || p.kind == kindAddrFetch }

func byID(a, b *peer) int { return cmp.Compare(a.id, b.id) }

// has reports whether the peer announced all of the services.
func (p *peer) has(services uint64) bool { return p.services&services == services }

// serves reports whether the peer has the block at a height, if it has that
// chain at all. Peers without the witnesses have no block that could be used. From one
// without the older blocks the last two that it promises are not asked for: it may have
// new ones already, and hangs up on who asks for too old a block.
func (p *peer) serves(height, itsTip uint32) bool {
	return p.has(serviceWitness) &&
		(p.has(serviceNetwork) || p.has(serviceNetworkLimited) && height+chain.KeptBlocks-2 > itsTip)
}

// send queues a message. A peer that does not take what it is sent is dropped.
func (p *peer) send(m message) { p.sendRaw(m.command(), m.append(nil)) }

func (p *peer) sendRaw(command string, payload []byte) {
	if !p.out.push(outMessage{command, payload}) {
		p.drop(errSlowReader)
	}
}

// write sends a message now. Only the handshake and then the writer use it.
func (p *peer) write(command string, payload []byte) error {
	if err := p.conn.WriteMessage(command, payload); err != nil {
		return err
	}
	p.capture.keep(capturedOut, command, payload)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.sent.count(p.node.wall.Now(), command, p.headSize()+len(payload))
	return nil
}

// headSize is how many bytes precede the payload of a message.
func (p *peer) headSize() int {
	if p.conn.Transport() == transportTCP {
		return frameSize
	}
	return commandSize
}

func (p *peer) writeMessage(m message) error { return p.write(m.command(), m.append(nil)) }

// read waits for the next message that is understood.
func (p *peer) read() (message, error) {
	for {
		p.release()
		p.beginWait()
		command, payload, err := p.conn.ReadMessage()
		p.endWait()
		if errors.Is(err, errChecksum) || errors.Is(err, errCommand) { // a bad line would do it
			p.skipped(p.lastSize(payload), err)
			continue
		}
		if p.forgives(err) {
			p.skipped(0, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		p.capture.keep(capturedIn, command, payload)
		p.mu.Lock()
		p.stats.received.count(p.node.wall.Now(), command, p.headSize()+p.lastSize(payload))
		p.mu.Unlock()
		if err := p.admit(command, payload); err != nil {
			return nil, err
		}
		m, err := decodeMessage(command, payload)
		switch {
		case p.forgives(err):
			continue
		case command == cmdFilterLoad || command == cmdFilterAdd || command == cmdFilterClear: // whatever they hold
			return msgEmpty(command), nil
		case errors.Is(err, errUnknownCommand):
			p.node.log.Debug(fmt.Sprintf("Unknown message type %q from peer=%d", command, p.id))
			continue
		case err != nil && !errors.Is(err, errTooLong) && command != cmdCmpctBlock: // as in Bitcoin Core, which judges the places in a compact block
			p.node.log.Debug(fmt.Sprintf("ProcessMessages(%s, %d bytes): Exception from peer=%d", command, len(payload), p.id), "error", err)
			continue
		}
		return m, err
	}
}

// forgives reports whether a message is too long for its command and comes from a peer
// that the operator wants: it is passed over, as in Bitcoin Core.
func (p *peer) forgives(err error) bool {
	return errors.Is(err, errTooLong) && p.node.kept(p, err) == nil
}

// lastSize is how long the payload was that came last, in bytes: one that was not
// understood was not kept.
func (p *peer) lastSize(payload []byte) int {
	if c, ok := p.conn.(interface{ lastSize() int }); ok {
		return c.lastSize()
	}
	return len(payload)
}

// received is how many bytes have come from the peer. The caller holds mu.
func (p *peer) received() uint64 {
	if c, ok := p.conn.(interface{ came() uint64 }); ok {
		return max(c.came(), p.stats.received.Total)
	}
	return p.stats.received.Total
}

// skipped notes a message that could not be read.
func (p *peer) skipped(size int, why error) {
	p.mu.Lock()
	p.stats.received.count(p.node.wall.Now(), "", p.headSize()+size)
	p.mu.Unlock()
	p.node.log.Debug("Header error", "peer", p.id, "error", why)
}

// beginWait and endWait stand around the wait for a message.
func (p *peer) beginWait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags.waiting = p.node.wall.Now()
}

func (p *peer) endWait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags.waited += p.node.wall.Since(p.flags.waiting)
	p.flags.waiting = time.Time{}
}

// waited is how long this side has waited for messages of the peer in all; the
// time that it took to handle them does not count. A peer cannot bring it down
// by sending something else than what it owes.
func (p *peer) waited(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flags.waiting.IsZero() {
		return p.flags.waited
	}
	return p.flags.waited + now.Sub(p.flags.waiting)
}

// cleanUserAgent keeps the characters that Bitcoin Core keeps of a string from
// a peer.
func cleanUserAgent(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(" .,;-_/:?@()", r)) {
			return r
		}
		return -1
	}, s)
}

func (n *Node) newPeer(ctx context.Context, conn Conn, kind connectionKind, url string, may Permissions) *peer {
	p := &peer{
		id: -1, startHeight: -1, conn: conn, kind: kind, url: url, addr: conn.RemoteAddr().String(), host: hostOf(conn.RemoteAddr()),
		connected: n.wall.Now(), out: newSendQueue(), telling: make(chan struct{}, 1), node: n,
	}
	p.ctx, p.drop = context.WithCancelCause(ctx)
	p.may = may | n.grantsOf(p.host, kind)
	p.trusted = p.may.Has(MayNotBeBanned)
	p.noTxs = kind == kindBlocks || kind == kindFeeler || n.cfg.BlocksOnly && !p.may.Has(MayRelay)
	p.flags.presynced, p.flags.addrTokens = -1, firstAddrTokens
	p.openLanes()
	p.sync.size = bytesInFlight / blocksInFlight
	p.sync.blocks = make(map[consensus.Hash]time.Time)
	p.relay.known = newRecentSet(maxKnownTxs)
	p.partials = make(map[consensus.Hash]*partialBlock)
	p.capture = n.newCapture(conn)
	return p
}

// runPeer owns a connection from here to its end. It gives the reason of the end.
func (n *Node) runPeer(ctx context.Context, conn Conn, kind connectionKind, url string) error {
	p := n.newPeer(ctx, conn, kind, url, 0)
	if err := n.arrive(p); err != nil {
		n.punish(p, err)
		p.drop(err)
		_ = conn.Close(err.Error())
		return err
	}
	return n.host(p)
}

// host runs a peer that has a place or waits for one: the handshake, the reader,
// the writer. All of it has ended when the place is given back.
func (n *Node) host(p *peer) error {
	defer n.unregister(p)
	defer p.group.Wait()
	p.group.Go(func() { // reads and writes end when the connection is closed
		<-p.ctx.Done()
		_ = p.conn.Close(n.endOf(p.ctx).Error())
	})
	defer p.drop(errClosed)
	defer n.leave(p)
	defer p.release()
	err := n.awaitPlace(p)
	if err == nil {
		err = n.converse(p.ctx, p)
	}
	if v, _ := judge(err); p.ctx.Err() != nil && v != proven {
		err = n.endOf(p.ctx) // why the connection was closed, not how that felt
	}
	n.punish(p, err)
	p.drop(err)
	return err
}

// endOf says why a connection was closed on this side. What made the whole node
// stop is nobody else's business.
func (n *Node) endOf(ctx context.Context) error {
	cause := context.Cause(ctx)
	if cause == context.Cause(n.ctx) {
		return errStopping
	}
	return cause
}

// peerTimeout is how long the handshake may take.
func (n *Node) peerTimeout() time.Duration { return cmp.Or(n.cfg.PeerTimeout, DefaultPeerTimeout) }

func (n *Node) converse(ctx context.Context, p *peer) error {
	timeout := n.peerTimeout()
	deadline := n.wall.AfterFunc(timeout, func() { p.drop(fmt.Errorf("%w within %v", errHandshakeTimeout, timeout)) })
	err := n.handshake(p)
	deadline.Stop()
	if err != nil || ctx.Err() != nil {
		return err
	}
	if p.kind == kindFeeler {
		n.book.good(p.url, p.services, n.wall.Now())
		return errFeeler
	}
	n.welcome(p)
	defer n.farewell(p)
	p.group.Go(func() { p.drop(n.writeLoop(ctx, p)) })
	defer p.awaitVerdicts() // whoever sends a bad block and hangs up is punished too
	for {
		m, err := p.read()
		if err != nil {
			return err
		}
		if p.noTxs && isAboutTxs(m) {
			return fmt.Errorf("%w: %s", errUnwanted, m.command())
		}
		if err := n.handle(p, m); err != nil {
			return err
		}
	}
}

// isAboutTxs reports whether a message brings or announces transactions.
func isAboutTxs(m message) bool {
	switch m := m.(type) {
	case msgTx:
		return true
	case *msgInv:
		return m.cmd == cmdInv && slices.ContainsFunc(m.items, func(i invItem) bool { return i.kind == invTx || i.kind == invTx|invWitness || i.kind == invWTx })
	}
	return false
}
