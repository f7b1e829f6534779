package mempool_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"lode/consensus"
	"lode/mempool"
)

// obfuscate makes Bitcoin Core's version 2 of its version 1.
func obfuscate(v1, key []byte) []byte {
	v2 := append(binary.LittleEndian.AppendUint64(nil, 2), byte(len(key)))
	v2 = append(v2, key...)
	for _, b := range v1[8:] {
		v2 = append(v2, b^key[len(v2)%len(key)])
	}
	return v2
}

func TestImport(t *testing.T) {
	w := startWorld(t, mempool.DefaultPolicy())
	dir := t.TempDir()
	w.pool.Load(t.Context(), filepath.Join(dir, "none"))
	tx := w.add(t, w.pay(t, 1000, 1, w.coins()[0]))
	elsewhere := consensus.Hash{7}
	w.pool.Prioritise(elsewhere, 3)
	own := filepath.Join(dir, "own.dat")
	if err := w.pool.Save(own); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	v1 := raw[:len(raw)-sha256.Size]
	v1 = append(append(bytes.Clone(v1[:len(v1)-1]), 1), elsewhere[:]...) // one that nobody has asked for
	key := []byte{1, 2, 3, 4, 5, 6, 7, 0xff}
	damaged := bytes.Clone(v1)
	damaged[8] ^= 1
	entered, now := w.now, w.now.Add(time.Hour)
	for name, c := range map[string]struct {
		file        []byte
		options     mempool.ImportOptions
		unbroadcast int
		fails       bool
	}{
		"own":         {file: raw},
		"times":       {file: raw, options: mempool.ImportOptions{Times: true}},
		"v1":          {file: v1, options: mempool.ImportOptions{Deltas: true}, unbroadcast: 1},
		"v2":          {file: obfuscate(v1, key), unbroadcast: 1},
		"v2 no key":   {file: obfuscate(v1, make([]byte, 8)), unbroadcast: 1},
		"short key":   {file: obfuscate(v1, key[:4]), fails: true},
		"damaged":     {file: damaged, fails: true},
		"empty":       {file: nil, fails: true},
		"head of v2":  {file: obfuscate(v1, key)[:12], fails: true},
		"cut":         {file: v1[:len(v1)-5], fails: true},
		"behind that": {file: append(bytes.Clone(v1), 0), fails: true},
	} {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, c.file, 0o600); err != nil {
			t.Fatal(err)
		}
		w.now = now
		p, _ := w.loaded(filepath.Join(dir, "none"))
		unbroadcast, err := p.Import(t.Context(), path, c.options)
		if (err != nil) != c.fails || len(unbroadcast) != c.unbroadcast {
			t.Errorf("%s: %d not asked for, %v", name, len(unbroadcast), err)
		}
		if c.fails {
			continue
		}
		want := now
		if c.options.Times {
			want = entered
		}
		info, ok := p.Info(tx.TxID())
		if !ok || info.Time.Unix() != want.Unix() {
			t.Errorf("%s: entered at %v (%v), want %v", name, info.Time, ok, want)
		}
		if got := p.Priorities()[elsewhere]; (got == 3) != c.options.Deltas {
			t.Errorf("%s: a priority of %d", name, got)
		}
	}
	if _, err := w.pool.Import(t.Context(), filepath.Join(dir, "none"), mempool.ImportOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
