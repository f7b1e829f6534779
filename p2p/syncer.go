package p2p

import (
	"context"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lode/consensus"
	"lode/internal/clock"
)

// headerRef is a header and how good its chain is. The zero value is worse than
// any.
type headerRef struct {
	hash   consensus.Hash
	height uint32
	work   consensus.Work
}

func (r headerRef) known() bool { return !r.work.IsZero() }

// peerSync is what a peer has of the chain and what it was asked for. It is
// guarded by syncer.mu.
type peerSync struct {
	best headerRef // the most work that the peer has shown
	sent headerRef // the most work that it was told of

	aside headerRef // what best was, with the most work, while that cannot be followed, see cannotFollow

	unchecked consensus.Hash // best, if it came by a compact block, and what was best before
	before    headerRef

	everAsked   bool           // for headers
	asked       time.Time      // for headers, unanswered; zero if not
	followed    bool           // it was asked for a block that it had announced, see mayFollow
	heardOf     consensus.Hash // the last block that it has announced and that was not known here
	mute        time.Time      // since when it has been asked and has sent no headers
	again       bool           // since then it has announced what the answer may not reach
	early       time.Time      // when it gave a header that this node's clock does not allow yet; zero if it was asked since
	lastFull    consensus.Hash // the end of its last full headers message
	unconnected int            // headers messages in a row whose parent is not known
	paused      bool           // it has more headers than there is room for, see headerHold
	resume      consensus.Hash // the last before those; zero for what is best here
	recounted   time.Time      // when its headers were last compared with the ledger

	withheld int       // blocks that others had to send after it was asked, since it has last sent one
	gaveTip  bool      // it has sent a new tip
	lastCame time.Time // when it last sent a block that it owed

	late int // compact blocks in a row that it sent unasked when the block was here

	catchUp catchUp
	holdUp  holdUp
	trial   trial  // of its claim to have a better chain
	fork    forkOf // where best leaves the active chain, if that was looked for

	judged   int                          // blocks that it has sent and that are being judged
	size     int                          // of its last blocks, on average, bytes
	blocks   map[consensus.Hash]time.Time // asked for and not come, since when
	progress time.Duration                // peer.waited when the last of them came, or the first was asked for
	flows    bool                         // the last of them came when the next was asked for already
	pace     time.Duration                // between two that came so, on average; 0 if there were none
}

// blockRequest says who is to send a block, or has sent it.
type blockRequest struct {
	peer  *peer // the first, or who has taken over from it
	at    time.Time
	here  bool           // it has come, and is being judged
	asked []*peer        // all that were asked, at least once each
	parts []partsRequest // who was asked for what is missing of its compact form
}

// syncer knows what every peer has and what was asked of whom.
type syncer struct {
	wall    *clock.Face
	wake    chan struct{}      // there may be something to ask for
	tip     chan struct{}      // the chain has changed
	waiters chan chan struct{} // one to close when that has been announced
	looks   chan chan struct{} // one to close when what is shown now has been asked for

	mu          sync.Mutex // guards what follows, and peer.sync
	peers       map[*peer]struct{}
	requests    map[consensus.Hash]blockRequest
	leader      *peer          // the one that gives the headers while all are missing
	led         time.Time      // when it began
	headersDone bool           // a peer has once given all that it had
	doneAt      time.Time      // when that was
	followed    consensus.Hash // the last block for whose announcement a peer was asked, see mayFollow
	fast        []*peer        // announce by compact blocks; the one that last gave a new tip comes last

	hold  *headerHold
	swept time.Time // when what nobody holds was last compared with the ledger

	most headerRef // the most work that anybody has shown
	grew time.Time // when that did

	watch       syncWatch
	initial     initialDownload
	initialOver atomic.Bool // as initial says, to be read without mu
}

func newSyncer(wall *clock.Face) *syncer {
	return &syncer{
		wall: wall, waiters: make(chan chan struct{}), looks: make(chan chan struct{}), wake: make(chan struct{}, 1), tip: make(chan struct{}, 1),
		peers: make(map[*peer]struct{}), requests: make(map[consensus.Hash]blockRequest), hold: newHeaderHold(),
	}
}

