package mempool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
	"lode/mempool/fees"
)

// estimates is another pool on the same ledger that has read a file, and what it
// logs.
func (w *world) estimates(path string) (*mempool.Pool, string) {
	var log bytes.Buffer
	p := mempool.New(mempool.Config{
		Ledger: w.ledger, Sigs: w.sigs, Policy: w.policy, Now: func() time.Time { return w.now },
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	p.LoadEstimates(path, mempool.EstimatesMaxAge)
	return p, log.String()
}

// learn confirms four transactions of about 9 sat/vB in the next block each, and
// leaves two waiting.
func (w *world) learn(t *testing.T, blocks int) {
	t.Helper()
	coins := w.coins()
	for _, coin := range coins[len(coins)-2:] {
		w.add(t, w.pay(t, 500, 1, coin))
	}
	for i := range blocks {
		var txs []*consensus.Tx
		for k := range 4 {
			txs = append(txs, w.add(t, w.pay(t, 1000, 1, coins[4*i+k])))
		}
		w.confirm(t, txs...)
		w.check(t)
	}
}

// TestSaveEstimates stops and starts: the estimates are the same, for a time.
func TestSaveEstimates(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	path := filepath.Join(t.TempDir(), "fee_estimates.dat")
	if err := w.pool.SaveEstimates(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("a pool that has not loaded overwrites the file")
	}
	w.pool.Load(t.Context(), filepath.Join(t.TempDir(), "none"))
	w.check(t)
	w.learn(t, 12)
	rate, blocks, ok := w.pool.Estimate(2, fees.Economical)
	if !ok || rate != 1000*1000/111 {
		t.Fatalf("%d for %d blocks (%v)", rate, blocks, ok)
	}
	if err := w.pool.SaveEstimates(path); err != nil {
		t.Fatal(err)
	}
	p, log := w.estimates(path)
	for target := range 20 {
		rate, blocks, ok := w.pool.Estimate(target, fees.Economical)
		gotRate, gotBlocks, gotOK := p.Estimate(target, fees.Economical)
		if gotRate != rate || gotBlocks != blocks || gotOK != ok {
			t.Errorf("target %d: %d for %d blocks (%v), before the stop %d for %d (%v)", target, gotRate, gotBlocks, gotOK, rate, blocks, ok)
		}
	}
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "blocks=11") {
		t.Errorf("log: %s", log)
	}

	// One that stops before anything happens saves what it has read.
	p.Load(t.Context(), filepath.Join(t.TempDir(), "none"))
	if err := p.SaveEstimates(path); err != nil {
		t.Fatal(err)
	}
	if p, log := w.estimates(path); !same(t, p, w.pool) || !strings.Contains(log, "height=20") {
		t.Errorf("what was read and saved again is not the same: %s", log)
	}

	// Blocks that were not watched let it fade, until too little is left: of 48
	// transactions 20 are wanted.
	for range 300 {
		w.confirm(t)
	}
	if rate, _, ok := w.pool.Estimate(2, fees.Economical); !ok {
		t.Fatalf("%d after 300 blocks", rate)
	}
	if p, _ := w.estimates(path); !same(t, p, w.pool) {
		t.Error("blocks that were missed count otherwise than those that were watched")
	}
	for range 200 {
		w.confirm(t)
	}
	if p, _ := w.estimates(path); known(p) {
		t.Error("an estimate from next to nothing")
	}

	w.now = w.now.Add(60*time.Hour + time.Second)
	if p, log := w.estimates(path); known(p) || strings.Count(log, "\n") != 1 || !strings.Contains(log, "too old") {
		t.Errorf("what is too old counts: %s", log)
	}
	w.now = w.now.Add(-2*60*time.Hour - 2*time.Second)
	if p, log := w.estimates(path); known(p) || !strings.Contains(log, "time to come") {
		t.Errorf("what is from a time to come counts: %s", log)
	}
}

func known(p *mempool.Pool) bool {
	_, _, ok := p.Estimate(2, fees.Economical)
	return ok
}

// same reports whether two pools estimate the same for two blocks.
func same(t *testing.T, a, b *mempool.Pool) bool {
	t.Helper()
	for _, p := range []*mempool.Pool{a, b} {
		if err := p.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	rateA, _, okA := a.Estimate(2, fees.Economical)
	rateB, _, okB := b.Estimate(2, fees.Economical)
	return rateA == rateB && okA == okB
}

// TestSaveEstimatesDamaged begins anew, with one line, whatever has become of the
// file.
func TestSaveEstimatesDamaged(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	dir := t.TempDir()
	path := filepath.Join(dir, "fee_estimates.dat")
	w.pool.Load(t.Context(), filepath.Join(dir, "none"))
	w.check(t)
	w.learn(t, 12)
	if err := w.pool.SaveEstimates(path); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, v uint64) []byte {
		body := slices.Clone(good[:len(good)-32])
		binary.LittleEndian.PutUint64(body[at:], v)
		return mempool.Checked(body)
	}
	write := func(content []byte) {
		if err := errors.Join(os.WriteFile(path, content, 0o600), os.Chtimes(path, w.now, w.now)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{
		"empty": {}, "short": good[:len(good)-1], "more": append(slices.Clone(good), 0), "text": []byte(strings.Repeat("hello ", 100)), "huge": make([]byte, 1<<20),
		"version": changed(0, 1), "height": changed(8, 1<<32), "blocks": changed(16, 1<<32), "flag": changed(24, 2), "not a number": changed(32, math.Float64bits(math.NaN())),
		"below zero": changed(32, math.Float64bits(-1)), "infinite": changed(40, math.Float64bits(math.Inf(1))), "more than all": changed(32+2*8*237, math.Float64bits(1e9)),
		"shorter": mempool.Checked(good[:len(good)-40]),
	} {
		write(content)
		if p, log := w.estimates(path); known(p) || strings.Count(log, "\n") != 1 || !strings.Contains(log, "begin empty") {
			t.Errorf("%s: %q", name, log)
		}
	}
	if p, log := w.estimates(filepath.Join(dir, "none")); known(p) || strings.Count(log, "\n") != 1 {
		t.Errorf("no file: %q", log)
	}
	write(good)
	if p, _ := w.estimates(path); !known(p) {
		t.Error("the good one is not read")
	}
}

// FuzzReadEstimates reads what is no file of fee estimates, and writes again what
// it takes for one.
func FuzzReadEstimates(f *testing.F) {
	good := mempool.FreshEstimates()
	f.Add([]byte{1}, uint32(0), uint32(len(good)))
	f.Add(good[32:64], uint32(40), uint32(len(good)))
	f.Add([]byte{0xff}, uint32(19), uint32(len(good))) // more blocks than 32-bit machines count
	f.Fuzz(func(t *testing.T, part []byte, at, end uint32) {
		body := slices.Clone(good[:min(int(end), len(good))])
		copy(body[min(int(at), len(body)):], part)
		if again, ok := mempool.RewriteEstimates(body); ok && !bytes.Equal(again, body) {
			t.Error("what was read is written otherwise")
		}
	})
}

// TestLoadedEstimatesDoNotCountWhoWaitedBefore has a transaction come just before the
// saved estimates are loaded, as while a node starts: the loaded ones have not counted it
// in, and must not count it out.
func TestLoadedEstimatesDoNotCountWhoWaitedBefore(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	path := filepath.Join(t.TempDir(), "fee_estimates.dat")
	w.pool.Load(t.Context(), filepath.Join(t.TempDir(), "none"))
	w.learn(t, 12)
	if err := w.pool.SaveEstimates(path); err != nil {
		t.Fatal(err)
	}
	p := mempool.New(mempool.Config{Ledger: w.ledger, Sigs: w.sigs, Policy: w.policy, Now: func() time.Time { return w.now }, Log: slog.New(slog.DiscardHandler)})
	var txs []*consensus.Tx
	for i, coin := range w.coins()[:2] {
		tx := w.pay(t, 1000, 1, coin)
		if err := p.Add(tx); err != nil {
			t.Fatal(err)
		}
		if txs = append(txs, tx); i == 0 {
			p.LoadEstimates(path, mempool.EstimatesMaxAge)
		}
	}
	w.confirm(t, txs...)
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	if raw := p.EstimateRaw(fees.Short, 1, 0.85); raw.Pass.InMempool+raw.Fail.InMempool > 0 {
		t.Errorf("nothing waits, and yet %+v", raw)
	}
}
