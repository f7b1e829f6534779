package chain

import (
	"context"
	"lode/chain/blockfile"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/syndtr/goleveldb/leveldb/storage"
	"pgregory.net/rapid"
)

// killDisk is a disk that so many more changes reach, of files and database: what
// comes after them fails, as nothing comes after a kill.
type killDisk struct {
	blockfile.Disk
	left *atomic.Int64
}

func (d killDisk) change(f func() error) error {
	if d.left.Add(-1) < 0 {
		return errKilled
	}
	return f()
}

func (d killDisk) Open(name string, create bool) (blockfile.File, error) {
	f, err := d.Disk.Open(name, create)
	return killFile{f, d}, err
}

func (d killDisk) Rename(from, to string) error {
	return d.change(func() error { return d.Disk.Rename(from, to) })
}

func (d killDisk) RemoveAll(name string) error {
	return d.change(func() error { return d.Disk.RemoveAll(name) })
}

func (d killDisk) Database(dir string) (storage.Storage, error) {
	s, err := d.Disk.Database(dir)
	return killStorage{s, d}, err
}

type killFile struct {
	blockfile.File
	d killDisk
}

func (f killFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.d.change(func() error { n, err = f.File.WriteAt(p, at); return err })
	return n, err
}

func (f killFile) Truncate(size int64) error {
	return f.d.change(func() error { return f.File.Truncate(size) })
}

type killStorage struct {
	storage.Storage
	d killDisk
}

type killWriter struct {
	storage.Writer
	d killDisk
}

func (s killStorage) Create(fd storage.FileDesc) (w storage.Writer, err error) {
	err = s.d.change(func() error { w, err = s.Storage.Create(fd); return err })
	return killWriter{w, s.d}, err
}

func (s killStorage) Rename(from, to storage.FileDesc) error {
	return s.d.change(func() error { return s.Storage.Rename(from, to) })
}

func (s killStorage) Remove(fd storage.FileDesc) error {
	return s.d.change(func() error { return s.Storage.Remove(fd) })
}

func (s killStorage) SetMeta(fd storage.FileDesc) error {
	return s.d.change(func() error { return s.Storage.SetMeta(fd) })
}

func (w killWriter) Write(p []byte) (n int, err error) {
	err = w.d.change(func() error { n, err = w.Writer.Write(p); return err })
	return n, err
}

// TestStorageKilled kills a ledger that prunes, or keeps indexes, after any number
// of changes to its disk. The next start has every block that was acknowledged,
// and goes on.
func TestStorageKilled(t *testing.T) {
	t.Parallel()
	begun, trunk := filepath.Join(t.TempDir(), "begun"), newGenerator()
	c := openPruned(t, begun, PruneNever, nil)
	trunk.Params.Txs = 0
	addAll(t, c, trunk.Extend(330))
	mustClose(t, c)
	side := trunk.Fork(325, 2)
	main := trunk.Fork(330, 1)
	main.Params.Txs, side.Params.Txs = 1, 1
	blocks := main.Extend(30)
	blocks = append(blocks, side.Extend(40)...) // a reorganization
	rapid.Check(t, func(t *rapid.T) {
		base, err := os.MkdirTemp("", "killed")
		if err != nil {
			t.Fatalf("%v", err)
		}
		defer os.RemoveAll(base)
		dir := filepath.Join(base, "a")
		if err := os.CopyFS(dir, os.DirFS(begun)); err != nil {
			t.Fatalf("%v", err)
		}
		cfg := Config{Dir: dir, Spec: testSpec, limits: smallFiles()}
		if rapid.Bool().Draw(t, "indexed") {
			cfg.TxIndex, cfg.AddrIndex = true, true
		} else {
			cfg.Prune = 3 * smallFile
		}
		left := new(atomic.Int64)
		left.Store(int64(rapid.IntRange(0, 250).Draw(t, "changes")))
		killed := cfg
		killed.disk = killDisk{blockfile.OS{}, left}
		acknowledged := 0
		if c, err := Open(context.Background(), killed); err == nil {
			for _, b := range blocks {
				if c.AddBlock(b) != nil {
					break
				}
				acknowledged++
				for _, x := range c.indexes {
					if x.kept && (x.synced || x.load(t.Context()) == nil) {
						_, _ = x.step()
					}
				}
			}
			c.Close()
		}
		c, err := Open(context.Background(), cfg)
		if err != nil {
			t.Fatalf("after %d blocks: %v", acknowledged, err)
		}
		defer c.Close()
		for i, b := range blocks[:acknowledged] {
			if info, ok := c.Header(b.Header.Hash()); !ok || !info.HaveBlock {
				t.Fatalf("acknowledged block %d of %d is gone", i, acknowledged)
			}
		}
		checkPruned(t, c)
		addAll(t, c, blocks)
		if checkPruned(t, c); c.Tip().Hash != side.Tip().Hash {
			t.Fatalf("tip %s at %d", c.Tip().Hash, c.Tip().Height)
		}
		if cfg.TxIndex {
			for _, x := range c.indexes {
				if err := x.load(t.Context()); err != nil {
					t.Fatalf("%v", err)
				}
			}
			catchUp(t, c, 1000)
			checkIndexes(t, c, side.Blocks)
		}
	})
}
