package p2p

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lode/consensus"
)

const (
	// DefaultTxInterval is the mean time between two announcements of
	// transactions to a peer that this node chose; to others it is 2.5 times
	// that. They come at random (a Poisson process), so that nobody learns
	// from their times where a transaction came from. The numbers here are
	// Bitcoin Core's (net_processing.cpp).
	DefaultTxInterval = 2 * time.Second
	// txInvTarget is how many transactions one inv of ours announces, and
	// maxTxInv how many while very many wait; maxTxOut is how many may wait
	// to be announced to one peer.
	txInvTarget = 70
	maxTxInv    = 1000
	maxTxOut    = 10_000

	maxKnownTxs = 10_000 // remembered per peer as known to it
	maxRejected = 50_000 // remembered as refused, and as many for their fee alone
	maxReady    = 2 * maxOrphans
)

// relay passes transactions on: it knows what each peer has, what was asked of
// whom, what was refused and what waits for its parents.
type relay struct {
	wake     chan struct{}
	interval time.Duration // see DefaultTxInterval

	mu       sync.Mutex // guards what follows, and peer.relay
	peers    map[*peer]struct{}
	requests map[consensus.Hash]*txRequest // by the announced hash
	rejected *recentSet                    // since the last new tip
	cheap    *recentSet                    // likewise, but a child might pay for them; and pairs that were tried
	orphans  orphanPool
	ready    []*orphan // to be tried again

	unbroadcast map[consensus.Hash]time.Time // submitted here and asked for by nobody, by txid, since when

	inboundDue time.Time // when the next announcements go to inbound peers
}

// peerRelay is guarded by relay.mu.
type peerRelay struct {
	known    *recentSet // hashes that the peer announced, sent, or was told
	queue    []consensus.Hash
	assigned int
	inFlight int
	out      []txNews
	due      time.Time // when the next of out are announced
	lastInv  uint64    // Changes of the pool when the last were
}

// txNews is a transaction that is to be announced.
type txNews struct {
	txid, wtxid consensus.Hash
	feeRate     int64 // sat per 1000 vB
}

func newRelay(interval time.Duration) *relay {
	if interval == 0 {
		interval = DefaultTxInterval
	}
	return &relay{
		interval: interval, wake: make(chan struct{}, 1), peers: make(map[*peer]struct{}),
		requests: make(map[consensus.Hash]*txRequest), rejected: newRecentSet(maxRejected), cheap: newRecentSet(maxRejected),
		orphans: make(orphanPool), unbroadcast: make(map[consensus.Hash]time.Time),
	}
}

func (r *relay) add(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p] = struct{}{}
}

// remove asks others for what p was to send.
func (r *relay) remove(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p)
	r.orphans.forget(p)
	now := time.Now()
	for hash, req := range r.requests {
		if req.peer == p {
			r.next(hash, req, now)
		}
	}
}

// newTip forgets what was refused, because it may be good now, and has every
// orphan tried again.
func (r *relay) newTip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected.clear()
	r.cheap.clear()
	r.retry(r.orphans.takeAll())
}

// retry has orphans tried again. The caller holds mu.
func (r *relay) retry(list []*orphan) {
	r.ready = append(r.ready, list[:min(len(list), max(0, maxReady-len(r.ready)))]...)
	if len(r.ready) > 0 {
		poke(r.wake)
	}
}

// accepted announces a transaction that has come into the pool, from wherever,
// and has its orphaned children tried again. The pool calls it.
func (r *relay) accepted(_ *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announceSoon(txNews{txid, wtxid, feeRate}, time.Now())
	r.done(wtxid)
	r.done(txid)
	r.retry(r.orphans.takeChildren(txid))
	poke(r.wake)
}

// announceSoon has a transaction announced to all peers that may not know it. The
// caller holds mu.
func (r *relay) announceSoon(tx txNews, now time.Time) {
	for p := range r.peers {
		if !p.relayTxs || len(p.relay.out) >= maxTxOut || p.relay.known.has(tx.item(p).hash) {
			continue
		}
		if len(p.relay.out) == 0 {
			p.relay.due = r.nextDue(p, now)
		}
		p.relay.out = append(p.relay.out, tx)
	}
}

// nextDue draws when the next announcement goes to a peer. All inbound peers have
// one clock: whoever opens many connections learns no more from them than from
// one. The caller holds mu.
func (r *relay) nextDue(p *peer, now time.Time) time.Time {
	if !p.inbound() {
		return now.Add(exponential(r.interval))
	}
	if !r.inboundDue.After(now) {
		r.inboundDue = now.Add(exponential(r.interval * 5 / 2))
	}
	return r.inboundDue
}

