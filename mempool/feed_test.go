package mempool_test

import (
	"context"
	"encoding/hex"
	"slices"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/consensus/sigcheck"
	"lode/mempool"
	"lode/testnet/feed"
)

// poolLine is a transaction and what Bitcoin Core 30.99 said of it, see
// testdata/README.md.
type poolLine struct {
	Label         string           `json:"label"`
	Hex           string           `json:"hex"`
	Allowed       bool             `json:"allowed"`
	Reason        string           `json:"reason"`
	PoolSize      int              `json:"pool_size"`
	PoolVBytes    int              `json:"pool_vbytes"`
	TxIDs         []consensus.Hash `json:"txids"`
	CoinbaseValue consensus.Amount `json:"coinbasevalue"`
}

// afterFeed is a pool on top of the chain that feed-a leads to.
func afterFeed(t *testing.T) (*mempool.Pool, *consensus.Rules) {
	t.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	sigs := sigcheck.New(100_000)
	c, err := chain.Open(context.Background(), chain.Config{Dir: t.TempDir(), Spec: spec, Sigs: sigs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	blocks, err := feed.Read[struct {
		Hex, Result string
	}]("../chain/testdata/feed-a.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range blocks {
		if line.Hex == "" || line.Result != "" && line.Result != "inconclusive" {
			continue
		}
		if err := c.AddBlock(decode(t, line.Hex, consensus.DecodeBlock)); err != nil && line.Result == "" {
			t.Fatal(err)
		}
	}
	return mempool.New(mempool.Config{Ledger: c, Sigs: sigs, Policy: mempool.DefaultPolicy()}), &spec.Rules
}

func decode[T any](t *testing.T, text string, decode func([]byte) (T, error)) T {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPoolFeed replays transactions that Bitcoin Core has judged: its answer to
// each, the size of its pool after each, and its pool at the end must be ours,
// and our template must pay at least what its template paid.
func TestPoolFeed(t *testing.T) {
	pool, rules := afterFeed(t)
	lines, err := feed.Read[poolLine]("testdata/pool-a.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		if line.Hex == "" {
			checkEnd(t, pool, rules, line)
			continue
		}
		tx := decode(t, line.Hex, consensus.DecodeTx)
		reason := ""
		if err := pool.Add(tx); err != nil {
			reason, _ = mempool.Reason(err)
		}
		if reason == string(consensus.ErrMissingInputs) {
			reason = "missing-inputs" // what testmempoolaccept calls it
		}
		if reason != line.Reason {
			t.Errorf("line %d (%s): reason %q, want %q", i, line.Label, reason, line.Reason)
		}
		if s := pool.Stats(); s.Count != line.PoolSize || s.VBytes != line.PoolVBytes {
			t.Fatalf("line %d (%s): %d transactions of %d vB, want %d of %d", i, line.Label, s.Count, s.VBytes, line.PoolSize, line.PoolVBytes)
		}
	}
}

func checkEnd(t *testing.T, pool *mempool.Pool, rules *consensus.Rules, line poolLine) {
	var have []string
	for _, info := range pool.All() {
		have = append(have, info.TxID.String())
	}
	var want []string
	for _, id := range line.TxIDs {
		want = append(want, id.String())
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("pool at the end has %d transactions, want the %d of Bitcoin Core", len(have), len(want))
	}
	s, err := pool.Select(rules.MaxBlockWeight-8000, rules.MaxBlockSigopsCost-400)
	if err != nil {
		t.Fatal(err)
	}
	if pays := s.Fees + rules.Subsidy(s.Tip.Height+1); pays < line.CoinbaseValue {
		t.Errorf("template pays %d, that of Bitcoin Core %d", pays, line.CoinbaseValue)
	}
}
