package p2p

import (
	"slices"
	"time"

	"lode/consensus"
)

const (
	// maxTxInFlight is how many transactions one peer is asked for at a time,
	// maxTxAssigned how many it is to be asked for in all.
	maxTxInFlight = 100
	maxTxAssigned = 5000
	// maxOtherPeers is how many peers are remembered for a transaction besides
	// the one that is to send it.
	maxOtherPeers = 8
	// txTimeout is how long a peer may owe a transaction before another one
	// that announced it is asked.
	txTimeout = 20 * time.Second
)

// txRequest says who is to send a transaction, and who else has announced it.
type txRequest struct {
	peer   *peer
	since  time.Time // when peer was chosen
	sent   bool      // getdata has gone out; else the request waits in the peer's queue
	byTxID bool      // it is the parent of an orphan, of which only the txid is known
	others []*peer
}

// want has the transactions with these hashes, which p has announced, fetched
// from p, or from another that is already to send them. The caller holds mu.
func (r *relay) want(p *peer, hashes []consensus.Hash, byTxID bool) {
	if _, here := r.peers[p]; !here {
		return
	}
	now := time.Now()
	for _, hash := range hashes {
		if req, ok := r.requests[hash]; ok {
			req.remember(p)
			continue
		}
		if p.relay.assigned >= maxTxAssigned {
			continue
		}
		r.requests[hash] = &txRequest{peer: p, since: now, byTxID: byTxID}
		p.relay.assigned++
		p.relay.queue = append(p.relay.queue, hash)
	}
	r.pump(p)
}

// remember has p asked too, if those before it do not answer. Peers that this
// node dialled come before any number of those that came by themselves.
func (req *txRequest) remember(p *peer) {
	if req.peer == p || slices.Contains(req.others, p) {
		return
	}
	at := len(req.others)
	if first := slices.IndexFunc(req.others, (*peer).inbound); first >= 0 && !p.inbound() {
		at = first
	}
	req.others = slices.Insert(req.others, at, p)
	req.others = req.others[:min(len(req.others), maxOtherPeers)]
}

// pump asks p for what waits in its queue. The caller holds mu.
func (r *relay) pump(p *peer) {
	var items []invItem
	for len(p.relay.queue) > 0 && p.relay.inFlight < maxTxInFlight {
		hash := p.relay.queue[0]
		p.relay.queue = p.relay.queue[1:]
		req := r.requests[hash]
		if req == nil || req.peer != p || req.sent {
			continue
		}
		req.sent = true
		p.relay.inFlight++
		kind := uint32(invTx | invWitness)
		if p.wtxidRelay && !req.byTxID {
			kind = invWTx
		}
		items = append(items, invItem{kind, hash})
	}
	if len(p.relay.queue) == 0 {
		p.relay.queue = nil
	}
	if len(items) > 0 {
		p.send(&msgInv{cmdGetData, items})
	}
}

// release takes a request off the account of its peer. The caller holds mu.
func (req *txRequest) release() {
	req.peer.relay.assigned--
	if req.sent {
		req.peer.relay.inFlight--
	}
}

// done ends the request for a transaction that has come. The caller holds mu.
func (r *relay) done(hash consensus.Hash) {
	req, ok := r.requests[hash]
	if !ok {
		return
	}
	req.release()
	delete(r.requests, hash)
	if _, here := r.peers[req.peer]; here {
		r.pump(req.peer)
	}
}

// judged ends the request for a transaction by its txid that p was to send, or
// asks another: the witness that p sent may be a wrong one.
func (r *relay) judged(p *peer, txid consensus.Hash, have bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	req := r.requests[txid]
	switch {
	case req == nil || req.peer != p || !req.sent:
	case have:
		r.done(txid)
	default:
		r.next(txid, req, time.Now())
		r.pump(p)
	}
}

// next asks another peer, or gives up if there is none. The caller holds mu.
func (r *relay) next(hash consensus.Hash, req *txRequest, now time.Time) {
	req.release()
	for len(req.others) > 0 {
		p := req.others[0]
		req.others = req.others[1:]
		if _, here := r.peers[p]; !here || p.relay.assigned >= maxTxAssigned {
			continue
		}
		req.peer, req.since, req.sent = p, now, false
		p.relay.assigned++
		p.relay.queue = append(p.relay.queue, hash)
		r.pump(p)
		return
	}
	delete(r.requests, hash)
}

// notFound asks others for what p does not have after all.
func (r *relay) notFound(p *peer, items []invItem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, item := range items {
		if req := r.requests[item.hash]; req != nil && req.peer == p && req.sent {
			r.next(item.hash, req, now)
		}
	}
	r.pump(p)
}

// expire asks others for what is overdue, and forgets old orphans.
func (r *relay) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for hash, req := range r.requests {
		if now.Sub(req.since) > txTimeout {
			late := req.peer
			r.next(hash, req, now)
			r.pump(late)
		}
	}
	r.orphans.expire(now)
}
