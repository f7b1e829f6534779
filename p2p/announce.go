package p2p

import "lode/consensus"

// maxAnnounced is how many headers announce a new tip; where more are new an inv
// lets the peer ask for them (BIP130).
const maxAnnounced = 8

// maxForkDepth bounds the search for where a peer's chain leaves ours.
const maxForkDepth = 16

// announce tells every peer of a new tip that does not know it.
func (n *Node) announce(tip consensus.State) {
	for _, p := range n.ready() {
		n.announceTo(p, tip)
	}
}

func (n *Node) announceTo(p *peer, tip consensus.State) {
	p.telling <- struct{}{}
	defer func() { <-p.telling }()
	n.noteHeard(p)
	best, sent := n.sync.view(p)
	if best.hash == tip.Hash || sent.hash == tip.Hash || best.work.Gt(&tip.Work) {
		return
	}
	var headers msgHeaders
	fast := p.wantsCompact()
	if fast || p.wantsHeaders() {
		headers = n.headersFrom(max(n.lastCommon(best), n.lastCommon(sent)), tip)
	}
	switch {
	case fast && len(headers) == 1 && n.sendCompact(p, tip.Hash):
	case len(headers) > 0 && p.wantsHeaders():
		p.send(headers)
	default: // does not tell it the header: it may not ask for that
		p.send(&msgInv{cmdInv, []invItem{{invBlock, tip.Hash}}})
		return
	}
	n.sync.told(p, headerRef{tip.Hash, tip.Height, tip.Work})
}

// sendCompact sends the tip in compact form, unless that is too long.
func (n *Node) sendCompact(p *peer, tip consensus.Hash) bool {
	b, ok := n.compact(tip)
	if !ok || len(b.payload) > maxCompactSize {
		return false
	}
	p.sendRaw(cmdCmpctBlock, b.payload)
	return true
}

func (p *peer) wantsHeaders() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flags.sendHeaders
}

// lastCommon is the height of the last block of the active chain on the way to
// ref, or 0 if that is too far back: every peer has genesis.
func (n *Node) lastCommon(ref headerRef) uint32 {
	hash := ref.hash
	for range maxForkDepth {
		info, ok := n.chain.Header(hash)
		if !ok {
			break
		}
		if info.Active {
			return info.Height
		}
		hash = info.Header.Prev
	}
	return 0
}

// headersFrom lists the headers after a height of the active chain up to tip,
// or none if there are too many, or the chain changes meanwhile.
func (n *Node) headersFrom(common uint32, tip consensus.State) msgHeaders {
	if common >= tip.Height || tip.Height-common > maxAnnounced {
		return nil
	}
	headers := make(msgHeaders, tip.Height-common)
	hash := tip.Hash
	for i := len(headers) - 1; i >= 0; i-- {
		info, ok := n.chain.Header(hash)
		if !ok {
			return nil
		}
		headers[i], hash = info.Header, info.Header.Prev
	}
	if want, ok := n.chain.HashAt(common); !ok || want != hash {
		return nil
	}
	return headers
}
