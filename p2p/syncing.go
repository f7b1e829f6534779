package p2p

import (
	"time"

	"lode/consensus"
)

const (
	// syncPatience is how long nothing may come of the blocks that peers have
	// shown before this node goes on without them.
	syncPatience = 10 * time.Second
	// syncGap is how much of a chain, by the network's spacing, may be missing
	// without stopping anybody who mines once this node was in sync.
	syncGap = 24 * time.Hour
)

// trialState says what became of a peer's claim to have a better chain.
type trialState byte

const (
	trialNone   trialState = iota // it makes none that counts
	trialOpen                     // it does, and no block of that chain has come
	trialProven                   // blocks of it have come
	trialFailed                   // none came within syncPatience: it is not believed again
)

// trial is a peer's claim to have a better chain, by its headers, which cost
// little where the difficulty is low.
//
//	none          the claim counts, see syncWatch   open
//	open          a block of the chain comes        proven
//	open          syncPatience passes               failed, for good
//	open, proven  the tip is as good                none
//
// The zero value is in the state none.
type trial struct {
	state trialState
	since time.Time // when it was opened, or the last block came
}

// came notes that a block of the chain has come.
func (t *trial) came(now time.Time) {
	if t.state == trialOpen || t.state == trialProven {
		t.state, t.since = trialProven, now
	}
}

// claim is what one peer shows.
type claim struct {
	trial *trial
	work  consensus.Work // of its chain
	ahead bool           // that is more than the tip has, the chain is not known to be bad, and the peer can send it
	named bool           // this node or its operator chose the peer
	far   bool           // more than syncGap of it is missing
}

// syncWatch tells whether a node is syncing: whether what it would mine on, or tell
// its users of, is a chain that it is about to leave.
//
//	catching up  from the start until, once, no chain that any peer shows gives
//	             hope: every claim counts
//	in sync      from then on: a claim counts where more than syncGap is missing
//	             and the peer is one that was chosen
//
// Of the claims that count those give hope whose blocks come, and for
// syncPatience new ones: all who make one within this time share it, so that any
// number of peers cannot hold a node up one after the other, and what was shown
// in vain once gives no hope again before its blocks come. Blocks that are missing at
// the tip never stop a node in sync, and neither does age. The zero value is
// catching up.
type syncWatch struct {
	inSync  bool
	begun   time.Time      // of the oldest trial that is open; zero if none is
	tried   bool           // some claim has counted
	refuted consensus.Work // the most that was shown in vain
}

// step looks at what all peers show, and reports whether the node is syncing.
// heard says that some peer has told all that it has.
func (w *syncWatch) step(now time.Time, heard bool, claims []claim) (syncing bool) {
	open := false
	for i := range claims {
		open = w.judge(&claims[i], now) || open
	}
	if !open {
		w.begun = time.Time{}
	}
	for i := range claims {
		syncing = syncing || w.givesHope(&claims[i], now)
	}
	if !syncing && (heard || w.tried) {
		w.inSync = true
	}
	return syncing
}

// judge moves the trial of a claim on, and reports whether it is open.
func (w *syncWatch) judge(c *claim, now time.Time) (open bool) {
	t := c.trial
	switch {
	case t.state == trialFailed:
	case !c.ahead:
		*t = trial{}
	case t.state == trialNone && w.counts(c):
		*t = trial{trialOpen, now}
		w.tried = true
		if w.begun.IsZero() {
			w.begun = now
		}
	case t.state == trialOpen && now.Sub(t.since) >= syncPatience:
		t.state = trialFailed
		if c.work.Gt(&w.refuted) {
			w.refuted = c.work
		}
	}
	return t.state == trialOpen
}

func (w *syncWatch) counts(c *claim) bool {
	return c.ahead && (!w.inSync || c.named && c.far)
}

