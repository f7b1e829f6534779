package p2p

import (
	"fmt"

	"lode/chain"
	"lode/consensus"
)

// Headers cost memory, and headers with little work cost little to
// make. Those of a chain that does not yet show enough work are therefore not
// kept: the peer sends them twice. In the first pass their work is added up, and
// one short hash remembered of each message; once the work is enough they are
// fetched again, and those that are the same as before are taken.
//
// This is what Bitcoin Core does (headerssync.h), but for the commitments: a
// header commits to all before it, so that the last of each message is enough.
// The difficulty is only judged in the second pass: a lie about it costs as much
// work as the truth.

const (
	// maxCommitments bounds a first pass: 32 million headers, of which 128 kB
	// are remembered.
	maxCommitments = 1 << 14
	// forkSlack is how many blocks of the tip's difficulty a chain may have
	// less work than the tip's and its headers be kept at once, as in Bitcoin
	// Core: an honest fork is not longer.
	forkSlack = 144
)

// presync is the state of the two passes over the headers of one peer.
type presync struct {
	base   chain.HeaderInfo // the last header before them that is known here
	last   consensus.Hash   // of what has come in this pass
	work   consensus.Work   // of the chain up to last, in the first pass
	hashes []uint64         // of the last header of each message of the first pass
	size   int              // of the last of these messages
	second bool
	next   int // message of the second pass
}

// follows reports whether headers are what s waits for.
func (s *presync) follows(headers msgHeaders) bool {
	return s != nil && headers[0].Prev == s.last
}

// notePresync keeps for others how far the first pass has come.
func (p *peer) notePresync() {
	height := int64(-1)
	if s := p.presync; s != nil && len(s.hashes) > 0 {
		height = int64(s.base.Height) + int64(len(s.hashes)-1)*maxHeaders + int64(s.size)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flags.presynced = height
}

// enoughWork is the work from which on a chain's headers are kept.
func (n *Node) enoughWork() consensus.Work {
	tip := n.chain.Tip()
	work := tip.Work
	if info, ok := n.chain.Header(tip.Hash); ok {
		slack := consensus.WorkFromBits(info.Header.Bits)
		slack.Mul(&slack, new(consensus.Work).SetUint64(forkSlack))
		if slack.Gt(&work) {
			slack = work
		}
		work.Sub(&work, &slack)
	}
	if work.Lt(&n.minWork) {
		work = n.minWork
	}
	return work
}

// addWork is the work of a chain that goes on with headers.
func addWork(work consensus.Work, headers msgHeaders) consensus.Work {
	for i := range headers {
		one := consensus.WorkFromBits(headers[i].Bits)
		work.Add(&work, &one)
	}
	return work
}

func (n *Node) lowWork(before consensus.Work, headers msgHeaders) bool {
	work, enough := addWork(before, headers), n.enoughWork()
	return work.Lt(&enough)
}

// beginPresync looks at headers with too little work that follow base. If there
// are more behind them these may have enough.
func (n *Node) beginPresync(p *peer, base chain.HeaderInfo, headers hashedHeaders) error {
	p.presync = &presync{base: base, last: base.Hash, work: base.Work}
	return n.presyncHeaders(p, headers)
}

// presyncHeaders takes the next headers of either pass, which follow s.last.
func (n *Node) presyncHeaders(p *peer, headers hashedHeaders) error {
	s := p.presync
	if s.second {
		return n.secondPass(p, headers)
	}
	s.last = headers.last()
	s.work = addWork(s.work, headers.msgHeaders)
	s.hashes = append(s.hashes, shortHash(s.last))
	s.size = len(headers.hashes)
	if enough := n.enoughWork(); !s.work.Lt(&enough) {
		s.second, s.last = true, s.base.Hash
		n.askHeaders(p, s.last)
		return nil
	}
	if len(headers.hashes) < maxHeaders { // it has no more
		n.log.Debug("headers with too little work", "peer", p.String(), "after", s.base.Height)
		n.endHeaders(p)
		return nil
	}
	if len(s.hashes) == maxCommitments {
		return fmt.Errorf("%w: headers without end and with too little work", errProtocol)
	}
	n.askHeaders(p, s.last)
	return nil
}

// secondPass keeps headers that are the same as in the first pass.
func (n *Node) secondPass(p *peer, headers hashedHeaders) error {
	s := p.presync
	size, final := maxHeaders, s.next == len(s.hashes)-1
	if final {
		size = s.size
	}
	if len(headers.hashes) < size || shortHash(headers.hashes[size-1]) != s.hashes[s.next] {
		// It may have changed over to another chain.
		p.presync = nil
		if n.sync.countUnconnected(p) > maxUnconnected {
			return fmt.Errorf("%w: other headers than before", errProtocol)
		}
		n.askHeaders(p, consensus.Hash{})
		return nil
	}
	if !n.roomForHeaders(p, len(headers.hashes), true) {
		n.sync.pause(p, s.last) // and then this message comes again
		return nil
	}
	s.last = headers.last()
	s.next++
	if final {
		p.presync = nil
	}
	return n.takeHeaders(p, headers, true)
}
