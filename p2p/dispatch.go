package p2p

import (
	"fmt"
	"time"

	"lode/consensus"
	"lode/p2p/txrequest"
)

// handle acts on one message of a peer after the handshake. An error ends the
// connection; punish decides what it says about the peer.
func (n *Node) handle(p *peer, m message) error {
	if block, ok := m.(msgBlock); ok {
		return n.handleBlock(p, block.Block)
	}
	p.awaitVerdicts()
	switch m := m.(type) {
	case msgEmpty:
		return n.handleEmpty(p, m)
	case *msgVersion:
		n.log.Debug(fmt.Sprintf("redundant version message from peer=%d", p.id))
	case msgPing:
		p.tellAddrs(n.wall.Now()) // what is due goes first
		n.askFirst(p)
		if p.version >= pingNonceVersion {
			p.pong(msgPong(m))
		}
	case msgPong:
		p.gotPong(m)
	case shortPong:
		p.gotShortPong()
	case msgFeeFilter:
		p.setFeeFilter(int64(m), n.cfg.Spec.Rules.MaxMoney)
	case msgAddr:
		list := make(msgAddrV2, len(m))
		for i := range m {
			list[i] = m[i].v2()
		}
		return n.learnAddrs(p, list)
	case msgAddrV2:
		return n.learnAddrs(p, m)
	case *msgInv:
		return n.handleInv(p, m)
	case *msgLocate:
		n.answerLocate(p, m)
	case msgHeaders:
		err := n.handleHeaders(p, m)
		p.unasked = true
		p.notePresync()
		return err
	case msgTx:
		n.handleTx(p, m.Tx)
		p.untried = true
	case msgSendCmpct:
		p.setCompact(m)
	case *msgCmpctBlock:
		return n.handleCompact(p, m)
	case *msgBlockTxn:
		return n.handleBlockTxn(p, m)
	case *msgGetBlockTxn:
		if !p.out.requestTxs(m.hash, m.indexes) {
			return fmt.Errorf("%w: more than %d transactions by getblocktxn", errFlood, maxQueuedPlaces)
		}
	case *msgGetFilters:
		return n.answerFilters(p, m)
	}
	return nil
}

// askFirst has done, before a ping of p is answered, what p has occasioned: the blocks
// are asked for that it has shown by headers, and the orphans are tried again whose
// parents it has sent. Whoever waits for the pong knows, as in Bitcoin Core, that it was
// all dealt with.
func (n *Node) askFirst(p *peer) {
	if p.unasked {
		p.unasked = false
		n.awaitLoop(p, n.sync.looks)
	}
	if p.untried {
		p.untried = false
		n.awaitLoop(p, n.relay.waiters)
	}
}

// awaitLoop waits until a loop has gone round once, or p is gone.
func (n *Node) awaitLoop(p *peer, loop chan<- chan struct{}) {
	round := make(chan struct{})
	select {
	case loop <- round:
	case <-p.ctx.Done():
		return
	}
	select {
	case <-round:
	case <-p.ctx.Done():
	}
}

func (n *Node) handleEmpty(p *peer, m msgEmpty) error {
	switch m {
	case cmdWTxIDRelay, cmdSendAddrV2, cmdSendAddrURL: // must come before verack (BIP339, BIP155)
		return fmt.Errorf("%w: %s after verack", errProtocol, string(m))
	case cmdSendHeaders:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.flags.sendHeaders = true
	case cmdGetAddr:
		n.answerGetAddr(p)
	case cmdMempool:
		return n.answerMempool(p)
	case cmdFilterLoad, cmdFilterAdd, cmdFilterClear:
		return fmt.Errorf("%w: %s", errBloom, string(m))
	}
	return nil
}

func (n *Node) handleInv(p *peer, m *msgInv) error {
	switch m.cmd {
	case cmdGetData:
		if !p.out.request(m.items) {
			return fmt.Errorf("%w: more than %d things by getdata", errFlood, maxQueuedRequests)
		}
	case cmdNotFound:
		n.txsNotFound(p, m.items)
		n.sync.notFound(p, m.items)
	default:
		items := m.items
		if len(items) > maxHeardInv && !p.trusted && !p.may.Has(MayRelay) { // no honest peer announces so much at once
			items = items[:maxHeardInv]
		}
		n.handleTxInv(p, items)
		n.handleBlockInv(p, items)
	}
	return nil
}

// maxHeardInv is how many things of one inv are looked at: as many transactions of a
// peer as are remembered. Bitcoin Core announces at most 1,000 at a time.
const maxHeardInv = txrequest.MaxAnnouncements

const (
	pingInterval = 2 * time.Minute
	pongTimeout  = 20 * time.Minute
)

// keepAlive sends a ping when one is due, and drops a peer that does not answer.
func (p *peer) keepAlive(now time.Time) {
	p.mu.Lock()
	since, waits := now.Sub(p.flags.pingSent), p.flags.pingNonce != 0
	p.mu.Unlock()
	if waits && since > pongTimeout {
		p.drop(errNoPong)
	} else if since >= pingInterval {
		p.ping(now)
	}
}

// pong answers a ping.
func (p *peer) pong(nonce msgPong) {
	if !p.out.answerPing(nonce) {
		p.drop(errSlowReader)
	}
}

// ping sends a ping unless one is under way.
func (p *peer) ping(now time.Time) {
	p.mu.Lock()
	f := &p.flags
	waits := f.pingNonce != 0
	if !waits {
		f.pingNonce, f.pingSent = randomNonce()|1, now // never zero
	}
	nonce := f.pingNonce
	if p.version < pingNonceVersion {
		f.pingNonce = 0 // it answers none
	}
	p.mu.Unlock()
	switch {
	case waits:
	case p.version < pingNonceVersion:
		p.send(msgEmpty(cmdPing))
	default:
		p.send(msgPing(nonce))
	}
}

func (p *peer) gotPong(m msgPong) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.flags
	switch {
	case f.pingNonce == 0:
		p.oddPong("Unsolicited pong without ping", m)
	case uint64(m) == f.pingNonce:
		f.pingNonce = 0
		p.stats.ping = p.node.wall.Since(f.pingSent)
		if p.stats.minPing == 0 || p.stats.ping < p.stats.minPing {
			p.stats.minPing = p.stats.ping
		}
	case m == 0: // programs that know no nonces
		p.oddPong("Nonce zero", m)
		f.pingNonce = 0
	default:
		p.oddPong("Nonce mismatch", m)
	}
}

// gotShortPong ends the wait for a pong.
func (p *peer) gotShortPong() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oddPong("Short payload", 0)
	p.flags.pingNonce = 0
}

// oddPong notes a pong that answers no ping. The caller holds mu.
func (p *peer) oddPong(what string, m msgPong) {
	p.node.log.Debug(fmt.Sprintf("pong peer=%d: %s", p.id, what), "expected", p.flags.pingNonce, "received", uint64(m))
}

func (p *peer) setFeeFilter(rate int64, most consensus.Amount) {
	if rate < 0 || rate > int64(most) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags.feeFilter = rate
}
