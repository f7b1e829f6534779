package mempool_test

import (
	"fmt"
	"slices"
	"testing"

	"lode/consensus"
	"lode/mempool"
)

// mirror is what somebody has who applies all moves of a pool.
type mirror struct {
	there map[consensus.Hash]consensus.Hash // witness ids by id
	fault string                            // the first that cannot be
	moves []mempool.Move                    // since it was looked at last
}

func newMirror(p *mempool.Pool) *mirror {
	m := &mirror{there: make(map[consensus.Hash]consensus.Hash)}
	p.OnMove(m.apply)
	return m
}

func (m *mirror) apply(move mempool.Move) {
	id := move.Entry.TxID
	wtxid, there := m.there[id]
	switch {
	case m.fault != "":
	case there == (move.Left == ""):
		m.fault = fmt.Sprintf("%s moves (%q) and was there before: %v", id, move.Left, there)
	case there && wtxid != move.Entry.WTxID:
		m.fault = fmt.Sprintf("%s leaves with another witness than it came with", id)
	}
	if move.Left == "" {
		m.there[id] = move.Entry.WTxID
	} else {
		delete(m.there, id)
	}
	m.moves = append(m.moves, move)
}

// check compares the mirror with the pool.
func (m *mirror) check(t failer, w *world) {
	t.Helper()
	all := w.pool.All()
	if m.fault != "" {
		t.Fatalf("%s", m.fault)
	}
	if len(all) != len(m.there) {
		t.Fatalf("the pool has %d transactions, its moves make %d", len(all), len(m.there))
	}
	for i := range all {
		if m.there[all[i].TxID] != all[i].WTxID {
			t.Fatalf("the moves do not make %s", all[i].TxID)
		}
	}
	m.moves = m.moves[:0]
}

// TestMovesSayWhy has transactions leave in each way there is.
func TestMovesSayWhy(t *testing.T) {
	policy := mempool.DefaultPolicy()
	w, done := newWorld(t, policy)
	defer done()
	m := newMirror(w.pool)
	coins := w.coins()
	expect := func(left mempool.Leaving, tx *consensus.Tx, by consensus.Hash) {
		t.Helper()
		if i := slices.IndexFunc(m.moves, func(v mempool.Move) bool { return v.Entry.TxID == tx.TxID() && v.Left == left }); i < 0 || m.moves[i].By != by {
			t.Fatalf("no move that says %q of it, by %s: %+v", left, by, m.moves)
		}
		m.check(t, w)
	}
	add := func(fee consensus.Amount, of consensus.OutPoint) *consensus.Tx {
		t.Helper()
		tx := w.pay(t, fee, 1, of)
		if err := w.pool.Add(tx); err != nil {
			t.Fatalf("%v", err)
		}
		return tx
	}
	first := add(1000, coins[0])
	expect("", first, consensus.Hash{})
	better := add(5000, coins[0])
	expect(mempool.LeftReplaced, first, better.TxID())
	w.confirm(t, better)
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("%v", err)
	}
	expect(mempool.LeftBlock, better, w.ledger.Tip().Hash)
	loser, winner := add(1000, coins[1]), w.pay(t, 2000, 1, coins[1])
	w.confirm(t, winner)
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("%v", err)
	}
	expect(mempool.LeftConflict, loser, winner.TxID())
	old := add(1000, coins[2])
	w.now = w.now.Add(policy.Expiry + 1e9)
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("%v", err)
	}
	expect(mempool.LeftExpired, old, consensus.Hash{})
	coin := slices.MaxFunc(coins, func(a, b consensus.OutPoint) int { return int(w.gen.Coins[a].Height) - int(w.gen.Coins[b].Height) })
	orphan := add(1000, coin)
	w.reorg(t, w.ledger.Tip().Height-w.gen.Coins[coin].Height+1)
	if err := w.pool.Sync(); err != nil {
		t.Fatalf("%v", err)
	}
	if _, there := w.pool.ByTxID(orphan.TxID()); !there {
		expect(mempool.LeftReorg, orphan, consensus.Hash{})
	}
	m.check(t, w)
}

// TestMoveSaysTheTipBeforeItsBlock has the pool follow two blocks in one go: what each
// takes out is told with the block before it, so that whoever orders moves among blocks
// does not put them all before the first.
func TestMoveSaysTheTipBeforeItsBlock(t *testing.T) {
	w, done := newWorld(t, mempool.DefaultPolicy())
	defer done()
	m := newMirror(w.pool)
	coins := w.coins()
	txs := []*consensus.Tx{w.add(t, w.pay(t, 1000, 1, coins[0])), w.add(t, w.pay(t, 1000, 1, coins[1]))}
	m.moves = m.moves[:0]
	var before []consensus.Hash
	for _, tx := range txs {
		before = append(before, w.gen.Tip().Hash)
		w.confirm(t, tx)
	}
	if err := w.pool.Sync(); err != nil {
		t.Fatal(err)
	}
	for i, tx := range txs {
		if len(m.moves) != 2 || m.moves[i].Entry.TxID != tx.TxID() || m.moves[i].Point != before[i] {
			t.Errorf("block %d: moves %+v, want one with the tip %s", i, m.moves, before[i])
		}
	}
	if point, _ := w.pool.Point(); point != w.gen.Tip().Hash {
		t.Errorf("the pool is at %s, the ledger at %s", point, w.gen.Tip().Hash)
	}
}
