package mempool

import (
	"context"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/testnet/chaingen"
)

// TestTooMuchReturns reorganizes more transactions away than may come back: the
// oldest do, on which the others depend.
func TestTooMuchReturns(t *testing.T) {
	spec := chaingen.Spec(func(s *consensus.Spec) { s.Rules.Maturity = 1 })
	c, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	g := chaingen.New(&spec.Rules, chaingen.Params{Seed: 2, Txs: 4, Outputs: 2, Fee: 1000})
	add := func(blocks []*consensus.Block) {
		for _, b := range blocks {
			if err := c.AddBlock(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(g.Extend(10))
	p := New(Config{Ledger: c, Sigs: sigcheck.New(1000), Policy: DefaultPolicy()})
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	var oldest []*consensus.Tx
	p.maxReturned = 0
	for _, b := range g.Blocks[6:8] {
		for _, tx := range b.Txs[1:] {
			oldest = append(oldest, tx)
			p.maxReturned += Memory(tx)
		}
	}
	other := g.Fork(5, 1)
	other.Params.Txs = 0
	add(other.Extend(6))
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	for i, tx := range oldest {
		if _, ok := p.ByTxID(tx.TxID()); ok != spendable(g, tx) {
			t.Errorf("transaction %d of the oldest: there %v", i, ok)
		}
	}
	if n := p.Stats().Count; n == 0 || n > len(oldest) {
		t.Errorf("%d transactions came back, of %d that may", n, len(oldest))
	}
}

// spendable reports whether what tx spends does not come from a coinbase that
// was reorganized away.
func spendable(g *chaingen.Chain, tx *consensus.Tx) bool {
	for i := range tx.In {
		id := tx.In[i].PrevOut.TxID
		for _, b := range g.Blocks[6:] {
			for n, made := range b.Txs {
				if made.TxID() == id && (n == 0 || !spendable(g, made)) {
					return false
				}
			}
		}
	}
	return true
}
