package testnet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMuSigOwnersPayThroughFiles: two wallets have an account together and pay out
// of it, and a directory that was copied between the rounds and restored is refused.
func TestMuSigOwnersPayThroughFiles(t *testing.T) {
	if os.Getenv("LODE_TEST_MUSIG") == "" {
		t.Skip("$LODE_TEST_MUSIG is not set: opening wallets takes a second each time")
	}
	n := startNode(t, t.TempDir())
	var keys []string
	for _, name := range []string{"alice", "bob"} {
		n.run("wallet", "create", "--name", name, "--json")
		keys = append(keys, n.run("wallet", "musig", "key", "--name", name))
	}
	n.run("wallet", "musig", "create", "--name", "shared", "--key", keys[0], "--key", keys[1])
	n.rpc("generatetoaddress", "103", n.run("wallet", "address", "--name", "shared"))
	to := n.run("wallet", "address", "--name", "bob")

	dir := t.TempDir()
	pay, old, backup := filepath.Join(dir, "pay.psbt"), filepath.Join(dir, "old.psbt"), filepath.Join(dir, "backup")
	sign := func(name, file string, flags ...string) (string, string, int) {
		return n.try(append([]string{"wallet", "musig", "sign", "--name", name, "--yes", file}, flags...)...)
	}
	copies := func(from, to string) {
		t.Helper()
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	n.run("wallet", "psbt", "create", "--name", "shared", "--to", to, "--amount", "120", "--fee-rate", "2", "--out", pay)
	if out, errs, status := sign("alice", pay); status != 0 || strings.Count(out, "nonce added") != 3 {
		t.Fatal(status, out, errs)
	}
	nonces := filepath.Join(filepath.Dir(watchFile(t, n, "alice")), "musig-nonces")
	copies(nonces, backup)
	if out, errs, status := sign("bob", pay); status != 0 || strings.Count(out, "partial signature added") != 3 {
		t.Fatal(status, out, errs)
	}
	copies(pay, old)
	if out, errs, status := sign("alice", pay); status != 0 || !strings.Contains(out, "All owners have signed") {
		t.Fatal(status, out, errs)
	}
	txid := n.run("wallet", "psbt", "broadcast", "--name", "shared", "--yes", pay)
	n.rpc("generatetoaddress", "1", to)
	if got := n.run("wallet", "history", "--name", "shared", "--json"); !strings.Contains(got, txid) {
		t.Errorf("the account's history is %s", got)
	}
	if got := n.run("wallet", "balance", "--name", "bob"); !strings.Contains(got, "120.00000000") {
		t.Errorf("bob has %s", got)
	}

	if err := os.RemoveAll(nonces); err != nil {
		t.Fatal(err)
	}
	copies(backup, nonces)
	if out, errs, status := sign("alice", old); status != 1 || !strings.Contains(errs, "was copied or restored") {
		t.Error(status, out, errs)
	}
}

// watchFile is where the watch file of a named wallet is.
func watchFile(t *testing.T, n *node, name string) (path string) {
	t.Helper()
	err := filepath.WalkDir(n.datadir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name+".watch.json" {
			path = p
		}
		return err
	})
	if err != nil || path == "" {
		t.Fatalf("no watch file of %s: %v", name, err)
	}
	return path
}
