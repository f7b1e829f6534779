package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"lode/chain"
	"lode/consensus"
)

const (
	// maxGetData is how many things one getdata or notfound of ours names.
	maxGetData = 1000
	// maxBlocksInv is how many blocks answer one getblocks, as in Bitcoin Core.
	maxBlocksInv = 500
)

// writeLoop sends what is queued until the connection ends.
func (n *Node) writeLoop(ctx context.Context, p *peer) error {
	var missing []invItem // asked for and not there
	for ctx.Err() == nil {
		if m, ok := p.out.nextMessage(); ok {
			if err := p.write(m.command, m.payload); err != nil {
				return err
			}
			continue
		}
		req, asked := p.out.nextRequest()
		if asked && !req.pong {
			found, err := n.serveItem(p, req)
			if err != nil {
				return err
			}
			if !found {
				missing = append(missing, req.invItem)
			}
		}
		if len(missing) > 0 && (!asked || req.pong || len(missing) == maxGetData) {
			if err := p.writeMessage(&msgInv{cmdNotFound, missing}); err != nil {
				return err
			}
			missing = nil
		}
		if req.pong {
			if err := p.writeMessage(msgPong(binary.LittleEndian.Uint64(req.hash[:]))); err != nil {
				return err
			}
		}
		if !asked {
			select {
			case <-p.out.wake:
			case <-ctx.Done():
			}
		}
	}
	return context.Cause(ctx)
}

// serveItem sends one thing that the peer asked for, when it is its turn. found is
// false if it is not there; an error is one of the connection.
func (n *Node) serveItem(p *peer, r request) (found bool, err error) {
	if r.mempool {
		return true, n.serveMempool(p)
	}
	switch r.kind {
	case invCmpct, invBlock, invBlock | invWitness:
		return n.serveBlock(p, r)
	case invTx, invTx | invWitness, invWTx:
		return n.serveTx(p, r.invItem)
	}
	return true, nil // kinds that are not served are not missing either
}

func (n *Node) serveTx(p *peer, item invItem) (found bool, err error) {
	defer n.serving.finish(p.writing)
	if err := n.serving.begin(p.ctx.Done(), p.writing, turnLight, 0); err != nil {
		return false, err
	}
	var tx *consensus.Tx
	if item.kind == invWTx {
		tx, found = n.pool.ByWTxID(item.hash)
	} else {
		tx, found = n.pool.ByTxID(item.hash)
	}
	if found && !n.relay.mayHave(p, tx.TxID()) {
		return false, nil
	}
	if !found {
		if tx, found = n.confirmedTx(item); !found {
			return false, nil
		}
	}
	n.relay.wasSent(tx)
	payload := tx.Bytes()
	if item.kind == invTx {
		payload = tx.AppendStripped(nil)
	}
	n.serving.built(p.writing, len(payload), false)
	return true, p.write(cmdTx, payload)
}

// confirmedTx looks for a transaction in the block at the tip: it was announced before,
// and helps a peer to put that block together.
func (n *Node) confirmedTx(item invItem) (*consensus.Tx, bool) {
	b, ok := n.compact(n.chain.Tip().Hash)
	if !ok {
		return nil, false
	}
	return b.find(item)
}

// tooDeep reports whether a block lies deeper than a pruned node says that it
// serves: what it has beyond that would tell it apart from others (BIP159). Two
// more, as in Bitcoin Core, are for peers that have not heard of the newest tips.
func (n *Node) tooDeep(info *chain.HeaderInfo) bool {
	return n.cfg.Pruned && info.Height+chain.KeptBlocks+2 < n.chain.Tip().Height
}

// serveBlock sends a block in one of its forms, or parts of it. Recent ones are kept
// decoded, and each peer gets them once before all else.
func (n *Node) serveBlock(p *peer, r request) (found bool, err error) {
	b, kept := n.compacts.get(r.hash)
	if kept && r.places == nil && r.kind != invCmpct {
		<-b.judged // it was announced before the ledger had it
	}
	info, known := n.chain.Header(r.hash)
	announced := kept && !b.isJudged() // before the ledger had it
	if known && n.tooDeep(&info) {
		return false, n.kept(p, errTooDeep)
	}
	if !known || !info.HaveBlock && !announced || !announced && !n.mayTell(&info) {
		return false, nil
	}
	if err := n.mayServe(p, &info); err != nil {
		return false, err
	}
	depth, tip := uint32(0), n.chain.Tip().Height
	if tip > info.Height {
		depth = tip - info.Height
	}
	kind, first := turnHeavy, p.firstOf(r.hash) && depth <= maxTxsDepth
	if first && (kept || depth == 0) {
		kind = turnPrompt
	}
	defer n.serving.finish(p.writing)
	if err := n.serving.begin(p.ctx.Done(), p.writing, kind, n.answerSize(kind, b, r)); err != nil {
		return false, err
	}
	a, err := n.answer(p, r, depth)
	if err != nil || a.payload == nil {
		return false, err
	}
	n.serving.built(p.writing, len(a.payload), !a.shared)
	if err := p.write(a.command, a.payload); err != nil || a.command != cmdBlock {
		return true, err
	}
	return true, n.continueBlocks(p, r.hash)
}

