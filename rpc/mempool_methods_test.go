package rpc_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/rpc"
)

// TestTestSeveral tests transactions that depend on each other, that conflict,
// and of which one is bad.
func TestTestSeveral(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 103)
	const value = 50 * consensus.SatPerCoin
	pay := func(from consensus.OutPoint, has, fee consensus.Amount) *consensus.Tx {
		return n.pay(has, []consensus.OutPoint{from}, consensus.TxOut{Value: has - fee, Script: n.script})
	}
	parent := n.payment(1, 1110)
	child := pay(consensus.OutPoint{TxID: parent.TxID()}, value-1110, 2220)
	ids := func(tx *consensus.Tx, more object) object {
		return merged(object{"txid": tx.TxID(), "wtxid": tx.WTxID()}, more)
	}
	allowed := func(tx *consensus.Tx, fee, rate string) object {
		return ids(tx, object{"allowed": true, "vsize": 111, "fees": object{
			"base": btc(fee), "effective-feerate": btc(rate), "effective-includes": []any{tx.WTxID()},
		}})
	}
	same(t, ok[any](n, "testmempoolaccept", hexes(parent, child)), []any{allowed(parent, "0.00001110", "0.00010000"), allowed(child, "0.00002220", "0.00020000")})
	if n.pool.Stats().Count != 0 {
		t.Error("a test put transactions into the pool")
	}
	// The parent pays too much, so nothing is said of the child.
	same(t, ok[any](n, "testmempoolaccept", hexes(parent, child), "0.00009990"), []any{ids(parent, object{"allowed": false, "reject-reason": "max-fee-exceeded"}), ids(child, nil)})

	// Each pays for itself.
	free, rich := n.freeParent(2, 5000)
	same(t, ok[any](n, "testmempoolaccept", hexes(free, rich)), []any{
		ids(free, object{"allowed": false, "reject-reason": "min relay fee not met", "reject-details": "min relay fee not met, 0 < 12"}), ids(rich, nil),
	})
	// What is verified before a bad signature is good.
	forged := child.Clone()
	forged.In[0].Witness = parent.In[0].Witness
	const wrong = "mempool-script-verify-flag-failed (Invalid Schnorr signature)"
	got := ok[[]object](n, "testmempoolaccept", hexes(parent, forged))
	same(t, got[0], allowed(parent, "0.00001110", "0.00010000"))
	same(t, got[1]["reject-reason"], wrong)

	packageError := func(want string, txs ...*consensus.Tx) {
		t.Helper()
		var answer []any
		for _, tx := range txs {
			answer = append(answer, ids(tx, object{"package-error": want}))
		}
		same(t, ok[any](n, "testmempoolaccept", hexes(txs...)), answer)
	}
	packageError("package-not-sorted", child, parent)
	packageError("conflict-in-package", parent, pay(n.coinbase(1), value, 9000))
	packageError("package-contains-duplicates", parent, parent)

	// Nothing is replaced, unless one is tested by itself.
	check(t, n.pool.Add(parent))
	rival := pay(n.coinbase(1), value, 9990)
	same(t, ok[any](n, "testmempoolaccept", hexes(rival, n.payment(2, 1000))), []any{
		ids(rival, object{"allowed": false, "reject-reason": "bip125-replacement-disallowed", "reject-details": "bip125-replacement-disallowed"}), ids(n.payment(2, 1000), nil),
	})
	same(t, ok[any](n, "testmempoolaccept", hexes(rival)), []any{allowed(rival, "0.00009990", "0.00090000")})
}

