package p2p

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lode/chain"
	"lode/consensus"
)

// The numbers of Bitcoin Core (net_processing.cpp, blockencodings.h).
const (
	// maxParallel is how many peers may be asked at a time for what is missing
	// of one block. The last of them is one that this node chose.
	maxParallel = 3
	// maxCompactDepth and maxTxsDepth are how many blocks below the tip a
	// compact block and parts of a block are sent; below that, the whole block.
	maxCompactDepth = 5
	maxTxsDepth     = 10
	// maxCompactAhead is how many blocks above the tip a compact block is put
	// together.
	maxCompactAhead = 2
)

const (
	// maxPartials is how many blocks are put together from one peer at a time.
	maxPartials = 3
	// maxCompactSize bounds, in bytes, a compact block that is sent unasked.
	maxCompactSize = 200_000
)

// setCompact notes how the peer wants blocks announced. Other versions than ours
// are not spoken (BIP152 has a node offer each that it speaks).
func (p *peer) setCompact(m msgSendCmpct) {
	if m.version != compactVersion {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags.compact, p.flags.fast = true, m.highBandwidth
}

// offerCompact tells the peer that compact blocks are understood here.
func (p *peer) offerCompact() {
	if p.version >= compactBlockVersion {
		p.send(msgSendCmpct{false, compactVersion})
	}
}

func (p *peer) speaksCompact() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags.compact
}

// asksCompact reports whether p is asked for blocks in compact form. Without others'
// transactions hardly any could be put together.
func (n *Node) asksCompact(p *peer) bool { return !n.cfg.BlocksOnly && p.speaksCompact() }

func (p *peer) wantsCompact() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags.fast
}

// submit gives a block to the ledger. Peers that want that get it before, in
// compact form: BIP152 allows it as soon as the block follows one that is valid
// and its header commits to its transactions.
func (n *Node) submit(block consensus.HashedBlock) (chain.Status, error) {
	var v chain.Verdict
	if to := n.wantCompact(); len(to) == 0 { // so it is while syncing, and then the ledger is busy
		v = n.chain.SubmitHashed(block)[0]
	} else if checked, err := n.cfg.Spec.Rules.CheckHashed(block); err != nil {
		v.Err = err
	} else {
		if b := n.forward(checked, to); b != nil {
			defer close(b.judged)
		}
		v = n.chain.SubmitChecked(checked)[0]
	}
	return v.Status, v.Err
}

// wantCompact lists the peers that want a new block before it is judged.
func (n *Node) wantCompact() (peers []*peer) {
	for _, p := range n.ready() {
		if p.version >= uncheckedBlockVersion && p.wantsCompact() {
			peers = append(peers, p)
		}
	}
	return peers
}

// forward sends a new block on to peers if it may be, and gives what was sent.
func (n *Node) forward(checked *consensus.CheckedBlock, to []*peer) *compactBlock {
	tip, block, hash := n.chain.Tip(), checked.Block(), checked.Hash()
	info, known := n.chain.Header(hash)
	if !known || info.Invalid || info.HaveBlock || block.Prev != tip.Hash || n.Syncing() {
		return nil
	}
	if n.cfg.Spec.Rules.CheckBlockAfter(&tip, checked) != nil {
		return nil
	}
	b, ok := newCompactBlock(block, hash)
	if !ok || len(b.payload) > maxCompactSize || !n.compacts.put(b) {
		return nil
	}
	for _, p := range to {
		n.forwardTo(p, b, headerRef{hash, info.Height, info.Work})
	}
	return b
}

// forwardTo sends a block to a peer that has the one before it, and not itself.
func (n *Node) forwardTo(p *peer, b *compactBlock, ref headerRef) {
	p.telling <- struct{}{}
	defer func() { <-p.telling }()
	n.noteHeard(p)
	best, sent := n.sync.view(p)
	if best.hash == ref.hash || sent.hash == ref.hash || best.work.Gt(&ref.work) ||
		max(n.lastCommon(best), n.lastCommon(sent))+1 < ref.height {
		return
	}
	p.sendRaw(cmdCmpctBlock, b.payload)
	n.sync.told(p, ref)
}