func (w *syncWatch) givesHope(c *claim, now time.Time) bool {
	switch c.trial.state {
	case trialProven:
		return w.counts(c) && now.Sub(c.trial.since) < syncPatience
	case trialOpen:
		return now.Sub(w.begun) < syncPatience && c.work.Gt(&w.refuted)
	}
	return false
}

// Syncing reports whether this node fetches blocks of a chain that is far ahead of
// its own, see syncWatch, or has less work than the network's chain is known to
// have. Templates, and so mining and the pool, wait meanwhile.
func (n *Node) Syncing() bool {
	tip := n.chain.Tip()
	if tip.Work.Lt(&n.minWork) {
		return true
	}
	claims, all := n.claims(&tip), n.asksAll()
	n.sync.mu.Lock()
	defer n.sync.mu.Unlock()
	return n.sync.watch.step(n.wall.Now(), n.sync.heard(n.wall.Now(), all), claims)
}

// heard reports whether all peers were asked for headers that are asked at the start,
// and one has told all that it has. The caller holds mu.
func (s *syncer) heard(now time.Time, all bool) bool {
	if !s.headersDone || all || now.Sub(s.doneAt) >= othersWait {
		return s.headersDone
	}
	for p := range s.peers {
		if !p.sync.everAsked && p.has(serviceWitness) {
			return false
		}
	}
	return true
}

// claims lists what the peers show.
func (n *Node) claims(tip *consensus.State) []claim {
	s := n.sync
	s.mu.Lock()
	claims, peers, shown := make([]claim, 0, len(s.peers)), make([]*peer, 0, len(s.peers)), make([]headerRef, 0, len(s.peers))
	for p := range s.peers {
		best := p.sync.best
		claims = append(claims, claim{
			trial: &p.sync.trial, work: best.work, named: !p.inbound(),
			ahead: best.work.Gt(&tip.Work) && p.serves(tip.Height+1, best.height),
		})
		peers, shown = append(peers, p), append(shown, best)
	}
	s.mu.Unlock()
	for i := range claims {
		c := &claims[i]
		if c.ahead {
			_, c.ahead = n.headerRef(shown[i].hash)
		}
		if c.ahead && c.named {
			c.far = n.isFar(peers[i], shown[i], tip)
		}
	}
	return claims
}

// isFar reports whether more than syncGap of a chain that p has shown is missing
// from the active one. Where it leaves that one is looked for once, and again
// where the answer may have changed.
func (n *Node) isFar(p *peer, shown headerRef, tip *consensus.State) bool {
	gap := uint32(syncGap/time.Second) / n.cfg.Spec.Rules.TargetSpacing
	if shown.height <= gap {
		return false
	}
	if shown.height > tip.Height+gap {
		return true
	}
	n.sync.mu.Lock()
	f := p.sync.fork
	n.sync.mu.Unlock()
	if f.of == shown.hash {
		if f.tip == tip.Hash {
			return shown.height-f.at.height > gap
		}
		if info, ok := n.chain.Header(f.at.hash); ok && info.Active && shown.height-f.at.height <= gap {
			return false
		}
	}
	f = forkOf{of: shown.hash, tip: tip.Hash}
	at, steps := shown.hash, uint32(0)
	for ; steps <= 2*gap; steps++ { // deeper is far for sure
		info, ok := n.chain.Header(at)
		if !ok || info.Active {
			f.at = headerRef{at, info.Height, info.Work}
			break
		}
		at = info.Header.Prev
	}
	n.sync.mu.Lock()
	p.sync.fork = f
	n.sync.mu.Unlock()
	return shown.height-f.at.height > gap
}

// forkOf is where a chain leaves the active one.
type forkOf struct {
	of  consensus.Hash // its last header
	tip consensus.Hash // of the active chain when that was looked for
	at  headerRef
}

// movedOn notes that a block on the way to a header has come: whoever has shown
// that header seems to have its chain.
func (s *syncer) movedOn(toward consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.wall.Now()
	for p := range s.peers {
		if p.sync.best.hash == toward {
			p.sync.trial.came(now)
		}
	}
}
