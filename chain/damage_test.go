package chain_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lode/chain"
	"lode/consensus"
	"lode/testnet/chaingen"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// damaged is a closed ledger to make copies of, and a longer branch for it.
type damaged struct {
	dir    string
	branch []*consensus.Block
	tip    consensus.Hash
	set    consensus.Hash
}

func makeDamaged(t *testing.T) *damaged {
	d := &damaged{dir: filepath.Join(t.TempDir(), "whole")}
	c := openGenerated(t, d.dir, false)
	a := chaingen.New(&generated.Rules, chaingen.Params{Seed: 3, Txs: 2, Outputs: 2, Fee: 1000})
	for _, b := range a.Extend(12) {
		if err := c.AddBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	d.branch = a.Fork(5, 1).Extend(9)
	d.tip, d.set = c.Tip().Hash, setHash(t, c)
	closeChain(t, c)
	return d
}

// TestDamage flips and cuts bytes anywhere in the files of a ledger. It opens, by
// itself or built anew, or says what is wrong; where it does open, the coins are
// those of its tip, before and after a reorganization.
func TestDamage(t *testing.T) {
	t.Parallel()
	d := makeDamaged(t)
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "damage")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(dir)
		at := filepath.Join(dir, "a")
		if err := os.CopyFS(at, os.DirFS(d.dir)); err != nil {
			t.Fatalf("%v", err)
		}
		damage(t, at)
		c, err := chain.Open(context.Background(), chain.Config{Dir: at, Spec: generated})
		if err != nil {
			if !strings.Contains(err.Error(), "--reindex") {
				t.Fatalf("an error that does not say what to do: %v", err)
			}
			if c, err = chain.Open(context.Background(), chain.Config{Dir: at, Spec: generated, Reindex: true}); err != nil {
				t.Fatalf("it cannot be built anew: %v", err)
			}
		}
		defer func() { c.Close() }()
		compare := func(when string) {
			if a, b := setHash(t, c), bestReplay(t, filepath.Join(dir, when), d, c); a != b {
				t.Fatalf("%s: UTXO set %s at height %d, and %s after a replay", when, a, c.Tip().Height, b)
			}
		}
		compare("opened")
		for _, b := range d.branch {
			if err = c.AddBlock(b); err != nil {
				break
			}
		}
		switch {
		case errors.Is(err, chain.ErrFatal):
			if !strings.Contains(err.Error(), "--reindex") || c.Err() == nil {
				t.Fatalf("an error that does not say what to do: %v", err)
			}
			select {
			case <-c.Failed():
			default:
				t.Fatalf("the ledger goes on after %v", err)
			}
			c.Close()
			if c, err = chain.Open(context.Background(), chain.Config{Dir: at, Spec: generated, Reindex: true}); err != nil {
				t.Fatalf("it cannot be built anew: %v", err)
			}
		case err != nil && !errors.Is(err, chain.ErrUnknownParent):
			t.Fatalf("branch: %v", err)
		}
		compare("reorganized")
	})
}

// damage flips bytes of one file, or cuts it short.
func damage(t *rapid.T, dir string) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "network" && e.Name() != "LOCK" && e.Name() != "LOG" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	name := rapid.SampledFrom(names).Draw(t, "file")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if len(data) == 0 {
		return
	}
	at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
	switch rapid.SampledFrom([]string{"flip", "flip", "zeros", "cut", "lost"}).Draw(t, "damage") {
	case "flip":
		data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
	case "zeros":
		clear(data[at:min(len(data), at+100)])
	case "cut":
		data = data[:at]
	case "lost":
		if err := os.Remove(name); err != nil {
			t.Fatalf("%v", err)
		}
		return
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatalf("%v", err)
	}
}

// bestReplay is the hash of the UTXO set at the tip of c, from blocks that were
// never damaged.
func bestReplay(t failer, dir string, d *damaged, c *chain.Chain) consensus.Hash {
	t.Helper()
	a := chaingen.New(&generated.Rules, chaingen.Params{Seed: 3, Txs: 2, Outputs: 2, Fee: 1000})
	a.Extend(12)
	known := make(map[consensus.Hash]*consensus.Block)
	for _, b := range append(a.Blocks, d.branch...) {
		known[b.Header.Hash()] = b
	}
	fresh := openGenerated(t, dir, false)
	defer closeChain(t, fresh)
	for height := uint32(1); height <= c.Tip().Height; height++ {
		hash, _ := c.HashAt(height)
		if err := fresh.AddBlock(known[hash]); err != nil {
			t.Fatalf("replay: %v", err)
		}
	}
	return setHash(t, fresh)
}