// TestMempoolFamily asks for the relatives of a chain of three.
func TestMempoolFamily(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	const value = 50 * consensus.SatPerCoin
	txs := []*consensus.Tx{n.payment(1, 1000)}
	for i := range 2 {
		left := value - consensus.Amount(1000*(i+1))
		txs = append(txs, n.pay(left, []consensus.OutPoint{{TxID: txs[i].TxID()}}, consensus.TxOut{Value: left - 1000, Script: n.script}))
	}
	final := n.payment(2, 1000)
	for _, tx := range append(txs, final) {
		check(t, n.pool.Add(tx))
	}
	id := txs[1].TxID()
	same(t, ok[any](n, "getmempoolancestors", id), []any{txs[0].TxID()})
	same(t, ok[any](n, "getmempooldescendants", id), []any{txs[2].TxID()})
	same(t, ok[any](n, "getmempoolancestors", txs[0].TxID(), true), object{})
	same(t, ok[object](n, "getmempooldescendants", id, true)[txs[2].TxID().String()], ok[any](n, "getmempoolentry", txs[2].TxID()))
	entry := func(tx *consensus.Tx) object {
		return object{"txid": tx.TxID(), "chunkfee": btc("0.00001000"), "chunkweight": 444}
	}
	same(t, ok[any](n, "getmempoolcluster", id), object{"weight": 1332, "txcount": 3, "txs": []any{entry(txs[0]), entry(txs[1]), entry(txs[2])}})
	same(t, ok[any](n, "getmempoolcluster", strings.Repeat("0", 64)), object{"weight": 0, "txcount": 0, "txs": []any{}})
	corner := func(weight int, fee string) object { return object{"weight": weight, "fee": btc(fee)} }
	same(t, ok[any](n, "getmempoolfeeratediagram"), []any{corner(0, "0.00000000"), corner(444, "0.00001000"), corner(888, "0.00002000"), corner(1332, "0.00003000"), corner(1776, "0.00004000")})
	for _, method := range []string{"getmempoolancestors", "getmempooldescendants"} {
		n.refused(-5, "Transaction not in mempool", method, n.coinbase(1).TxID)
		n.refused(-8, "txid must be of length 64 (not 0, for '')", method, "")
	}

	out := func(tx *consensus.Tx, index int) object { return object{"txid": tx.TxID(), "vout": index} }
	same(t, ok[any](n, "gettxspendingprevout", []any{out(txs[0], 0), out(txs[2], 0), out(txs[0], 1)}), []any{
		merged(out(txs[0], 0), object{"spendingtxid": txs[1].TxID()}), out(txs[2], 0), out(txs[0], 1),
	})
	n.refused(-8, "Invalid parameter, outputs are missing", "gettxspendingprevout", []any{})
	n.refused(-8, "Invalid parameter, vout cannot be negative", "gettxspendingprevout", []any{out(final, -1)})
	n.refused(-3, "Missing vout", "gettxspendingprevout", []any{object{"txid": id}})
	n.refused(-3, "Unexpected key more", "gettxspendingprevout", []any{merged(out(final, 0), object{"more": 1})})
	n.refused(-3, "JSON value of type string for field vout is not of expected type number", "gettxspendingprevout", []any{object{"txid": id, "vout": "0"}})
	n.refused(-3, "JSON value of type number is not of expected type object", "gettxspendingprevout", []any{1})
}

// TestSaveMempool saves, and has another pool load it.
func TestSaveMempool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, "regtest", 101, func(cfg *rpc.Config) { cfg.Dir = dir })
	tx := n.payment(1, 1000)
	check(t, n.pool.Add(tx))
	path := filepath.Join(dir, "mempool.dat")
	same(t, ok[any](n, "savemempool"), object{"filename": path})
	other := mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigcheck.New(10), Policy: mempool.DefaultPolicy(), Now: n.clock.Now})
	other.Load(t.Context(), path)
	if _, there := other.ByTxID(tx.TxID()); !there {
		t.Error("what was saved is not loaded")
	}

	// Nobody overwrites a file that is not loaded yet, or that cannot be written.
	early := newNodeWith(t, chain.Config{}, "regtest", 0, func(cfg *rpc.Config) {
		cfg.Pool = mempool.New(mempool.Config{Ledger: n.chain, Sigs: sigcheck.New(10), Policy: mempool.DefaultPolicy(), Now: n.clock.Now})
	})
	early.refused(-1, "The mempool was not loaded yet", "savemempool")
	check(t, os.RemoveAll(dir))
	if _, failure := n.call("savemempool"); failure == nil || failure.Code != -1 || !strings.HasPrefix(failure.Message, "Unable to dump mempool to disk: ") {
		t.Errorf("saved into nothing: %+v", failure)
	}
}
