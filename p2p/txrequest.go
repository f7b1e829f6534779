package p2p

import (
	"time"

	"lode/consensus"
	"lode/p2p/orphanage"
)

// maxDue bounds how many announcements are dealt with while the lock is held.
const maxDue = 2000

// isPreferred reports whether p is asked for transactions before others: this node
// has dialled it or trusts it, and it is a node.
func (p *peer) isPreferred() bool {
	return (!p.inbound() || p.trusted) && (p.has(serviceNetwork) || p.has(serviceNetworkLimited))
}

// handleTxInv has the announced transactions asked for that are not known here.
func (n *Node) handleTxInv(p *peer, items []invItem) {
	fresh, orphans := n.relay.fresh(p, items)
	if len(fresh)+len(orphans) == 0 || n.InitialBlockDownload() {
		return
	}
	for _, o := range orphans {
		n.resolve(p, o)
	}
	wanted := fresh[:0]
	for _, hash := range fresh {
		if !n.inPool(hash, !p.wtxidRelay) {
			wanted = append(wanted, hash)
		}
	}
	now := n.wall.Now()
	n.relay.mu.Lock()
	for _, hash := range wanted {
		n.relay.requests.Announce(now, p, hash, !p.wtxidRelay)
	}
	n.relay.mu.Unlock()
	n.askTxs(now)
}

func (n *Node) inPool(hash consensus.Hash, byTxID bool) (have bool) {
	if byTxID {
		_, have = n.pool.ByTxID(hash)
	} else {
		_, have = n.pool.ByWTxID(hash)
	}
	return have
}

// fresh notes that p knows the announced transactions, and lists those that are not
// known here to be confirmed or refused, as many as p may announce, and the orphans
// that p had not announced yet: it may have their parents. A peer announces by the
// one kind of hash that it agreed to (BIP339).
func (r *relay) fresh(p *peer, items []invItem) (list []consensus.Hash, orphans []orphanage.Orphan) {
	kind := uint32(invTx)
	if p.wtxidRelay {
		kind = invWTx
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	room := r.requests.Room(p)
	for _, item := range items {
		if item.kind == invTx|invWitness { // so neutrino announces
			item.kind = invTx
		}
		if item.kind != kind {
			continue
		}
		p.relay.known.add(item.hash)
		if len(list) >= room {
			continue
		}
		if o, waits := r.orphans.Get(item.hash); waits {
			if !r.orphans.AnnouncedBy(p, item.hash) {
				orphans = append(orphans, o)
			}
		} else if !r.rejected.has(item.hash) && !r.cheap.has(item.hash) && !r.confirmed.has(item.hash) {
			list = append(list, item.hash)
		}
	}
	return list, orphans
}

// askTxs asks peers for what is to be asked of them now.
func (n *Node) askTxs(now time.Time) {
	n.relay.mu.Lock()
	due := n.relay.requests.Requests(now, maxDue)
	n.relay.mu.Unlock()
	batches := make(map[*peer][]invItem)
	for _, r := range due {
		if n.inPool(r.Hash, r.ByTxID) { // it came while the announcement was being looked at
			n.relay.mu.Lock()
			n.relay.requests.Forget(r.Hash)
			n.relay.mu.Unlock()
			continue
		}
		item := invItem{invWTx, r.Hash}
		if r.ByTxID {
			item.kind = invTx | invWitness
		}
		if batches[r.Peer] = append(batches[r.Peer], item); len(batches[r.Peer]) == maxGetData {
			r.Peer.send(&msgInv{cmdGetData, batches[r.Peer]})
			delete(batches, r.Peer)
		}
	}
	for p, items := range batches {
		p.send(&msgInv{cmdGetData, items})
	}
}

// answered ends what was asked of p, which has sent a transaction that was judged.
// By its wtxid nobody else needs to be asked for it; by its txid others are, unless
// it has come in: the witness that p sent may be a wrong one.
func (n *Node) answered(p *peer, tx orphanage.Orphan) {
	_, have := n.pool.ByTxID(tx.TxID)
	r := n.relay
	r.mu.Lock()
	if tx.WTxID != tx.TxID { // without a witness it could be anybody's mutilation
		r.requests.Forget(tx.WTxID)
	}
	if have {
		r.requests.Forget(tx.TxID)
	} else {
		r.requests.Failed(p, tx.TxID)
	}
	r.mu.Unlock()
	n.askTxs(n.wall.Now())
}

// txsNotFound has others asked for what p does not have after all.
func (n *Node) txsNotFound(p *peer, items []invItem) {
	n.relay.mu.Lock()
	for _, item := range items {
		n.relay.requests.Failed(p, item.hash)
	}
	n.relay.mu.Unlock()
	n.askTxs(n.wall.Now())
}
