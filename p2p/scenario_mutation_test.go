package p2p

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"lode/consensus"
)

// changedTx is a block with a change in one transaction, to which the merkle root
// does not commit: that is of ids without witnesses.
func changedTx(b *consensus.Block, at int, change func(in *consensus.TxIn)) *consensus.Block {
	changed := &consensus.Block{Header: b.Header, Txs: slices.Clone(b.Txs)}
	changed.Txs[at] = b.Txs[at].Clone()
	change(&changed.Txs[at].In[0])
	return changed
}

// mutations change a block of three transactions and leave its hash, and even its
// merkle root, as it is.
var mutations = map[string]func(b *consensus.Block) *consensus.Block{
	"last transaction twice": func(b *consensus.Block) *consensus.Block { // CVE-2012-2459
		return &consensus.Block{Header: b.Header, Txs: append(slices.Clone(b.Txs), b.Txs[len(b.Txs)-1])}
	},
	"another signature": func(b *consensus.Block) *consensus.Block {
		return changedTx(b, 1, func(in *consensus.TxIn) { in.Witness = [][]byte{bytes.Repeat([]byte{1}, 64)} })
	},
	"no signature": func(b *consensus.Block) *consensus.Block {
		return changedTx(b, 2, func(in *consensus.TxIn) { in.Witness = nil })
	},
	"another reserved value": func(b *consensus.Block) *consensus.Block {
		return changedTx(b, 0, func(in *consensus.TxIn) { in.Witness = [][]byte{bytes.Repeat([]byte{1}, 32)} })
	},
}

// The ways in which a liar gives a changed block. All but the last end with the
// block in full, which is a reason to disconnect.
var liarWays = map[string]func(t *testing.T, a *actor, changed *consensus.Block){
	"full": func(_ *testing.T, a *actor, changed *consensus.Block) {
		a.say(msgHeaders{changed.Header})
		a.hear(cmdGetData)
		a.say(msgBlock{changed})
		a.isCut()
	},
	"full, unasked": func(_ *testing.T, a *actor, changed *consensus.Block) {
		a.say(msgBlock{changed})
		a.isCut()
	},
	"compact, then full": func(t *testing.T, a *actor, changed *consensus.Block) {
		sayCompact(t, a, changed)
		a.hear(cmdGetData)
		a.say(msgBlock{changed})
		a.isCut()
	},
	"compact, then nothing": func(t *testing.T, a *actor, changed *consensus.Block) {
		sayCompact(t, a, changed)
		a.hear(cmdGetData)
	},
	"prefilled, then nothing": func(t *testing.T, a *actor, changed *consensus.Block) {
		m := compact(t, changed)
		m.shortIDs, m.prefilled = nil, nil
		for i, tx := range changed.Txs {
			m.prefilled = append(m.prefilled, placedTx{uint16(i), tx})
		}
		a.say(m)
		a.hear(cmdGetData)
	},
}

// sayCompact gives a block in compact form and what is missing of it. Where the
// same transaction is in it twice nothing can be missing: its short ids are the
// same.
func sayCompact(t *testing.T, a *actor, b *consensus.Block) {
	a.say(compact(t, b))
	if last := len(b.Txs) - 1; b.Txs[last] != b.Txs[last-1] {
		if asked := a.hear(cmdGetBlockTxn).(*msgGetBlockTxn); len(asked.indexes) != last {
			t.Errorf("asked for %d transactions of %d", len(asked.indexes), last)
		}
		a.say(&msgBlockTxn{b.Header.Hash(), b.Txs[1:]})
	}
}

// The ways in which somebody honest gives the block after that.
var honestWays = map[string]func(t *testing.T, s *station, a *actor, b *consensus.Block){
	"full": func(_ *testing.T, _ *station, a *actor, b *consensus.Block) {
		a.say(msgHeaders{b.Header})
		a.hear(cmdGetData)
		a.say(msgBlock{b})
	},
	"full, unasked": func(_ *testing.T, _ *station, a *actor, b *consensus.Block) { a.say(msgBlock{b}) },
	"compact":       func(t *testing.T, _ *station, a *actor, b *consensus.Block) { sayCompact(t, a, b) },
	"compact, all known": func(t *testing.T, s *station, a *actor, b *consensus.Block) {
		for _, tx := range b.Txs[1:] {
			s.submit(tx)
		}
		a.say(compact(t, b))
	},
}

// TestMutatedFirst gives a node a changed block first and the honest one with the
// same hash next, each in every way and from the same host. The honest one is
// accepted, and nobody but the liar loses a connection.
func TestMutatedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := w.add("s", nil)
		coins := rich(w, 2, s)
		const host = "203.0.113.1"
		for change, mutate := range mutations {
			for dishonestly, lie := range liarWays {
				for honestly, give := range honestWays {
					what := change + " by " + dishonestly + ", then by " + honestly
					liar, honest := w.compactActor(s, host+":1", false), w.compactActor(s, host+":2", false)
					block := s.spendingBlock(w.spec, 1, coins...)
					hash := block.Header.Hash()
					lie(t, liar, mutate(block))
					if info, ok := s.ledger.Header(hash); ok && (info.Invalid || info.HaveBlock) {
						t.Errorf("%s: the changed block left %+v", what, info)
					}
					give(t, s, honest, block)
					w.until(what, func() bool { return s.ledger.Tip().Hash == hash })
					if got, err := s.ledger.BlockBytes(hash); err != nil || !bytes.Equal(got, block.Bytes()) {
						t.Errorf("%s: stored is another block, %v", what, err)
					}
					honest.stillThere()
					_, _ = liar.Close(""), honest.Close("")
					w.until("both are gone", func() bool { return len(s.Peers()) == 0 })
					coins = block.Txs[1:]
				}
			}
		}
		if s.bans.isDiscouraged(netip.MustParseAddr(host)) {
			t.Error("the host is discouraged")
		}
		for _, line := range w.complaints.lines() {
			if !strings.Contains(line, host+":1 ") {
				t.Error(line)
			}
		}
	})
}
