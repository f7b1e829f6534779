package mempool_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
)

// loaded is another pool on the same ledger that reads a file, and what it logs.
func (w *world) loaded(path string) (*mempool.Pool, string) {
	var log bytes.Buffer
	p := mempool.New(mempool.Config{
		Ledger: w.ledger, Sigs: w.sigs, Policy: w.policy, Now: func() time.Time { return w.now },
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	w.left = p.Load(context.Background(), path)
	return p, log.String()
}

// TestSave stops and starts: everything is there again, with its time of entry
// and its priority; what has expired meanwhile is not.
func TestSave(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	path := filepath.Join(t.TempDir(), "mempool.dat")
	if err := w.pool.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a pool that has not loaded overwrites the file")
	}
	w.pool.Load(t.Context(), path)

	coins := w.coins()
	old := w.add(t, w.pay(t, 1000, 1, coins[0]))
	w.now = w.now.Add(100 * time.Hour)
	chain := []*consensus.Tx{w.add(t, w.pay(t, 1000, 1, coins[1]))}
	for range 30 {
		chain = append(chain, w.add(t, w.pay(t, 1000, 1, first(chain[len(chain)-1]))))
	}
	free := w.pay(t, 0, 1, coins[2])
	elsewhere := consensus.Hash{7}
	w.pool.Prioritise(free.TxID(), 500)
	w.pool.Prioritise(elsewhere, -3)
	w.add(t, free)
	parent, child := w.cheapParent(t, 1000, coins[3])
	w.pack(t, nil, parent, child)
	if err := w.pool.Save(path, old.TxID(), consensus.Hash{8}, chain[0].TxID()); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(w.policy.Expiry - 50*time.Hour)
	p, log := w.loaded(path)
	want := slices.DeleteFunc(ids(w.pool), func(id string) bool { return id == old.TxID().String() })
	if got := ids(p); !slices.Equal(got, want) || len(got) != 34 {
		t.Errorf("%d transactions are back, want %d", len(got), len(want))
	}
	for _, info := range p.All() {
		was, _ := w.pool.Info(info.TxID)
		if !info.Time.Equal(was.Time) || info.Modified != was.Modified {
			t.Errorf("%s came at %v with %d, not at %v with %d", info.TxID, info.Time, info.Modified, was.Time, was.Modified)
		}
	}
	if len(w.left) != 1 || w.left[0] != chain[0].TxID() {
		t.Errorf("nobody has asked for %v, want the one of those that is still here", w.left)
	}
	if got := p.Priorities(); len(got) != 2 || got[elsewhere] != -3 {
		t.Errorf("priorities %v", got)
	}
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "accepted=34") {
		t.Errorf("log: %s", log)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
}

// TestSaveDamaged begins empty, with one line, whatever has become of the file.
func TestSaveDamaged(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	path := filepath.Join(t.TempDir(), "mempool.dat")
	w.pool.Load(t.Context(), path)
	w.add(t, w.pay(t, 1000, 1, w.coins()[0]))
	if err := w.pool.Save(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(good)
	flipped[len(good)/2] ^= 1
	for name, content := range map[string][]byte{"empty": {}, "short": good[:len(good)-1], "flipped": flipped, "more": append(slices.Clone(good), 0), "text": []byte(strings.Repeat("hello ", 100))} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		p, log := w.loaded(path)
		if p.Stats().Count != 0 || strings.Count(log, "\n") != 1 || !strings.Contains(log, "begins empty") || !p.Loaded() {
			t.Errorf("%s: %d transactions, log %q", name, p.Stats().Count, log)
		}
	}
	if err := os.Truncate(path, 1<<40); err != nil { // which takes no room on the disk
		t.Fatal(err)
	}
	if p, log := w.loaded(path); p.Stats().Count != 0 || strings.Count(log, "\n") != 1 || !strings.Contains(log, "1099511627776 bytes long") || !p.Loaded() {
		t.Errorf("a huge file: %d transactions, log %q", p.Stats().Count, log)
	}
	p, log := w.loaded(filepath.Join(t.TempDir(), "none"))
	if p.Stats().Count != 0 || strings.Count(log, "\n") != 1 {
		t.Errorf("no file: log %q", log)
	}

	// A stop while it loads keeps the file.
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := w.newPool()
	stopped.Load(ctx, path)
	if err := stopped.Save(path); err != nil {
		t.Fatal(err)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, good) {
		t.Errorf("the file has changed: %v", err)
	}
}

// FuzzReadSaved reads what is no file of a mempool.
func FuzzReadSaved(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 5))
	f.Fuzz(func(_ *testing.T, body []byte) { mempool.ReadSaved(body) })
}
