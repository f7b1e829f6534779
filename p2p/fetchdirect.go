package p2p

import (
	"slices"

	"lode/consensus"
)

// fetchDirect asks a peer for the blocks on the way to a header that it has just sent,
// where nobody else would be asked: the peer does not say that it serves blocks (one that
// says it serves all or the newest has its place in schedule), or has shown a chain with
// more work before. It must be at least as good as the tip and leave the active chain not
// far from it. As in Bitcoin Core (HeadersDirectFetchBlocks).
func (n *Node) fetchDirect(p *peer, last consensus.Hash) {
	if !p.has(serviceWitness) || n.Syncing() {
		return
	}
	tip := n.chain.Tip()
	ref, valid := n.headerRef(last)
	if best, _ := n.sync.view(p); !valid || ref.work.Lt(&tip.Work) || best.hash == last && p.serves(best.height, best.height) {
		return
	}
	var wanted []consensus.Hash
	for at, steps := last, 0; len(wanted) <= blocksInFlight; steps++ {
		info, ok := n.chain.Header(at)
		if !ok || info.Invalid || steps > maxUnaskedAhead {
			return
		}
		if info.Active {
			break
		}
		if !info.HaveBlock && !n.sync.isAsked(at) {
			wanted = append(wanted, at)
		}
		at = info.Header.Prev
	}
	if len(wanted) > blocksInFlight {
		return
	}
	slices.Reverse(wanted)
	var items []invItem
	for _, hash := range n.sync.claimAll(p, wanted) {
		items = append(items, invItem{invBlock | invWitness, hash})
	}
	if len(items) == 1 && p.speaksCompact() && n.followsTip(items[0].hash) {
		items[0].kind = invCmpct
	}
	if len(items) > 0 {
		p.send(&msgInv{cmdGetData, items})
	}
}

// isAsked reports whether somebody owes a block.
func (s *syncer) isAsked(hash consensus.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, asked := s.requests[hash]
	return asked
}

// claimAll notes that p is asked for blocks that nobody owes, as many as it may owe.
func (s *syncer) claimAll(p *peer, blocks []consensus.Hash) (claimed []consensus.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.peers[p]; !here {
		return nil
	}
	now := s.wall.Now()
	for _, hash := range blocks {
		if _, asked := s.requests[hash]; !asked && len(p.sync.blocks) < blocksInFlight {
			s.owe(p, hash, now)
			s.requests[hash] = blockRequest{peer: p, at: now, asked: []*peer{p}}
			claimed = append(claimed, hash)
		}
	}
	return claimed
}
