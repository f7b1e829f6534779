package testnet_test

import (
	"bufio"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pipedNode is a node whose log goes into a pipe, and the end to read it at.
func pipedNode(t *testing.T) (*node, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	n := &node{t: t, datadir: t.TempDir(), network: "regtest", peers: freePort(t), log: new(logBuffer), stdout: w}
	n.start("--log-level", "debug")
	w.Close()
	return n, r
}

// works checks that a node answers and makes blocks, and then ends cleanly.
func (n *node) works() {
	n.t.Helper()
	n.rpc("generatetoaddress", "40", testAddress)
	if got := n.rpc("getblockcount"); got != "40" {
		n.t.Errorf("height %s, want 40", got)
	}
	if status := n.stop(syscall.SIGTERM); status != 0 {
		n.t.Errorf("it ended with status %d", status)
	}
	n.start()
	if got := n.rpc("getblockcount"); got != "40" {
		n.t.Errorf("height %s after the restart, want 40", got)
	}
}

// TestLogReaderGoesAway: `lode node | head -1` costs the log and nothing else.
func TestLogReaderGoesAway(t *testing.T) {
	t.Parallel()
	n, r := pipedNode(t)
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.Close()
	n.works()
}

// TestLogReaderStops: a reader that stops reading does not hold up the node.
func TestLogReaderStops(t *testing.T) {
	t.Parallel()
	n, r := pipedNode(t)
	if _, err := unix.FcntlInt(r.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Skip(err)
	}
	n.works()
}

// TestTwoSignalsAtOnce, as `timeout` and a shell send them, are one clean stop.
func TestTwoSignalsAtOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.rpc("generatetoaddress", "40", testAddress)
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := n.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if status := n.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("it ended with status %d", status)
	}
	if _, err := os.Stat(filepath.Join(n.datadir, n.network, ".cookie")); !os.IsNotExist(err) {
		t.Errorf("it was no clean stop: %v", err)
	}
}

// TestHangup stops a node that logs to standard output, as closing its terminal
// does, and has one that logs to a file open that anew.
func TestHangup(t *testing.T) {
	t.Parallel()
	// Under nohup the signal is ignored, and a node takes that over.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	defer signal.Stop(heard)
	n := startNode(t, t.TempDir())
	if status := n.stop(syscall.SIGHUP); status != 0 || !strings.Contains(n.log.String(), "node stopped") {
		t.Errorf("it ended with status %d:\n%s", status, n.log)
	}

	name := filepath.Join(t.TempDir(), "lode.log")
	n.start("--log-file", name)
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a new log file", func() bool { _, err := os.Stat(name); return err == nil })
	n.rpc("generatetoaddress", "1", testAddress)
	if status := n.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("it ended with status %d", status)
	}
	for file, want := range map[string]string{name + ".1": "node started", name: "node stopped"} {
		if got, err := os.ReadFile(file); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s does not say %q (%v):\n%s", file, want, err, got)
		}
	}
}
