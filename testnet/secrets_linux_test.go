package testnet_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestNodeNeverSeesKeys: a wallet was made, paid and emptied beside a node, and its
// words, keys and passphrase are nowhere in the node's memory, log, arguments and
// environment, nor in any plain file.
func TestNodeNeverSeesKeys(t *testing.T) {
	t.Parallel()
	a := startNode(t, t.TempDir(), "--addrindex")
	var made struct{ Mnemonic string }
	decode(t, a.run("wallet", "create", "--json"), &made)
	mine := a.run("wallet", "address")
	a.rpc("generatetoaddress", "102", mine)
	a.run("wallet", "send", "--to", mine, "--amount", "1", "--yes")
	private := a.run("wallet", "descriptor", "export", "--private")
	if len(strings.Fields(made.Mnemonic)) != 24 || !strings.Contains(private, "tprv") {
		t.Fatal("there is nothing to look for")
	}
	key := private[strings.Index(private, "]")+1 : strings.Index(private, "/<0;1>")]
	secrets := map[string][]byte{
		"the words": []byte(made.Mnemonic), "the key of the account": []byte(key), "the passphrase": []byte(passphrase),
	}
	look := func(where string, b []byte) {
		for name, secret := range secrets {
			if bytes.Contains(b, secret) {
				t.Errorf("%s: %s", where, name)
			}
		}
	}
	look("the log", []byte(a.log.String()))
	proc := fmt.Sprintf("/proc/%d/", a.cmd.Process.Pid)
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(proc + name)
		if err != nil || len(b) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		look(name, b)
	}
	found := false
	eachPage(t, proc, func(b []byte) {
		found = found || bytes.Contains(b, []byte(a.datadir))
		look("the memory", b)
	})
	if !found {
		t.Error("the node's memory was not read: its own directory is not in it")
	}
	files, err := filepath.Glob(a.datadir + "/regtest/wallet.*")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		look(file, b)
	}
	if status := a.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("status %d", status)
	}
}

// eachPage reads the memory of a process that it may write to.
func eachPage(t *testing.T, proc string, f func([]byte)) {
	t.Helper()
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(proc + "mem")
	if err != nil {
		t.Skipf("the memory of a process cannot be read here: %v", err)
	}
	defer mem.Close()
	const part, overlap = 1 << 20, 1 << 10
	buf := make([]byte, part+overlap)
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); n != 3 || !strings.HasPrefix(perms, "rw") {
			continue
		}
		for at := from; at < to; at += part {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if n == 0 && err != nil {
				break // a part that the system keeps for itself
			}
			f(buf[:n])
		}
	}
}