// answerSize bounds the memory of an answer before it is made. What the cache has is
// shared by all, but for parts of it.
func (n *Node) answerSize(kind turnKind, b *compactBlock, r request) int {
	if b == nil && kind == turnPrompt || b != nil && r.places == nil {
		return 0
	}
	if b != nil {
		return min(partsSize(b.block, r.places), maxPayload)
	}
	return maxPayload
}

// partsSize is how long the transactions at these places of a block are, in bytes.
// One may be asked for several times only in an order that is not allowed.
func partsSize(block *consensus.Block, places []uint16) (size int) {
	for _, at := range places {
		if int(at) < len(block.Txs) {
			size += block.Txs[at].Size()
		}
	}
	return size
}

// answer is a message about a block.
type answer struct {
	command string
	payload []byte // nil if there is none
	shared  bool   // with others: it costs no memory
}

// answer makes the message that a peer gets who asks for a block at a depth below
// the tip, as Bitcoin Core does: beyond some depth, the whole.
func (n *Node) answer(p *peer, r request, depth uint32) (a answer, err error) {
	if depth <= maxTxsDepth {
		b, ok := n.compact(r.hash)
		switch {
		case !ok:
			return answer{}, nil
		case r.places != nil:
			m, err := partsOf(b, r.places)
			if err != nil {
				return answer{}, n.kept(p, err)
			}
			return answer{cmdBlockTxn, m.append(make([]byte, 0, partsSize(b.block, r.places)+40)), false}, nil
		case r.kind == invCmpct && depth <= maxCompactDepth:
			return answer{cmdCmpctBlock, b.payload, true}, nil
		case r.kind == invBlock:
			return answer{cmdBlock, b.stripped(), true}, nil
		}
		return answer{cmdBlock, b.encoding(), true}, nil
	}
	payload, err := n.chain.BlockBytes(r.hash)
	if err != nil {
		n.cannotServe(r.hash, err)
		return answer{}, nil
	}
	if r.kind == invBlock {
		if payload, err = stripBlock(payload); err != nil {
			n.cannotServe(r.hash, err)
			return answer{}, nil
		}
	}
	return answer{cmdBlock, payload, false}, nil
}

// partsOf answers getblocktxn.
func partsOf(b *compactBlock, places []uint16) (*msgBlockTxn, error) {
	m := &msgBlockTxn{b.hash, make([]*consensus.Tx, len(places))}
	for i, at := range places {
		if int(at) >= len(b.block.Txs) {
			return nil, fmt.Errorf("%w: transaction number %d of a block with %d was asked for", errProtocol, at, len(b.block.Txs))
		}
		m.txs[i] = b.block.Txs[at]
	}
	return m, nil
}

// cannotServe logs that a block cannot be read; one that is not there is asked for
// by anybody.
func (n *Node) cannotServe(hash consensus.Hash, err error) {
	if !errors.Is(err, chain.ErrNotFound) && !errors.Is(err, chain.ErrPruned) && n.lines.allow(netip.Addr{}, n.steady.Now()) {
		n.log.Warn("cannot serve a block", "hash", hash, "error", err)
	}
}

// promptBlocks is how many recent blocks a peer gets before all else, and
// promptForms in how many answers: the compact form, what is missing of it, the
// whole.
const (
	promptBlocks = 12
	promptForms  = 3
)

// promptList is what a peer has got of recent blocks. Only its writer uses it.
type promptList struct {
	list [promptBlocks]struct {
		hash consensus.Hash
		sent int
	}
	next int
}

// firstOf notes that the peer gets something of a block, and reports whether it has
// got little of it before.
func (p *peer) firstOf(hash consensus.Hash) bool {
	l := &p.prompts
	for i := range l.list {
		if l.list[i].hash == hash {
			l.list[i].sent++
			return l.list[i].sent <= promptForms
		}
	}
	l.list[l.next].hash, l.list[l.next].sent = hash, 1
	l.next = (l.next + 1) % promptBlocks
	return true
}

// stripBlock removes the witnesses, for a peer that did not ask for them. It
// decodes one transaction at a time: a whole block may take many times its size.
func stripBlock(payload []byte) ([]byte, error) {
	d := consensus.NewDecoder(payload)
	header := d.Header()
	b := header.Append(make([]byte, 0, len(payload)))
	count := d.Count(minTxSize)
	b = consensus.AppendCompactSize(b, uint64(count))
	for range count {
		if b = d.Tx().AppendStripped(b); d.Err() != nil {
			break
		}
	}
	return b, d.Finish()
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
	if tip := n.chain.Tip(); tip.Work.Lt(&n.minWork) && !p.may.Has(MayDownload) {
		n.log.Debug("Ignoring getheaders: the active chain has too little work, sending empty response", "peer", p.String())
		p.send(headers)
		return
	}
	if len(m.locator) == 0 { // asks for one header
		info, ok := n.chain.Header(m.stop)
		if !ok || !n.mayTell(&info) {
			return
		}
		headers = msgHeaders{info.Header}
	} else {
		headers = n.chain.HeadersAfter(m.locator, m.stop, maxHeaders)
	}
	last := n.chain.Tip().Hash // where none follow, the peer has named that
	if len(headers) > 0 {
		last = headers[len(headers)-1].Hash()
	}
	if ref, ok := n.headerRef(last); ok {
		n.sync.told(p, ref)
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
