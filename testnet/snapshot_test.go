package testnet_test

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// chainStates is what is looked at of getchainstates.
type chainStates struct {
	States []struct {
		Blocks    uint32 `json:"blocks"`
		Snapshot  string `json:"snapshot_blockhash"`
		Validated bool   `json:"validated"`
	} `json:"chainstates"`
}

// chainStates asks a node that may not be up yet, or not any more.
func (n *node) chainStates() (s chainStates) {
	if out, _, status := n.try("rpc", "getchainstates"); status == 0 {
		_ = json.Unmarshal([]byte(out), &s)
	}
	return s
}

// verified reports whether a node has reached a height, and has verified all of
// it.
func (n *node) verified(height uint32) bool {
	s := n.chainStates().States
	return len(s) == 1 && s[0].Validated && s[0].Blocks >= height
}

// TestStartFromSnapshot has a node write a snapshot, and another start from it:
// that one follows the chain from there, fetches and verifies the history, and is
// killed again and again meanwhile.
func TestStartFromSnapshot(t *testing.T) {
	t.Parallel()
	a := startNode(t, filepath.Join(t.TempDir(), "a"))
	const address = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6" // of BIP350
	a.rpc("generatetoaddress", "120", address)
	file := filepath.Join(a.datadir, "regtest", "snapshot")
	var dumped struct {
		Coins  int    `json:"coins_written"`
		Hash   string `json:"txoutset_hash"`
		Height uint32 `json:"base_height"`
		Path   string `json:"path"`
		Base   string `json:"base_hash"`
	}
	a.call(&dumped, "dumptxoutset", file)
	if dumped.Coins != 120 || dumped.Height != 120 || dumped.Path != file || dumped.Base != a.rpc("getbestblockhash") {
		t.Errorf("dumptxoutset says %+v", dumped)
	}
	if _, errs, status := a.try("rpc", "dumptxoutset", file); status != 1 || !strings.Contains(errs, "already exists") {
		t.Errorf("a second time: status %d, %s", status, errs)
	}
	a.rpc("generatetoaddress", "5", address)

	flags := []string{"--snapshot", file, "--snapshot-hash", dumped.Hash}
	b := startNode(t, filepath.Join(t.TempDir(), "b"), flags...)
	if s := b.chainStates().States; len(s) != 1 || s[0].Blocks != 0 {
		t.Errorf("without peers: %+v", s)
	}
	if info := b.rpc("getblockchaininfo"); !strings.Contains(info, "waits for peers") {
		t.Errorf("it does not say that it waits: %s", info)
	}
	b.stop(syscall.SIGTERM)
	flags = append(flags, "--connect", a.url())
	for i := range 6 { // wherever it is killed, it goes on
		b.start(flags...)
		time.Sleep(time.Duration(i) * 40 * time.Millisecond)
		b.stop(syscall.SIGKILL)
	}
	b.start(flags...)
	waitFor(t, "the history to be verified", func() bool { return b.verified(125) })
	hash := a.rpc("generatetoaddress", "1", address)
	waitFor(t, "the new block", func() bool { return strings.Contains(hash, b.rpc("getbestblockhash")) })
	var sets [2]struct {
		Hash string `json:"hash_serialized_3"`
	}
	a.call(&sets[0], "gettxoutsetinfo")
	b.call(&sets[1], "gettxoutsetinfo")
	if sets[0] != sets[1] {
		t.Errorf("coins %v", sets)
	}
	for _, height := range []int{1, 60, 120, 121} {
		b.rpc("getblock", b.rpc("getblockhash", strconv.Itoa(height)))
	}
	if status := b.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
	if out := b.run("chain", "verify"); !strings.HasPrefix(out, "126 blocks") {
		t.Errorf("verify says %s", out)
	}
	b.start("--connect", a.url())
	if !b.verified(126) {
		t.Errorf("after a restart %+v", b.chainStates())
	}
}
