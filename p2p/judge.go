package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"lode/chain"
	"lode/consensus"
)

// maxJudged bounds the memory, in bytes, of the blocks that are being judged. The
// ledger verifies the signatures of blocks that are submitted at the same time
// together, about 2 MB of them, and the next ones should be here when it has done
// so.
const maxJudged = 32 << 20

// maxBatch bounds the blocks of one peer that are submitted together: the first
// of them is not done before the last.
const maxBatch = maxJudged / 4

// memoryOf is about how many bytes a decoded block takes. A witness of empty
// elements takes far more than its encoding.
func memoryOf(block *consensus.Block) int64 {
	const perTx, perIn, perOut, perElement = 200, 100, 40, 24
	size := block.Size() + perTx*len(block.Txs)
	for _, tx := range block.Txs {
		size += perIn*len(tx.In) + perOut*len(tx.Out)
		for i := range tx.In {
			size += perElement * len(tx.In[i].Witness)
		}
	}
	return min(int64(size), maxJudged)
}

func (n *Node) handleBlock(p *peer, block *consensus.Block) error {
	hashed := block.Hashed()
	hash := hashed.Hash()
	delete(p.partials, hash)
	if p.misfit == hash {
		p.misfit = consensus.Hash{}
	}
	if n.sync.received(p, hash, block.Size()) {
		n.judgeLater(p, hashed)
		return nil
	}
	p.awaitVerdicts()
	if _, known := n.chain.Header(block.Prev); !known {
		return n.kept(p, errUnconnected)
	}
	if !n.wants(&block.Header, hash) {
		return n.takeAsHeader(p, &block.Header, hash)
	}
	status, err := n.submit(hashed)
	if ref, ok := n.headerRef(hash); ok && err == nil {
		n.sync.shown(p, ref)
	}
	return n.verdict(p, hash, status, err)
}

// judgeQueue holds the blocks of one peer that the ledger does not have yet.
type judgeQueue struct {
	mu      sync.Mutex // guards what follows
	blocks  []received
	working bool // a goroutine is about to take them
}

// received is a block that a peer was asked for.
type received struct {
	consensus.HashedBlock
	memory int64 // of Node.judging
}

// judgeLater has a block judged while the reader goes on.
func (n *Node) judgeLater(p *peer, block consensus.HashedBlock) {
	memory := memoryOf(block.Block())
	_ = n.judging.Acquire(context.Background(), memory) // fails only with its context
	q := &p.judge
	q.mu.Lock()
	defer q.mu.Unlock()
	q.blocks = append(q.blocks, received{block, memory})
	if !q.working {
		q.working = true
		done := make(chan struct{})
		p.verdicts = done
		p.group.Go(func() {
			defer close(done)
			n.judge(p)
		})
	}
}

// judge gives the ledger the blocks of p, all those together that have come while
// it had the ones before, until there are no more. They go in, and are blamed, in
// the order in which they came: the child of an invalid block must not be the
// reason why p has to go.
func (n *Node) judge(p *peer) {
	for batch := p.judge.take(); len(batch) > 0; batch = p.judge.take() {
		for i, v := range n.submitAll(batch) {
			if err := n.verdict(p, batch[i].Hash(), v.Status, v.Err); err != nil {
				p.drop(err)
			} else if consensus.IsMutation(v.Err) { // of a peer that is kept
				n.sync.stillOwes(p, batch[i].Hash())
			}
			n.judging.Release(batch[i].memory)
			n.sync.judged(p)
		}
	}
}

func (n *Node) submitAll(batch []received) []chain.Verdict {
	if len(batch) == 1 {
		status, err := n.submit(batch[0].HashedBlock)
		return []chain.Verdict{{Status: status, Err: err}}
	}
	blocks := make([]consensus.HashedBlock, len(batch))
	for i := range batch {
		blocks[i] = batch[i].HashedBlock
	}
	return n.chain.SubmitHashed(blocks...)
}