// handleCompact learns of a block, and puts it together if it may be the next tip.
// Nobody is punished for what is in it: the peer may not have checked that.
func (n *Node) handleCompact(p *peer, m *msgCmpctBlock) error {
	hash := m.header.Hash()
	if err := n.cfg.Spec.Rules.CheckWorkOf(&m.header, hash); err != nil {
		return fmt.Errorf("%w: %w", errInvalidHeader, err)
	}
	parent, ok := n.chain.Header(m.header.Prev)
	if !ok {
		n.askHeadersOnce(p)
		return nil
	}
	if info, known := n.chain.Header(hash); known && info.Invalid && !info.Invalidated ||
		!known && n.lowWork(parent.Work, msgHeaders{m.header}) {
		return nil
	}
	if err := n.addHeaders(p, hashedHeaders{msgHeaders{m.header}, []consensus.Hash{hash}}, false); err != nil {
		n.fatal(err)
		if errors.Is(err, errNoRoom) {
			return nil
		}
		if errors.Is(err, consensus.ErrTimeTooNew) {
			n.fromFuture(p, &m.header)
		}
		if errors.Is(err, chain.ErrInvalidated) {
			n.noteShown(p, hash)
			return nil
		}
		if errors.Is(err, chain.ErrKnownInvalid) { // meanwhile
			return nil
		}
		return n.chainFault(p, err, errInvalidHeader)
	}
	info, _ := n.chain.Header(hash)
	ref, tip := headerRef{hash, info.Height, info.Work}, n.chain.Tip()
	if info.HaveBlock {
		n.cameLate(p, hash)
		n.sync.shownCompact(p, ref)
		n.sync.arrived(p, hash, true)
		return nil
	}
	if !info.Work.Gt(&tip.Work) || info.Height > tip.Height+maxCompactAhead {
		n.sync.shownCompact(p, ref)
		if n.sync.asked(p, hash) {
			n.askWhole(p, hash)
		}
		return nil
	}
	mayAsk := len(p.partials) < maxPartials && n.sync.claim(p, hash, true)
	if !mayAsk && p.tried == hash { // it takes long, and would give the same
		return nil
	}
	p.tried = hash
	n.sync.shownCompact(p, ref) // not before: the whole would be asked for
	return n.assemble(p, hash, m, mayAsk)
}

// assemble puts a block together from what is here, and asks p for the rest if
// it may.
func (n *Node) assemble(p *peer, hash consensus.Hash, m *msgCmpctBlock, mayAsk bool) error {
	size := 0
	for i := range m.prefilled {
		size += m.prefilled[i].tx.Size()
	}
	if _, waits := p.partials[hash]; waits {
		return nil // it sends the same again
	}
	b, ok := newPartial(m)
	if !ok || size > largeMessage { // that would be kept until the rest comes
		n.askWhole(p, hash)
		return nil
	}
	n.pool.Each(b.offer)
	n.relay.eachOrphan(b.offer)
	missing := b.missing()
	if len(missing) == 0 {
		return n.assembled(p, hash, b, nil)
	}
	if info, _ := n.chain.Header(hash); info.HaveBlock { // by now, and the pool has let go of what is in it
		n.sync.arrived(p, hash, true)
		return nil
	}
	if mayAsk {
		p.partials[hash] = b
		p.send(&msgGetBlockTxn{hash, missing})
	}
	return nil
}

// handleBlockTxn takes what was missing of a block.
func (n *Node) handleBlockTxn(p *peer, m *msgBlockTxn) error {
	b, waits := p.partials[m.hash]
	if !waits && p.misfit == m.hash {
		return fmt.Errorf("%w: transactions of block %s again, after some that did not fit", errProtocol, m.hash)
	}
	if !waits {
		return nil
	}
	delete(p.partials, m.hash)
	p.misfit = m.hash // until the block is whole
	return n.assembled(p, m.hash, b, m.txs)
}