// exponential draws a time from the exponential distribution.
func exponential(mean time.Duration) time.Duration {
	return time.Duration(rand.ExpFloat64() * float64(mean))
}

// firstDue is when the next announcement must be sent, if any waits.
func (r *relay) firstDue() (first time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.peers {
		if len(p.relay.out) > 0 && (!ok || p.relay.due.Before(first)) {
			first, ok = p.relay.due, true
		}
	}
	return first, ok
}

// takeDue takes what is to be announced now.
func (r *relay) takeDue(now time.Time) map[*peer][]txNews {
	r.mu.Lock()
	defer r.mu.Unlock()
	batches := make(map[*peer][]txNews)
	for p := range r.peers {
		out := p.relay.out
		if len(out) == 0 || p.relay.due.After(now) {
			continue
		}
		size := min(len(out), maxTxInv, txInvTarget+len(out)/1000*5)
		batches[p] = out[:size:size]
		if p.relay.out = out[size:]; size == len(out) {
			p.relay.out = nil
		}
		p.relay.due = r.nextDue(p, now)
	}
	return batches
}

// announceTxs sends the announcements that are due, of what is still in the pool.
func (n *Node) announceTxs(now time.Time) {
	changes := n.pool.Changes()
	for p, batch := range n.relay.takeDue(now) {
		batch = slices.DeleteFunc(batch, func(tx txNews) bool {
			_, have := n.pool.ByWTxID(tx.wtxid)
			return !have
		})
		n.relay.announce(p, batch, changes)
	}
}

func (r *relay) announce(p *peer, batch []txNews, changes uint64) {
	p.mu.Lock()
	least := p.flags.feeFilter
	p.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	var items []invItem
	for _, tx := range batch {
		item := tx.item(p)
		if tx.feeRate >= least && !p.relay.known.has(item.hash) {
			p.relay.known.add(item.hash)
			items = append(items, item)
		}
	}
	if len(items) > 0 {
		p.relay.lastInv = changes
		p.send(&msgInv{cmdInv, items})
	}
}

// item is how the transaction is announced to p.
func (tx *txNews) item(p *peer) invItem {
	if p.wtxidRelay {
		return invItem{invWTx, tx.wtxid}
	}
	return invItem{invTx, tx.txid}
}

// relayLoop sends announcements, looks at time-outs and tries orphans again,
// until ctx ends.
func (n *Node) relayLoop(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	again := time.NewTimer(untilRebroadcast())
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.relay.wake:
			n.retryOrphans()
		case now := <-timer.C:
			n.announceTxs(now)
		case now := <-ticker.C:
			n.relay.expire(now)
		case now := <-again.C:
			n.rebroadcast(now)
			again.Reset(untilRebroadcast())
		}
		if due, ok := n.relay.firstDue(); ok {
			timer.Reset(time.Until(due))
		}
	}
}

// handleTxInv asks for the announced transactions that are not known here.
func (n *Node) handleTxInv(p *peer, items []invItem) {
	fresh, orphans := n.relay.fresh(p, items)
	if len(fresh)+len(orphans) == 0 || n.InitialBlockDownload() {
		return
	}
	for _, o := range orphans {
		n.askParents(o, []*peer{p})
	}
	wanted := fresh[:0]
	for _, hash := range fresh {
		have := false
		if p.wtxidRelay {
			_, have = n.pool.ByWTxID(hash)
		} else {
			_, have = n.pool.ByTxID(hash)
		}
		if !have {
			wanted = append(wanted, hash)
		}
	}
	n.relay.mu.Lock()
	defer n.relay.mu.Unlock()
	n.relay.want(p, wanted, false)
}

// fresh notes that p knows the announced transactions, and lists those that
// were not refused before, and the orphans that p had not announced yet: it may
// have their parents. A peer announces by the one kind of hash that it agreed to
// (BIP339).
func (r *relay) fresh(p *peer, items []invItem) (list []consensus.Hash, orphans []*orphan) {
	kind := uint32(invTx)
	if p.wtxidRelay {
		kind = invWTx
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range items {
		if item.kind != kind {
			continue
		}
		p.relay.known.add(item.hash)
		if o, waits := r.orphans[item.hash]; waits {
			if o.announcedBy(p) {
				orphans = append(orphans, o)
			}
		} else if !r.rejected.has(item.hash) && !r.cheap.has(item.hash) {
			list = append(list, item.hash)
		}
	}
	return list, orphans
}
