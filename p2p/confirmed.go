package p2p

import (
	"slices"

	"lode/consensus"
)

// maxFollowed is over how many blocks the relay follows the chain block by block.
// After more nobody waits for transactions from before.
const maxFollowed = 16

// newTip has the relay look what a new tip changes.
func (r *relay) newTip() { poke(r.tip) }

// followTip deals with the blocks from one tip to the present one, and gives that:
// what they contain is not asked for any more, orphans that spend what they made are
// tried again, and what was refused is not any more, because it may be good now.
func (n *Node) followTip(from consensus.Hash) consensus.Hash {
	tip := n.chain.Tip()
	if tip.Hash == from {
		return from
	}
	added, reverted, ok := n.pathTo(tip.Hash, from)
	if n.InitialBlockDownload() || n.Syncing() {
		ok = false // there are many to come
	}
	n.relay.atTip(reverted || !ok)
	for _, hash := range added {
		var block *consensus.Block
		if ok {
			block, ok = n.blockOf(hash)
		}
		if !ok {
			n.relay.retryAll()
			break
		}
		n.relay.follow(block)
	}
	poke(n.relay.wake)
	return tip.Hash
}

// pathTo lists the blocks that lead from one tip to another, the oldest first, and
// reports whether others were reverted for them; ok is false if they are too many.
func (n *Node) pathTo(tip, from consensus.Hash) (added []consensus.Hash, reverted, ok bool) {
	old := n.ancestors(from)
	added = n.ancestors(tip)
	at := slices.IndexFunc(added, func(hash consensus.Hash) bool { return slices.Contains(old, hash) })
	if at >= 0 {
		reverted, added = added[at] != from, added[:at]
	}
	slices.Reverse(added)
	return added, reverted, at >= 0
}

// ancestors lists a block and those before it, as far as the relay looks.
func (n *Node) ancestors(hash consensus.Hash) (list []consensus.Hash) {
	for len(list) <= maxFollowed {
		list = append(list, hash)
		info, ok := n.chain.Header(hash)
		if !ok || info.Height == 0 {
			break
		}
		hash = info.Header.Prev
	}
	return list
}

// blockOf is a block of the ledger.
func (n *Node) blockOf(hash consensus.Hash) (*consensus.Block, bool) {
	if b, ok := n.compacts.get(hash); ok {
		return b.block, true
	}
	payload, err := n.chain.BlockBytes(hash)
	if err != nil {
		return nil, false
	}
	block, err := consensus.DecodeBlock(payload)
	return block, err == nil
}

// atTip begins to deal with a new tip. If blocks were reverted, what they contained
// is not confirmed any more.
func (r *relay) atTip(reverted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tips++
	r.rejected.clear()
	r.cheap.clear()
	if reverted {
		r.confirmed, r.reverted = r.reverted, r.confirmed
		r.confirmed.clear()
	}
}

// follow deals with a block of the active chain.
func (r *relay) follow(block *consensus.Block) {
	ids := make([][2]consensus.Hash, len(block.Txs))
	for i, tx := range block.Txs {
		ids[i] = [2]consensus.Hash{tx.TxID(), tx.WTxID()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, tx := range block.Txs {
		for _, id := range ids[i] {
			r.confirmed.add(id)
			r.requests.Forget(id)
		}
		delete(r.unbroadcast, ids[i][0])
		r.orphans.Confirmed(tx, ids[i][0])
	}
}

// retryAll has every orphan tried again.
func (r *relay) retryAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orphans.RetryAll()
}