// take takes the next blocks; if there are none the caller must end.
func (q *judgeQueue) take() (batch []received) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, memory := 0, int64(0)
	for n < len(q.blocks) && (n == 0 || memory+q.blocks[n].memory <= maxBatch) {
		memory += q.blocks[n].memory
		n++
	}
	batch, q.blocks = q.blocks[:n:n], q.blocks[n:]
	if len(q.blocks) == 0 {
		q.blocks = nil // lets go of the array
	}
	q.working = n > 0
	return batch
}

// awaitVerdicts waits for what becomes of the blocks that p has sent: what it says
// next may follow from them. Only its reader calls it.
func (p *peer) awaitVerdicts() {
	if p.verdicts != nil {
		<-p.verdicts
		p.verdicts = nil
	}
}

// verdict deals with what became of a block that p has sent in full. The error is
// why p must go.
func (n *Node) verdict(p *peer, hash consensus.Hash, status chain.Status, err error) error {
	if n.took(p, hash, status, err); err == nil {
		return nil
	}
	if errors.Is(err, chain.ErrUnknownParent) {
		n.askHeadersOnce(p)
		return nil
	}
	if fault := n.chainFault(p, err, errInvalidBlock); fault != nil {
		return fmt.Errorf("%w (block %s)", fault, hash)
	}
	if errors.Is(err, consensus.ErrTimeTooNew) {
		n.sync.tooEarly(p)
	}
	n.log.Debug("block refused", "hash", hash, "peer", p.String(), "error", err)
	return nil
}

// stillOwes notes that what p has sent is not the block that it was asked for: it has
// the time of one that sends nothing before others are asked, or all of it would be
// asked of it again and again.
func (s *syncer) stillOwes(p *peer, hash consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.peers[p]; !here {
		return
	}
	now := s.wall.Now()
	s.owe(p, hash, now)
	s.requests[hash] = blockRequest{peer: p, at: now, asked: append(s.requests[hash].asked, p)}
}

// isWanted reports whether the operator wants this peer, so that it is kept whatever
// chain it follows, and never discouraged.
func (p *peer) isWanted() bool { return p.kind == kindManual || p.trusted }

// chainFault is blockFault, but for peers that the operator wants nil: they are kept
// whatever they follow and send.
func (n *Node) chainFault(p *peer, err, invalid error) error {
	return n.kept(p, blockFault(err, invalid))
}

// kept is the fault of a peer, or nil for one that the operator wants.
func (n *Node) kept(p *peer, fault error) error {
	if fault == nil || !p.isWanted() {
		return fault
	}
	n.complain(p, "peer kept, as the operator wants it", fault)
	return nil
}

// cannotFollow deals with the best header that p has shown where that is not, or
// not any more, one of a chain that could become the active one.
func (n *Node) cannotFollow(p *peer, best consensus.Hash) {
	info, known := n.chain.Header(best)
	switch {
	case known && !info.Invalid: // by now it is
	case !known: // it was dropped, see headerHold
		n.sync.setAside(p, best)
	case info.Invalidated:
		n.sync.setAside(p, best)
	case n.sync.takeBack(p, best) || n.sync.isJudged(p):
	case p.isWanted():
		n.sync.setAside(p, best)
		n.complain(p, "peer kept, as the operator wants it", errInvalidChain)
	default:
		p.drop(errInvalidChain)
	}
}

// setAside has what a peer has shown not count, until it can be followed again.
func (s *syncer) setAside(p *peer, hash consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if best := p.sync.best; best.hash == hash {
		if p.sync.best = (headerRef{}); best.work.Gt(&p.sync.aside.work) {
			p.sync.aside = best
		}
	}
}

// takeUp has count what was set aside and can be followed now: the operator may
// have reconsidered a block.
func (n *Node) takeUp() {
	for p, ref := range n.sync.setAsideSoFar() {
		if _, valid := n.headerRef(ref.hash); valid {
			n.sync.shown(p, ref)
			n.sync.forgetAside(p)
		}
	}
}

func (s *syncer) setAsideSoFar() map[*peer]headerRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	aside := make(map[*peer]headerRef)
	for p := range s.peers {
		if p.sync.aside.known() {
			aside[p] = p.sync.aside
		}
	}
	return aside
}

func (s *syncer) forgetAside(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sync.aside = headerRef{}
}
