package p2p

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"lode/consensus"
	"lode/internal/clock"
	"lode/p2p/orphanage"
	"lode/p2p/txrequest"
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

	maxKnownTxs  = 10_000  // remembered per peer as known to it
	maxRejected  = 50_000  // remembered as refused, and as many for their fee alone
	maxConfirmed = 100_000 // ids of transactions remembered as confirmed
)

// relay passes transactions on: it knows what each peer has, what was asked of
// whom, what was refused and what waits for its parents. Who is asked, and what is
// kept of the orphans, is decided by requests and orphans; relay has the lock.
type relay struct {
	wall     *clock.Face
	wake     chan struct{}      // something is to be announced or to be tried again
	tip      chan struct{}      // there is a new one
	waiters  chan chan struct{} // one to close when that was followed
	interval time.Duration      // see DefaultTxInterval

	mu        sync.Mutex // guards what follows, and peer.relay
	peers     map[*peer]struct{}
	requests  *txrequest.Tracker[*peer]
	orphans   *orphanage.Orphanage[*peer]
	rejected  *recentSet // since the last new tip
	cheap     *recentSet // likewise, but a child might pay for them; and pairs that were tried
	confirmed *recentSet // by recent blocks, by both ids
	reverted  *recentSet // likewise, before blocks were reverted last
	tips      uint64     // new tips that were dealt with so far

	arrivals arrivals

	unbroadcast map[consensus.Hash]time.Time // submitted here and asked for by nobody, by txid, since when

	inboundDue time.Time // when the next announcements go to inbound peers
}

// peerRelay is guarded by relay.mu.
type peerRelay struct {
	known   *recentSet // hashes that the peer announced, sent, or was told
	out     []txNews
	due     time.Time // when the next of out are announced
	lastInv uint64    // Changes of the pool when the last were
}

// txNews is a transaction that is to be announced.
type txNews struct {
	txid, wtxid consensus.Hash
	feeRate     int64  // sat per 1000 vB
	number      uint64 // see arrivals
}

func newRelay(interval time.Duration, wall *clock.Face) *relay {
	if interval == 0 {
		interval = DefaultTxInterval
	}
	return &relay{
		wall: wall, interval: interval, wake: make(chan struct{}, 1), tip: make(chan struct{}, 1), waiters: make(chan chan struct{}), peers: make(map[*peer]struct{}),
		requests: txrequest.New[*peer](wall.Now(), newRandom()), orphans: orphanage.New[*peer](newRandom()),
		rejected: newRecentSet(maxRejected), cheap: newRecentSet(maxRejected), confirmed: newRecentSet(maxConfirmed), reverted: newRecentSet(maxConfirmed),
		arrivals: newArrivals(), unbroadcast: make(map[consensus.Hash]time.Time),
	}
}

// newRandom makes a source of numbers that nobody can guess.
func newRandom() *rand.Rand {
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return rand.New(rand.NewChaCha8(seed))
}

func (r *relay) add(p *peer, changes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[p] = struct{}{}
	p.relay.lastInv = changes
	if !p.noTxs {
		r.requests.Connect(p, txrequest.Peer{Preferred: p.isPreferred(), Unlimited: p.may.Has(MayRelay), WTxIDs: p.wtxidRelay})
	}
}

// remove forgets p, and has others asked for what it was to send.
func (r *relay) remove(p *peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.peers, p)
	r.orphans.Disconnect(p)
	r.requests.Disconnect(p)
	poke(r.wake)
}

// accepted announces a transaction that has come into the pool, from wherever,
// and has its orphaned children tried again. The pool calls it.
func (r *relay) accepted(tx *consensus.Tx, txid, wtxid consensus.Hash, feeRate int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.announceSoon(txNews{txid, wtxid, feeRate, r.arrivals.add(txid)}, r.wall.Now())
	if r.confirmed.has(txid) || r.reverted.has(txid) { // it comes back from a block, which all have seen
		r.arrivals.forget(txid)
	}
	r.requests.Forget(wtxid)
	r.requests.Forget(txid)
	r.orphans.Remove(wtxid)
	r.orphans.ParentCame(txid, len(tx.Out))
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
	if p.trusted {
		return now
	}
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

// firstDue is when the next announcement or request must be sent, if any waits.
func (r *relay) firstDue() (first time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, ok = r.requests.Next()
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

// relayLoop sends announcements and requests when they are due, and tries orphans
// again, until ctx ends. at is the tip when it begins.
func (n *Node) relayLoop(ctx context.Context, at consensus.Hash) {
	ticker := n.wall.NewTicker(time.Second) // no request waits for less than that
	defer ticker.Stop()
	timer := n.wall.NewTimer(0)
	defer timer.Stop()
	again := n.chores.NewTimer(untilRebroadcast())
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.relay.wake:
			n.retryOrphans()
		case <-n.relay.tip:
			at = n.followTip(at)
		case settled := <-n.relay.waiters:
			at = n.followTip(at)
			n.retryOrphans()
			close(settled)
		case now := <-timer.C:
			n.announceTxs(now)
		case <-ticker.C:
		case <-again.C:
			n.rebroadcast(n.wall.Now()) // not that of the chores
			again.Reset(untilRebroadcast())
		}
		n.askTxs(n.wall.Now())
		if due, ok := n.relay.firstDue(); ok {
			timer.ResetAt(due)
		}
	}
}
