package testnet_test

import (
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestSocketsLeaveFilesForTheLedger: more silent miners than the process may have
// files do not keep a block from the disk.
func TestSocketsLeaveFilesForTheLedger(t *testing.T) {
	t.Parallel()
	const files, silent = 1024, 1100
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < silent+500 {
		t.Skipf("this test may open %d files only (%v)", limit.Cur, err)
	}
	stratum := freePort(t)
	n := &node{t: t, datadir: t.TempDir(), network: "regtest", peers: freePort(t), log: new(logBuffer), files: files}
	n.start("--stratum", stratum)
	if log := n.log.String(); strings.Count(log, "fewer connections than usual") != 1 || !strings.Contains(log, "limit=1024") {
		t.Errorf("the log does not warn once:\n%s", log)
	}
	for range silent {
		c, err := net.Dial("tcp", stratum)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	n.rpc("generatetoaddress", "1", testAddress)
	if got := n.rpc("getblockcount"); got != "1" {
		t.Errorf("height %s, want 1", got)
	}
	if log := n.log.String(); strings.Contains(log, "too many open files") {
		t.Errorf("files ran out:\n%s", log)
	}
	if status := n.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("it ended with status %d", status)
	}
}

// TestTooFewFilesForALedger refuses to start, and says how many are needed.
func TestTooFewFilesForALedger(t *testing.T) {
	t.Parallel()
	_, errs, status := run(t, "sh", "-c", `ulimit -n 128 && exec "$0" node --network regtest --datadir "$1"`, program, t.TempDir())
	if status != 1 || !strings.HasPrefix(errs, "lode: this process may open 128 files, and the ledger with 8 peers needs ") {
		t.Errorf("status %d: %s", status, errs)
	}
}
