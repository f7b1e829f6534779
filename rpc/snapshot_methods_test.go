package rpc_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lode/consensus"
	"lode/rpc"
)

func TestDumpTxOutSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, "regtest", 5, func(c *rpc.Config) { c.Dir = dir })
	set := ok[object](n, "gettxoutsetinfo")
	want := object{"coins_written": json.Number("5"), "base_hash": set["bestblock"], "base_height": json.Number("5"), "path": filepath.Join(dir, "coins"), "txoutset_hash": set["hash_serialized_3"], "nchaintx": 6}
	same(t, ok[object](n, "dumptxoutset", "coins", "latest"), want)
	check(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	elsewhere := filepath.Join(dir, "sub", "other")
	want["path"] = elsewhere
	same(t, ok[object](n, "dumptxoutset", elsewhere), want)
	a, err := os.ReadFile(elsewhere)
	check(t, err)
	b, err := os.ReadFile(filepath.Join(dir, "coins"))
	check(t, err)
	same(t, a, b)

	_, failure := n.call("dumptxoutset", "coins")
	wantError(t, failure, -8, filepath.Join(dir, "coins")+" already exists. If you are sure this is what you want, move it out of the way first.")
	_, failure = n.call("dumptxoutset", "coins", "rollback")
	wantError(t, failure, -8, `Invalid snapshot type "rollback" specified. Please specify "latest"`)
	_, failure = n.call("dumptxoutset", "")
	wantError(t, failure, -8, "Invalid path: it is empty")
	names, err := os.ReadDir(dir)
	check(t, err)
	if len(names) != 2 {
		t.Errorf("files are left: %v", names)
	}
}

// TestFilesBelowTheDataDirectory has a call write where its caller may not.
func TestFilesBelowTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	n := newNode(t, "regtest", 1, func(c *rpc.Config) { c.Dir = dir })
	check(t, os.Mkdir(filepath.Join(dir, "blocks"), 0o700))
	check(t, os.Symlink(outside, filepath.Join(dir, "link")))
	for _, path := range []string{filepath.Join(outside, "x"), "../x", "link/x", dir + "/../x", "blocks/blk00001.dat", "./blocks/x", "nowhere/x", "/x", "ledger.removed", "./verify", dir + "/ledger"} {
		if _, failure := n.call("dumptxoutset", path); failure == nil || failure.Code != -8 {
			t.Errorf("%s: %v", path, failure)
		}
	}
	left, err := os.ReadDir(outside)
	if check(t, err); len(left) != 0 {
		t.Errorf("outside of the data directory: %v", left)
	}
}

// TestChainStates asks a node that began with a snapshot, in each of its states.
func TestChainStates(t *testing.T) {
	t.Parallel()
	full := newNode(t, "regtest", 5)
	state := object{
		"blocks": json.Number("5"), "bestblockhash": ok[string](full, "getbestblockhash"), "bits": "207fffff", "target": regtestTarget,
		"difficulty": json.Number(regtestDifficulty), "verificationprogress": json.Number("1"), "validated": true,
		"coins_db_cache_bytes": 8 << 20, "coins_tip_cache_bytes": 400 << 20,
	}
	same(t, ok[object](full, "getchainstates"), object{"headers": json.Number("5"), "chainstates": []any{state}})

	n := newNode(t, "regtest", 0)
	file := filepath.Join(t.TempDir(), "coins")
	made, err := full.chain.WriteSnapshot(t.Context(), file, nil)
	check(t, err)
	check(t, n.chain.UseSnapshot(t.Context(), file, made.Hash))
	warning := func(says string) {
		t.Helper()
		warnings := ok[object](n, "getblockchaininfo")["warnings"].([]any)
		if len(warnings) != 1 || !strings.Contains(warnings[0].(string), says) {
			t.Errorf("warnings %q, want %q", warnings, says)
		}
	}
	warning("waits for peers")
	_, failure := n.call("gettxoutsetinfo")
	wantError(t, failure, -1, "the ledger waits for its snapshot")

	var blocks []*consensus.Block
	for height := range uint32(5) {
		hash, _ := full.chain.HashAt(height + 1)
		block, err := full.chain.Block(hash)
		check(t, err)
		blocks = append(blocks, block)
		check(t, n.chain.AddHeaders([]consensus.Header{block.Header}))
	}
	loaded := make(chan struct{}, 1)
	cancel := n.chain.Subscribe(func() {
		if !n.chain.AwaitsSnapshot() {
			select {
			case loaded <- struct{}{}:
			default:
			}
		}
	})
	ended := make(chan error, 1)
	go func() { ended <- n.chain.RunSnapshot(t.Context()) }()
	<-loaded
	cancel()
	warning("has not been verified yet")
	before := object{}
	for k, v := range state {
		before[k] = v
	}
	genesis, _ := n.chain.HashAt(0)
	before["blocks"], before["bestblockhash"], before["verificationprogress"] = json.Number("0"), genesis.String(), json.Number("0")
	assumed := object{}
	for k, v := range state {
		assumed[k] = v
	}
	assumed["validated"], assumed["snapshot_blockhash"] = false, made.Base.String()
	same(t, ok[object](n, "getchainstates"), object{"headers": json.Number("5"), "chainstates": []any{before, assumed}})

	for _, block := range blocks {
		check(t, n.chain.AddBlock(block))
	}
	check(t, <-ended)
	same(t, ok[object](n, "getchainstates"), object{"headers": json.Number("5"), "chainstates": []any{state}})
	same(t, ok[object](n, "getblockchaininfo")["warnings"], []any{})
}
