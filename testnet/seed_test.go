package testnet_test

import (
	"bytes"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"lode/p2p/dnsseed"
)

// TestStrangerJoinsByDNS: a node that knows nothing but the name of a seed finds a peer,
// whom `lode seed` names because it has reached it, and the chain.
func TestStrangerJoinsByDNS(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	at := "127.0.9.1" + port[strings.LastIndex(port, ":"):]
	a := &node{t: t, datadir: t.TempDir(), network: "regtest", peers: at, log: new(logBuffer)}
	a.start("--loopback-is-public")
	a.rpc("generatetoaddress", "3", testAddress)
	s := startNode(t, t.TempDir(), "--loopback-is-public", "--outbound", "8", "--seed", a.url())
	waitFor(t, "a node to know another", func() bool { return strings.Contains(s.rpc("getnodeaddresses", "0"), at) })

	server := freePort(t)
	seed := exec.Command(program, "seed", "seed.test", "--private", "--listen", server, "--network", "regtest", "--datadir", s.datadir)
	var log bytes.Buffer
	seed.Stdout, seed.Stderr = &log, &log
	if err := seed.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = seed.Process.Signal(syscall.SIGTERM)
		if err := seed.Wait(); err != nil {
			t.Errorf("the seed ended with %v: %s", err, &log)
		}
	}()
	waitFor(t, "the seed to name it", func() bool {
		urls, err := dnsseed.Resolve(t.Context(), dnsseed.ServerResolver(server), dnsseed.Name{Host: "seed.test"}, 18454)
		return err == nil && strings.Contains(urls[0], at)
	})
	b := startNode(t, t.TempDir(), "--loopback-is-public", "--outbound", "8", "--seed", "dns:seed.test", "--dns-server", server)
	waitFor(t, "the chain", func() bool { return b.rpc("getblockcount") == "3" })
	waitFor(t, "it to be in sync", func() bool { _, _, status := b.try("health", "--synced"); return status == 0 })
	b.stop(syscall.SIGTERM)
	if _, errs, status := b.try("health"); status != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("the health of a node that is stopped: status %d, %s", status, errs)
	}
	for _, wrong := range [][]string{{"seed"}, {"seed", "1.2.3.4"}, {"seed", "a..b"}, {"node", "--seed", "dns:x y"}, {"node", "--dns-server", "name"}} {
		if _, errs, status := lode(t, append(wrong, "--network", "regtest", "--datadir", t.TempDir())...); status != 2 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %s", wrong, status, errs)
		}
	}
}
