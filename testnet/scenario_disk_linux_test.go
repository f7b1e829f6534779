package testnet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"lode/testnet/network"
)

// TestScenarioFullDisk: a node whose disk is full says so and stops, or goes on without
// what it cannot write; the others do not notice. With room again it starts by itself
// and has everything.
func TestScenarioFullDisk(t *testing.T) {
	w := scenario(t, network.Settings{Nodes: 3, BlockTime: 1})
	node := w.Nodes[2]
	dir := w.DataDir(node)
	w.must(w.Stop(3))
	moved := dir + ".moved"
	w.must(os.Rename(dir, moved))
	w.must(os.Mkdir(dir, 0o700))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		w.must(errors.Join(os.Remove(dir), os.Rename(moved, dir)))
		t.Skipf("no file system of its own for node 3: %v", err)
	}
	t.Cleanup(func() {
		w.must(w.Stop(3))
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w.must(os.CopyFS(dir, os.DirFS(moved)))
	w.must(os.RemoveAll(moved))
	w.must(w.Start(t.Context(), 3))

	filler, err := os.Create(filepath.Join(dir, "filler"))
	w.must(err)
	block := make([]byte, 64<<10)
	for _, size := range []int{len(block), 4096, 1} {
		for err = nil; err == nil; _, err = filler.Write(block[:size]) {
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	w.must(filler.Close())
	before := w.height(3)
	w.grows(1, 5)
	_, err = w.Mine(t.Context(), 1, 20)
	w.must(err)
	waitFor(t, "node 3 to stop, or to follow", func() bool {
		var height int
		err := w.Call(t.Context(), node, &height, "getblockcount")
		return errors.Is(err, network.ErrStopped) || err == nil && height >= before+25
	})
	log, err := os.ReadFile(w.LogFile(node))
	w.must(err)
	t.Logf("node 3 runs: %v; its log mentions the disk: %v", len(w.Running()) == 3, strings.Contains(string(log), "no space left"))

	w.must(os.Remove(filepath.Join(dir, "filler")))
	w.must(w.Start(t.Context(), 3))
	w.agree()
}
