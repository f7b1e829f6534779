package rpc_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc/explain"
)

// step finds a rule by its reject reason.
func step(t *testing.T, a explain.Answer, rule string) explain.Step {
	t.Helper()
	for _, s := range a.Steps {
		if s.Rule == rule {
			return s
		}
	}
	t.Fatalf("no step %q among %d", rule, len(a.Steps))
	return explain.Step{}
}

// TestExplain asks why a payment waits, was confirmed and is refused, and why blocks are
// what they are.
func TestExplain(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 103)
	answer := func(params ...any) explain.Answer { t.Helper(); return ok[explain.Answer](n, "explain", params...) }

	tx := n.payment(1, 1000)
	raw := hex.EncodeToString(tx.Bytes())
	a := answer(raw)
	same(t, []any{a.Kind, a.Place, a.Verdict, a.ID}, []any{"transaction", "nowhere", "valid", tx.TxID()})
	same(t, step(t, a, "bad-txns-in-belowout").Saw, []explain.Value{{Name: "in", Value: "5000000000 sat"}, {Name: "out", Value: "4999999000 sat"}})
	if s := step(t, a, "Invalid Schnorr signature"); s.Source != "BIP340" || !strings.HasPrefix(s.Code, "consensus/trace.go:") || !s.OK {
		t.Errorf("the signature is explained by %+v", s)
	}

	check(t, n.pool.Add(tx))
	a = answer(tx.TxID().String())
	same(t, []any{a.Place, a.Verdict, len(a.Waits)}, []any{"mempool", "valid", 1})
	same(t, a.Waits[0].For, "block")
	child := n.payment(1, 5000) // a double spend that replaces it
	bad := child.Clone()
	bad.In[0].Witness[0][7] ^= 1
	a = answer(hex.EncodeToString(bad.Bytes()))
	same(t, []any{a.Verdict, a.Reason}, []any{"refused", "mempool-script-verify-flag-failed (Invalid Schnorr signature)"})
	same(t, []any{step(t, a, "Invalid Schnorr signature").OK, a.Waits[0].For}, []any{false, "conflict"})

	n.mine(1)
	a = answer(tx.TxID().String())
	same(t, []any{a.Place, a.Verdict, *a.Height}, []any{"chain", "valid", uint32(104)})
	block := *a.Block
	same(t, answer(tx.TxID().String(), block.String()).Verdict, "valid")
	a = answer(104)
	same(t, []any{a.Kind, a.Place, a.Verdict, a.ID, step(t, a, "bad-txns-inputs-missingorspent").Times}, []any{"block", "chain", "valid", block, 1})
	same(t, []any{answer("0").Verdict, len(answer(0).Steps)}, []any{"valid", 0})
	same(t, answer(50).Verdict, "valid") // its coins are long spent: the undo data has them

	b, err := n.chain.Block(block)
	check(t, err)
	b.Nonce++
	for limit := n.chain.Rules().Limit(); b.Header.Hash().MeetsTarget(&limit); {
		b.Nonce++
	}
	a = answer(hex.EncodeToString(b.Bytes()))
	same(t, []any{a.Kind, a.Place, a.Verdict, a.Reason, len(a.Steps)}, []any{"block", "nowhere", "refused", "high-hash", 1})
	header := hex.EncodeToString(b.Header.Append(nil))
	same(t, []any{answer(header).Kind, answer(header).Reason}, []any{"header", "high-hash"})

	n.refused(-5, "this node knows neither a block nor a transaction of this name (a transaction in an older block needs --txindex, or the hash of that block)", "explain", strings.Repeat("ab", 32))
	n.refused(-5, "this node knows neither a block nor a transaction of this name: the chain has no block at height 999 yet", "explain", 999)
	n.refused(-22, "this is no hash, height, or block or transaction in hex", "explain", "xyz")
	n.refused(-22, "this is no hash, height, or block or transaction in hex: it is larger than 4100000 bytes", "explain", strings.Repeat("00", explain.MaxBytes+1))
}

// TestExplainABranch has a block judged that lies on a branch whose coins are not those
// at the tip, and that was never connected.
func TestExplainABranch(t *testing.T) {
	t.Parallel()
	n := newNode(t, "regtest", 102)
	spender := n.payment(1, 1000)
	check(t, n.pool.Add(spender))
	good := solve(n.template())
	n.mine(3) // the coin that it spends is spent now
	check(t, n.chain.AddBlock(good))
	a := ok[explain.Answer](n, "explain", good.Header.Hash().String())
	same(t, []any{a.Place, a.Verdict, a.Reason}, []any{"branch", "valid", ""})
	m := newNode(t, "regtest", 0)
	for height := range uint32(102) {
		check(t, m.chain.AddBlock(n.block(height+1)))
	}
	check(t, m.chain.AddBlock(good))
	again := m.template()
	again.Txs = append(again.Txs, spender)
	again.Seal()
	a = ok[explain.Answer](n, "explain", hex.EncodeToString(solve(again).Bytes()))
	same(t, []any{a.Verdict, a.Reason}, []any{"refused", string(consensus.ErrOverwrite)})
	same(t, []any{step(t, a, string(consensus.ErrMissingInputs)).OK, step(t, a, string(consensus.ErrOverwrite)).OK}, []any{false, false})
	same(t, m.submit(again), string(consensus.ErrOverwrite))
}
