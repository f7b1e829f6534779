package chain_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"lode/chain"
	"lode/consensus"
	"lode/testnet/feed"
)

// feedLine is one block and what Bitcoin Core 30.99 said of it, see
// testdata/README.md.
type feedLine struct {
	Label     string         `json:"label"`
	Hex       string         `json:"hex"`
	Result    string         `json:"result"`
	Tip       consensus.Hash `json:"tip"`
	TipHeight uint32         `json:"tip_height"`
	Kind      string         `json:"kind"`
	Info      struct {
		Height   uint32         `json:"height"`
		TxOuts   uint64         `json:"txouts"`
		BogoSize uint64         `json:"bogosize"`
		Hash     consensus.Hash `json:"hash_serialized_3"`
		MuHash   consensus.Hash `json:"muhash"`
	} `json:"info"`
}

// submit answers as submitblock does.
func submit(t *testing.T, c *chain.Chain, text string) string {
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	d := consensus.NewDecoder(raw)
	block := d.Block()
	if d.Err() != nil {
		return "error: Block decode failed"
	}
	block.FillReservedValue()
	status, err := c.SubmitBlock(block)
	if err != nil {
		reason, ok := chain.Reason(err)
		if !ok {
			t.Fatal(err)
		}
		return reason
	}
	return map[chain.Status]string{chain.Stored: "inconclusive", chain.Duplicate: "duplicate"}[status]
}

// TestFeed replays blocks that Bitcoin Core has judged: its answer and its tip
// after every one of them must be ours, and its UTXO set at the end.
func TestFeed(t *testing.T) {
	for _, name := range []string{"feed-a", "feed-b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replay(t, "testdata/"+name+".jsonl.gz")
		})
	}
}

func replay(t *testing.T, name string) {
	dir := t.TempDir()
	c := open(t, dir, false)
	lines, err := feed.Read[feedLine](name)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		switch {
		case line.Hex != "":
			if strings.Contains(name, "feed-a") {
				checkExplanation(t, c, line)
			}
			if got := submit(t, c, line.Hex); got != line.Result {
				t.Errorf("line %d (%s): result %q, want %q", i, line.Label, got, line.Result)
			}
			if tip := c.Tip(); tip.Hash != line.Tip || tip.Height != line.TipHeight {
				t.Fatalf("line %d (%s): tip %s at %d, want %s at %d", i, line.Label, tip.Hash, tip.Height, line.Tip, line.TipHeight)
			}
		case line.Kind == "hash_serialized_3":
			c = checkSet(t, c, dir, line)
		case line.Kind == "muhash":
			if s, err := c.UTXOMuHash(t.Context()); err != nil || s.Hash != line.Info.MuHash {
				t.Errorf("muhash %s %v, want %s", s.Hash, err, line.Info.MuHash)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkExplanation wants the explanation of a block, before it is submitted, to be what
// Bitcoin Core says of it, as far as the ledger's own memory plays no part.
func checkExplanation(t *testing.T, c *chain.Chain, line feedLine) {
	raw, err := hex.DecodeString(line.Hex)
	if err != nil {
		t.Fatal(err)
	}
	d := consensus.NewDecoder(raw)
	block := d.Block()
	if d.Err() != nil {
		return
	}
	block.FillReservedValue()
	var trace consensus.Trace
	err = c.Explain(block, &trace)
	got, _ := chain.Reason(err)
	steps := trace.Steps()
	switch want := line.Result; {
	case want == "duplicate" || want == "duplicate-invalid" || want == "duplicate-inconclusive":
	case want == "inconclusive":
	case got != want:
		t.Errorf("%s: the explanation ends with %q, the verdict is %q", line.Label, got, want)
	case err != nil && (len(steps) == 0 || !slices.ContainsFunc(steps, func(s consensus.Step) bool { return s.Err != nil })):
		t.Errorf("%s: no step says %v", line.Label, err)
	}
}

// checkSet compares the UTXO set: as it is, after a restart, and after the
// database was built anew from the block files.
func checkSet(t *testing.T, c *chain.Chain, dir string, line feedLine) *chain.Chain {
	compare := func(when string) {
		s, err := c.UTXOStats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := line.Info; s.Hash != want.Hash || s.Coins != want.TxOuts || s.BogoSize != want.BogoSize || s.Height != want.Height {
			t.Errorf("%s: UTXO set %+v, want %+v", when, s, want)
		}
	}
	compare("after the feed")
	for _, reindex := range []bool{false, true} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		c = open(t, dir, reindex)
		compare(fmt.Sprintf("after a restart, reindex %v", reindex))
	}
	return c
}

func open(t *testing.T, dir string, reindex bool) *chain.Chain {
	t.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	c, err := chain.Open(context.Background(), chain.Config{Dir: dir, Spec: spec, Reindex: reindex})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
