package wallet

import (
	"cmp"
	"slices"

	"lode/consensus"
)

// State is what became of a transaction.
type State string

// The states of a transaction. None is final: a reorganization may undo any.
//
//	confirmed    a block of the chain holds it
//	pending      own, or in the node's mempool; nothing speaks against it
//	replaced     a pending transaction spends a coin of it, or of one that it builds on
//	conflicted   a confirmed one does
//	abandoned    its owner gave it up, or one that it builds on
//	dropped      not own, in no block, not in the node's mempool, and no rival is known
const (
	StateConfirmed  State = "confirmed"
	StatePending    State = "pending"
	StateReplaced   State = "replaced"
	StateConflicted State = "conflicted"
	StateAbandoned  State = "abandoned"
	StateDropped    State = "dropped"
)

// verdict is the state of a transaction, and the one that is to blame for it.
type verdict struct {
	state State
	by    consensus.Hash // of a rival, if replaced or conflicted
}

// live reports whether what the transaction makes and spends counts.
func (v verdict) live() bool { return v.state == StateConfirmed || v.state == StatePending }

// judge works out the state of every transaction that is in no block.
func (j *journal) judge() map[*record]verdict {
	g := judgement{j, make(map[*record]verdict)}
	list := j.unconfirmed()
	for _, r := range list {
		g.againstBlocks(r)
	}
	// Of rivals the one that the node has comes first, then the one that was made
	// or seen last: the other was replaced by it.
	slices.SortStableFunc(list, func(a, b *record) int {
		return cmp.Or(cmp.Compare(rank(b), rank(a)), cmp.Compare(b.seq, a.seq))
	})
	for _, r := range list {
		g.againstRivals(r)
	}
	return g.verdicts
}

func rank(r *record) int {
	switch {
	case r.pooled:
		return 2
	case r.own:
		return 1
	}
	return 0
}

// verdict is that of any transaction of the journal.
func verdictOf(verdicts map[*record]verdict, r *record) verdict {
	if r.confirmed() {
		return verdict{state: StateConfirmed}
	}
	return verdicts[r]
}

type judgement struct {
	*journal
	verdicts map[*record]verdict // of those in no block
}

// Marks of a transaction that nothing is held against so far, and of one whose
// parents are being looked at.
const (
	open     State = ""
	deciding State = "deciding"
)

// againstBlocks finds what contradicts the chain, or what its owner gave up.
func (g *judgement) againstBlocks(r *record) {
	v := verdict{state: open}
	if r.abandoned {
		v.state = StateAbandoned
	}
	for i := range r.tx.In {
		for _, rival := range g.spenders(r.tx.In[i].PrevOut) {
			if rival != r && rival.confirmed() {
				v = verdict{StateConflicted, rival.id}
			}
		}
	}
	g.verdicts[r] = v
}

// againstRivals decides, in the order of rank, which of several pending
// transactions that spend one coin counts. What builds on one that does not count
// shares its fate.
func (g *judgement) againstRivals(r *record) verdict {
	v := g.verdicts[r]
	if v.state != open {
		return v
	}
	g.verdicts[r] = verdict{state: deciding} // no cycle can be, but a damaged file must not hang us
	v.state = StatePending
	if !r.own && !r.pooled {
		v.state = StateDropped
	}
	for i := range r.tx.In {
		o := r.tx.In[i].PrevOut
		if parent := g.byID.of(o.TxID); parent != nil && !parent.confirmed() {
			if above := g.againstRivals(parent); !above.live() && (v.state == StatePending || above.by != (consensus.Hash{})) {
				v = above
			}
		}
		for _, rival := range g.spenders(o) {
			if rival != r && g.verdicts[rival].state == StatePending {
				v = verdict{StateReplaced, rival.id}
			}
		}
	}
	g.verdicts[r] = v
	return v
}