func (s *syncer) add(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers[p] = struct{}{}
	s.hold.join(p.id, !p.inbound())
	poke(s.wake)
}

// remove frees what was asked of p for others.
func (s *syncer) remove(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, p)
	s.hold.leave(p.id)
	for hash := range p.sync.blocks {
		if s.requests[hash].peer == p {
			delete(s.requests, hash)
		}
	}
	clear(p.sync.blocks)
	s.fast = slices.DeleteFunc(s.fast, func(q *peer) bool { return q == p })
	if s.leader == p {
		s.leader = nil
	}
	poke(s.wake)
}

// shown records a header that the peer must have.
func (s *syncer) shown(p *peer, ref headerRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref.work.Gt(&s.most.work) {
		s.most, s.grew = ref, s.wall.Now()
	}
	if ref.work.Gt(&p.sync.best.work) {
		p.sync.best = ref
		poke(s.wake)
	}
}

// told records a header that the peer was sent.
func (s *syncer) told(p *peer, ref headerRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref.work.Gt(&p.sync.sent.work) {
		p.sync.sent = ref
	}
}

// view is what the peer has shown and was told.
func (s *syncer) view(p *peer) (best, sent headerRef) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.sync.best, p.sync.sent
}

// ahead gives the peers that have shown at least so much work and can send blocks,
// and what they have shown. Those that this node dialled come first: what any
// number of others owe and do not send is asked of them next.
func (s *syncer) ahead(of consensus.Work) iter.Seq2[*peer, headerRef] {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := make(map[*peer]headerRef)
	for p := range s.peers {
		if best := p.sync.best; !best.work.Lt(&of) && p.serves(best.height, best.height) {
			shown[p] = best
		}
	}
	return func(yield func(*peer, headerRef) bool) {
		for _, inbound := range []bool{false, true} {
			for p, best := range shown {
				if p.inbound() == inbound && !yield(p, best) {
					return
				}
			}
		}
	}
}

// headerRef looks up a header that is known and not invalid.
func (n *Node) headerRef(hash consensus.Hash) (headerRef, bool) {
	info, ok := n.chain.Header(hash)
	if !ok || info.Invalid {
		return headerRef{}, false
	}
	return headerRef{info.Hash, info.Height, info.Work}, true
}

// syncTick is how often time-outs are looked at.
const syncTick = time.Second

// syncLoop asks peers for headers and blocks, and announces tips other than the
// one given, until ctx ends.
func (n *Node) syncLoop(ctx context.Context, announced consensus.Hash) {
	ticker := n.wall.NewTicker(syncTick)
	defer ticker.Stop()
	d := newDownloader(n)
	defer d.alarm.Stop()
	initial := true
	for {
		var tick bool
		var settled, looked chan struct{}
		select {
		case <-ctx.Done():
			return
		case <-n.sync.wake:
		case <-n.sync.tip:
		case settled = <-n.sync.waiters:
		case looked = <-n.sync.looks:
		case <-ticker.C:
			tick = true
		}
		now := n.wall.Now()
		syncing := n.Syncing() // also where nobody asks: patience ends, and the node is in sync from then on
		if tip := n.chain.Tip(); tip.Hash != announced && (tick || settled != nil || !syncing) {
			announced = tip.Hash
			n.announce(tip)
			n.relay.newTip()
		}
		if initial && !n.InitialBlockDownload() {
			initial = false
			n.tellFilters(now)
		}
		for _, p := range n.sync.toAsk(now, n.asksAll()) {
			n.askHeaders(p, n.resumeAfter(p))
		}
		n.takeUp()
		d.schedule(now)
		n.dropOutdated(now)
		if settled != nil {
			close(settled)
		}
		if looked != nil {
			close(looked)
		}
		if tick {
			n.sweepHeaders(now)
			n.sync.dropStalled(now)
			d.dropHoldUps(now)
			n.dropMute(now)
		}
	}
}
