package testnet_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBansOutliveTheNode bans a peer by a call: it is disconnected and kept out,
// also after a restart, until the ban is taken back; mock time ends another.
func TestBansOutliveTheNode(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir())
	startNode(t, t.TempDir(), "--connect", a.url())
	peers := func() string { return a.rpc("getconnectioncount") }
	waitFor(t, "the peer", func() bool { return peers() == "1" })
	a.rpc("setban", "127.0.0.1/8", "add", "3600")
	waitFor(t, "the peer to be gone", func() bool { return peers() == "0" })
	if _, errs, status := a.try("rpc", "setban", "127.0.0.1", "add"); status == 0 || !strings.Contains(errs, "already banned") {
		t.Errorf("banned again: status %d, %s", status, errs)
	}
	a.stop(syscall.SIGTERM)
	a.start()
	var bans []struct {
		Address  string
		Duration int `json:"ban_duration"`
	}
	a.call(&bans, "listbanned")
	if len(bans) != 1 || bans[0].Address != "127.0.0.0/8" || bans[0].Duration != 3600 {
		t.Errorf("bans after a restart: %v", bans)
	}
	if peers() != "0" {
		t.Error("the peer was let in")
	}
	a.rpc("setban", "127.0.0.0/8", "remove")
	waitFor(t, "the peer to be back", func() bool { return peers() == "1" })

	a.rpc("setmocktime", "2000000000")
	a.rpc("setban", "192.0.2.1", "add", "10")
	a.rpc("setmocktime", "2000000011")
	if a.call(&bans, "listbanned"); len(bans) != 0 {
		t.Errorf("bans that are over: %v", bans)
	}

	a.stop(syscall.SIGTERM)
	file := filepath.Join(a.datadir, "regtest", "banlist.json")
	if err := os.WriteFile(file, []byte(`{"banned_nets":[{"ver`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.start()
	if n := strings.Count(a.log.String(), "banlist.json is damaged"); n != 1 {
		t.Errorf("%d lines about the damaged file", n)
	}
}
