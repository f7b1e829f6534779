package testnet_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testnetwork is a network that the commands of `lode testnet` make and change.
type testnetwork struct {
	t   *testing.T
	dir string // of all networks
}

func newTestnetwork(t *testing.T) *testnetwork {
	n := &testnetwork{t, t.TempDir()}
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(n.dir, "local")); err == nil {
			n.run("down", "--wipe")
		}
	})
	return n
}

func (n *testnetwork) try(words ...string) (stdout, stderr string, status int) {
	n.t.Helper()
	return lode(n.t, append([]string{"testnet", words[0], "--networks", n.dir}, words[1:]...)...)
}

func (n *testnetwork) run(words ...string) string {
	n.t.Helper()
	out, errs, status := n.try(words...)
	if status != 0 {
		logs, _ := filepath.Glob(filepath.Join(n.dir, "local", "node*", "node.log"))
		for _, name := range logs {
			b, _ := os.ReadFile(name)
			n.t.Logf("%s:\n%s", name, b[max(0, len(b)-4000):])
		}
		n.t.Fatalf("lode testnet %s: status %d: %s%s", strings.Join(words, " "), status, out, errs)
	}
	return strings.TrimSpace(out)
}

// refused has a command fail in one line.
func (n *testnetwork) refused(status int, want string, words ...string) {
	n.t.Helper()
	out, errs, got := n.try(words...)
	if got != status || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
		n.t.Errorf("lode testnet %s: status %d, %s%s, want %d and %q", strings.Join(words, " "), got, out, errs, status, want)
	}
}

type nodeStatus struct {
	State    string
	PID      int
	Part     int
	Height   int
	Tip      string
	Peers    int
	Mempool  int
	UTXOHash string `json:"utxo_hash"`
}

func (n *testnetwork) status() (list []nodeStatus) {
	n.t.Helper()
	decode(n.t, n.run("status", "--json"), &list)
	return list
}

// TestNetworkOfProcesses goes once through what a user does with a network: real
// processes, two of them to be quick. The scenarios go further (make
// testnet-scenarios).
func TestNetworkOfProcesses(t *testing.T) {
	t.Parallel()
	n := newTestnetwork(t)
	n.run("up", "2", "--block-time", "2", "--latency", "1")
	n.run("pause")
	txid := n.run("send", "1", "2", "0.5")
	waitFor(t, "the payment in both mempools", func() bool {
		s := n.status()
		return s[0].Mempool == 1 && s[1].Mempool == 1
	})

	n.run("partition", "1", "2")
	n.run("mine", "1", "2")
	s := n.status()
	if s[0].Height != s[1].Height+2 || s[0].Peers != 0 || s[1].Peers != 0 || s[0].Part == s[1].Part || s[1].Mempool != 1 {
		t.Errorf("two blocks in one part of the network: %+v", s)
	}
	n.run("rpc", "2", "addnode", "ws://127.0.1.1:1", "onetry") // nobody there, and no crash
	n.run("heal")
	if s = n.status(); s[0].Tip != s[1].Tip || s[0].UTXOHash != s[1].UTXOHash || s[0].Mempool+s[1].Mempool != 0 || s[0].Peers != 1 {
		t.Errorf("after healing: %+v", s)
	}

	// A fork without the payment, and it is back in the mempools.
	var r struct {
		Depth, Blocks, Height int
		LeftOut               int `json:"left_out"`
	}
	decode(t, n.run("reorg", "--depth", "2", "--drop", txid, "--json"), &r)
	if r.Depth != 2 || r.Blocks < 2 || r.LeftOut != 1 {
		t.Errorf("%+v", r)
	}
	waitFor(t, "the payment back in the mempools", func() bool {
		s = n.status()
		return s[0].Height == r.Height && s[0].Tip == s[1].Tip && s[0].Mempool == 1 && s[1].Mempool == 1
	})
	if _, err := os.Stat(filepath.Join(n.dir, "local", "forge")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what mined apart is still there")
	}
	if got := n.run("wallet", "2", "getbalances"); !strings.Contains(got, `"untrusted_pending": 0.50000000`) {
		t.Errorf("the receiver has %s", got)
	}

	n.run("snapshot", "a")
	n.refused(1, "the network is running", "restore", "a")
	n.refused(2, "node 1 is named twice", "partition", "1,2", "1")
	n.refused(2, "there are nodes 1 to 2", "kill", "3")
	n.run("kill", "2")
	if got := n.status()[1]; got.State != "ended" {
		t.Errorf("after a kill: %+v", got)
	}
	n.refused(1, "start it with `lode testnet start 2`", "send", "2", "1", "1")
	n.run("down")
	n.run("restore", "a")
	n.run("up")
	waitFor(t, "the mempools that were restored", func() bool {
		now := n.status()
		return now[0].Tip == s[0].Tip && now[1].UTXOHash == s[1].UTXOHash && now[0].Mempool == 1 && now[1].Mempool == 1
	})
	pids := n.status()
	n.run("down", "--wipe")
	if entries, err := os.ReadDir(n.dir); err != nil || len(entries) > 0 {
		t.Errorf("what is left: %v, %v", entries, err)
	}
	for _, node := range pids {
		if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", node.PID)); err == nil {
			t.Errorf("process %d is still there", node.PID)
		}
	}
}

// TestRefusedNetworks: a port that is taken and the like are said in one line, and
// nothing is left.
func TestRefusedNetworks(t *testing.T) {
	t.Parallel()
	n := newTestnetwork(t)
	port := regexp.MustCompile(`\d+$`).FindString(freePort(t))
	holder := startNode(t, t.TempDir(), "--stratum", "127.0.0.1:"+port)
	n.refused(1, "port "+port+" on 127.0.0.1 is in use by another process", "up", "1", "--port", port)
	holder.stop(9)
	n.refused(1, "there is no such network", "status")
	n.refused(1, "there is no such network", "down")
	n.refused(2, "want letters", "status", "--name", "../x")
	n.refused(2, "a loss of", "up", "--loss", "90")
	n.refused(2, "want 1 to 99", "up", "0")
	n.refused(2, "no command", "frobnicate")
	if entries, err := os.ReadDir(n.dir); err != nil || len(entries) > 0 {
		t.Errorf("what is left: %v, %v", entries, err)
	}
}