// assembled submits a block that was put together. If it is not what its header
// commits to, which may be an accident of the short ids, the whole is asked for.
func (n *Node) assembled(p *peer, hash consensus.Hash, b *partialBlock, txs []*consensus.Tx) error {
	block, ok := b.complete(txs)
	if !ok {
		return fmt.Errorf("%w: %d transactions of block %s, others were asked for", errProtocol, len(txs), hash)
	}
	status, err := n.submit(block.Hashed())
	if consensus.IsMutation(err) {
		n.log.Debug("the parts of a compact block do not fit", "hash", hash, "peer", p.String(), "error", err)
		n.askWhole(p, hash)
		return nil
	}
	p.misfit = consensus.Hash{}
	n.took(p, hash, status, err)
	if err != nil {
		n.log.Debug("compact block refused", "hash", hash, "peer", p.String(), "error", err)
	}
	return nil
}

// took notes what became of a block that p has sent.
func (n *Node) took(p *peer, hash consensus.Hash, status chain.Status, err error) {
	n.sync.arrived(p, hash, err == nil)
	n.accountFor(p, hash)
	if err != nil {
		n.fatal(err)
		return
	}
	p.mu.Lock()
	p.stats.lastBlock = n.wall.Now()
	p.mu.Unlock()
	if status == chain.Connected && n.chain.Tip().Hash == hash && !n.Syncing() {
		n.sync.gaveTip(p)
		n.prefer(p)
	}
}

// gaveTip notes that p was the first to send a new tip.
func (s *syncer) gaveTip(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.gaveTip = true
}

// askWhole asks p for a block in full, if that is its turn; otherwise whoever is
// free is asked.
func (n *Node) askWhole(p *peer, hash consensus.Hash) {
	if n.sync.claim(p, hash, false) {
		p.send(&msgInv{cmdGetData, []invItem{{invBlock | invWitness, hash}}})
	}
}

// partsRequest is a peer that was asked for what is missing of a compact block.
type partsRequest struct {
	peer *peer
	at   time.Time
}

// claim notes that p is asked for a block, or for what is missing of one, unless
// others were.
func (s *syncer) claim(p *peer, hash consensus.Hash, parts bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.peers[p]; !here {
		return false
	}
	now := s.wall.Now()
	r, asked := s.requests[hash]
	_, owes := p.sync.blocks[hash]
	pushes := slices.Contains(s.fast, p)
	others := asked && r.peer != p
	if asked && !parts { // what it sent did not fit
		r.parts = slices.DeleteFunc(r.parts, func(a partsRequest) bool { return a.peer == p })
		s.requests[hash] = r
	}
	if others && !(parts && r.hasRoom(p, pushes, owes, now)) {
		delete(p.sync.blocks, hash)
		return false
	}
	if !owes && len(p.sync.blocks) >= p.sync.limit() {
		return false
	}
	s.owe(p, hash, now)
	if !others {
		r = blockRequest{peer: p, at: now, asked: r.asked, parts: r.parts}
	}
	r.asked = append(r.asked, p)
	if parts {
		r.parts = append(r.parts, partsRequest{p, now})
	}
	s.requests[hash] = r
	return true
}

// hasRoom reports whether p may be asked for parts of a block besides others: those that
// are to send blocks unasked, and a peer that was asked for the block, while there is a
// place, the last of which is for one that this node chose; any other, only while nobody
// is asked for parts. Who does not answer soon holds no place.
func (r *blockRequest) hasRoom(p *peer, pushes, owes bool, now time.Time) bool {
	all := 0
	for _, a := range r.parts {
		if a.peer != p && now.Sub(a.at) < tipPatience {
			all++
		}
	}
	if !pushes && !owes {
		return all == 0
	}
	return all < maxParallel-1 || all == maxParallel-1 && !p.inbound()
}

// isFast reports whether p is to send blocks unasked.
func (s *syncer) isFast(p *peer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.fast, p)
}

// shownCompact is shown for a header that came with a compact block: p may not
// have checked the block.
func (s *syncer) shownCompact(p *peer, ref headerRef) {
	s.mu.Lock()
	before := p.sync.best
	s.mu.Unlock()
	if ref.work.Gt(&before.work) {
		s.shown(p, ref)
		s.mu.Lock()
		defer s.mu.Unlock()
		p.sync.unchecked, p.sync.before = ref.hash, before
	}
}

// takeBack forgets that p has shown a header, if it came with a compact block.
func (s *syncer) takeBack(p *peer, hash consensus.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.sync.unchecked != hash {
		return false
	}
	p.sync.best, p.sync.unchecked = p.sync.before, consensus.Hash{}
	return true
}
