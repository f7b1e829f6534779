package p2p

import (
	"errors"
	"fmt"
	"time"

	"lode/chain"
	"lode/consensus"
)

const (
	// maxGetData is how many things one getdata or notfound of ours names.
	maxGetData = 1000
	// maxBlocksInv is how many blocks answer one getblocks, as in Bitcoin Core.
	maxBlocksInv = 500
)

// serveItem sends one thing that the peer asked for by getdata. found is false
// if it is not there; an error is one of the connection.
func (n *Node) serveItem(p *peer, r request) (found bool, err error) {
	item := r.invItem
	switch item.kind {
	case invCmpct:
		if r.places != nil {
			return n.serveTxs(p, r)
		}
		return n.serveCompact(p, item.hash)
	case invBlock, invBlock | invWitness:
		return n.serveBlock(p, item)
	case invTx, invTx | invWitness, invWTx:
		var tx *consensus.Tx
		if item.kind == invWTx {
			tx, found = n.pool.ByWTxID(item.hash)
		} else {
			tx, found = n.pool.ByTxID(item.hash)
		}
		if !found {
			return false, nil
		}
		n.relay.wasSent(tx)
		if item.kind == invTx {
			return true, p.write(cmdTx, tx.AppendStripped(nil))
		}
		return true, p.write(cmdTx, tx.Bytes())
	}
	return true, nil // kinds that are not served are not missing either
}

// tooDeep reports whether a block lies deeper than a pruned node says that it
// serves: what it has beyond that would tell it apart from others (BIP159). Two
// more, as in Bitcoin Core, are for peers that have not heard of the newest tips.
func (n *Node) tooDeep(hash consensus.Hash) bool {
	info, ok := n.chain.Header(hash)
	return n.cfg.Pruned && ok && info.Height+chain.KeptBlocks+2 < n.chain.Tip().Height
}

func (n *Node) serveBlock(p *peer, item invItem) (found bool, err error) {
	if n.tooDeep(item.hash) {
		return false, nil
	}
	if err := n.mayServe(p, item.hash); err != nil {
		return false, err
	}
	if b, ok := n.compacts.get(item.hash); ok {
		<-b.judged // it was announced before the ledger had it
	}
	payload, err := n.chain.BlockBytes(item.hash)
	if err != nil {
		if !errors.Is(err, chain.ErrNotFound) && n.lines.allow(p.host, time.Now()) {
			n.log.Warn("cannot serve a block", "hash", item.hash, "error", err)
		}
		return false, nil
	}
	if item.kind == invBlock {
		if payload, err = stripBlock(payload); err != nil {
			return false, fmt.Errorf("block %s: %w", item.hash, err)
		}
	}
	if err := p.write(cmdBlock, payload); err != nil {
		return true, err
	}
	return true, n.continueBlocks(p, item.hash)
}

// stripBlock removes the witnesses, for a peer that did not ask for them.
func stripBlock(payload []byte) ([]byte, error) {
	block, err := consensus.DecodeBlock(payload)
	if err != nil {
		return nil, err
	}
	b := block.Header.Append(make([]byte, 0, block.StrippedSize()))
	b = consensus.AppendCompactSize(b, uint64(len(block.Txs)))
	for _, tx := range block.Txs {
		b = tx.AppendStripped(b)
	}
	return b, nil
}

// answerLocate answers getheaders and getblocks. An announcement must not
// overtake the answer: Bitcoin Core does not ask a peer that owes it one
// (net_processing.cpp, HEADERS_RESPONSE_TIME), and would miss the block until
// the next is announced.
func (n *Node) answerLocate(p *peer, m *msgLocate) {
	if m.cmd == cmdGetBlocks {
		n.answerGetBlocks(p, m)
		return
	}
	p.telling <- struct{}{}
	defer func() { <-p.telling }()
	var headers msgHeaders
	if len(m.locator) == 0 { // asks for one header
		info, ok := n.chain.Header(m.stop)
		if !ok || !info.Active {
			return
		}
		headers = msgHeaders{info.Header}
	} else {
		headers = n.chain.HeadersAfter(m.locator, m.stop, maxHeaders)
	}
	if len(headers) > 0 {
		if ref, ok := n.headerRef(headers[len(headers)-1].Hash()); ok {
			n.sync.told(p, ref)
		}
	}
	p.send(headers)
}

// answerGetBlocks announces blocks. Who gets as many as one answer holds asks for
// more when it has them, see continueBlocks.
func (n *Node) answerGetBlocks(p *peer, m *msgLocate) {
	headers := n.chain.HeadersAfter(m.locator, m.stop, maxBlocksInv)
	if len(headers) == 0 {
		return
	}
	if len(headers) == maxBlocksInv {
		p.mu.Lock()
		p.flags.lastOfInv = headers[len(headers)-1].Hash()
		p.mu.Unlock()
	}
	items := make([]invItem, len(headers))
	for i := range headers {
		items[i] = invItem{invBlock, headers[i].Hash()}
	}
	p.send(&msgInv{cmdInv, items})
}

// continueBlocks announces the tip to a peer that has got the last block of an
// answer to getblocks: it does not have the blocks in between, and asks for them.
// So does Bitcoin Core.
func (n *Node) continueBlocks(p *peer, sent consensus.Hash) error {
	p.mu.Lock()
	last := p.flags.lastOfInv == sent
	if last {
		p.flags.lastOfInv = consensus.Hash{}
	}
	p.mu.Unlock()
	if !last {
		return nil
	}
	return p.writeMessage(&msgInv{cmdInv, []invItem{{invBlock, n.chain.Tip().Hash}}})
}
