package testnet_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// onlyScenarios skips a test that takes a while.
func onlyScenarios(t *testing.T) {
	t.Helper()
	if os.Getenv("LODE_TEST_SCENARIOS") == "" {
		t.Skip("takes a while: LODE_TEST_SCENARIOS=1, or make testnet-scenarios")
	}
	t.Parallel()
}

// TestScenarioEveryCommand gives every command that there is, with what TestNetworkOfProcesses
// does not. A command that neither gives is an error.
func TestScenarioEveryCommand(t *testing.T) {
	onlyScenarios(t)
	n := newTestnetwork(t)
	given := make(map[string]bool)
	for _, name := range strings.Fields("up pause send partition mine status rpc heal reorg wallet snapshot kill down restore") { // of TestNetworkOfProcesses
		given[name] = true
	}
	run := func(want string, words ...string) string {
		t.Helper()
		given[words[0]] = true
		out := n.run(words...)
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("lode testnet %s prints %s, want %s", strings.Join(words, " "), out, want)
		}
		return out
	}
	settings := filepath.Join(n.dir, "net.yaml")
	if err := os.WriteFile(settings, []byte("nodes: 3\nblock_time: 1\nhashrates: [50000, 50000, 50000]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("3 nodes run", "up", "--file", settings)
	n.refused(2, "is there already, with other settings", "up", "--block-time", "9")
	n.refused(2, "has 3 nodes already", "up", "2")
	run(`(?m)^\d+ payments`, "load", "5", "--for", "3s")
	run("node 2 is stopped", "stop", "2")
	n.refused(1, "is an embedded network", "spec", "2", filepath.Join("..", "consensus", "specs", "testnet.json"))
	run("", "spec", "2")
	run("node 2 runs", "start", "2")
	run("node 2 is wiped", "wipe", "2")
	run("node 4 runs", "add")
	run("-3 s from the machine's", "clock", "4", "-3")
	run(`\+3 s`, "clock", "4", "+3")
	run("node started", "logs", "4", "--lines", "100")
	run("", "pause")
	run("4 +paused", "status")
	run("", "resume")
	run("left [12] blocks for a fork", "churn", "--depth", "2", "--every", "10ms", "--count", "1")
	run(`"forked":1`, "double-spend", "--amount", "0.5", "--json")
	run(`"miner":[1-4]`, "attack", "censor", "--amount", "0.5", "--json")
	n.refused(2, "is no attack", "attack", "dos")
	run("Snapshot a is made", "snapshot", "a")
	run("(?m)a  4 nodes$", "list")
	n.refused(2, "there is a snapshot called a already", "snapshot", "a")
	n.refused(1, "the network is running", "restore", "a")
	run("4 nodes stopped", "down")
	n.refused(2, "there is no snapshot called b", "restore", "b")
	run("Confirmed on all nodes", "check")
	given["run"] = true // TestScenarioEnds

	out, _, _ := lode(t, "testnet", "--help")
	_, out, _ = strings.Cut(out, "COMMANDS:\n")
	out, _, _ = strings.Cut(out, "\nOPTIONS")
	for line := range strings.Lines(out) {
		if words := strings.Fields(line); len(words) > 0 && !given[strings.TrimSuffix(words[0], ",")] {
			t.Errorf("no test gives the command %s", words[0])
		}
	}
}

// TestScenarioSideBySide: two networks of different names do not meet.
func TestScenarioSideBySide(t *testing.T) {
	onlyScenarios(t)
	n := newTestnetwork(t)
	t.Cleanup(func() { n.run("down", "--wipe", "--name", "other") })
	n.run("up", "2", "--block-time", "1")
	n.run("up", "2", "--block-time", "1", "--name", "other")
	if a, b := n.run("rpc", "1", "getblockhash", "0"), n.run("rpc", "1", "getblockhash", "0", "--name", "other"); a == b {
		t.Error("they have one genesis")
	}
	for _, name := range []string{"local", "other"} {
		if got := n.run("rpc", "1", "getconnectioncount", "--name", name); got != "1" {
			t.Errorf("a node of %s has %s peers", name, got)
		}
	}
}

// TestScenarioScript: testnet.sh builds Lode, and a payment is confirmed within half a
// minute of the start of the network.
func TestScenarioScript(t *testing.T) {
	onlyScenarios(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./testnet.sh", "check")
	cmd.Env = append(os.Environ(), "DATA="+dir, "LODE="+program)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	err := cmd.Run()
	t.Logf("%.1f s\n%s", time.Since(began).Seconds(), out.String())
	if err != nil || !strings.Contains(out.String(), "Confirmed on all nodes") {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "local", "testnet.json")); errors.Is(err, os.ErrNotExist) {
		t.Error("the data is elsewhere")
	}
}
