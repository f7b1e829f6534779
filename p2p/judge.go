package p2p

import (
	"context"
	"errors"
	"fmt"

	"lode/chain"
	"lode/consensus"
)

// maxJudged bounds the memory, in bytes, of the blocks that are being judged. The
// ledger verifies the signatures of blocks that are submitted at the same time
// together, about 2 MB of them, and the next ones should be here when it has done
// so.
const maxJudged = 32 << 20

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
	hash := block.Header.Hash()
	delete(p.partials, hash)
	if n.sync.received(p, hash) {
		n.judgeLater(p, block, hash)
		return nil
	}
	p.awaitVerdicts()
	if !n.wants(&block.Header, hash) {
		return n.takeAsHeader(p, &block.Header, hash)
	}
	status, err := n.submit(block)
	if ref, ok := n.headerRef(hash); ok && err == nil {
		n.sync.shown(p, ref)
	}
	return n.verdict(p, hash, status, err)
}

// judgeLater submits a block that p was asked for, while the reader goes on. What
// follows from the verdicts happens in the order in which the blocks came: the
// child of an invalid block must not be the reason why p has to go.
func (n *Node) judgeLater(p *peer, block *consensus.Block, hash consensus.Hash) {
	memory := memoryOf(block)
	_ = n.judging.Acquire(context.Background(), memory) // fails only with its context
	before, done := p.verdicts, make(chan struct{})
	p.verdicts = done
	p.group.Go(func() {
		defer n.judging.Release(memory)
		defer close(done)
		status, err := n.submit(block)
		if before != nil {
			<-before
		}
		if err := n.verdict(p, hash, status, err); err != nil {
			p.drop(err)
		}
	})
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
	if fault := blockFault(err, errInvalidBlock); fault != nil {
		return fmt.Errorf("%w (block %s)", fault, hash)
	}
	if errors.Is(err, consensus.ErrTimeTooNew) {
		n.sync.tooEarly(p)
	}
	n.log.Debug("block refused", "hash", hash, "peer", p.String(), "error", err)
	return nil
}
