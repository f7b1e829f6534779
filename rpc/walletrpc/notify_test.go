package walletrpc_test

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"lode/rpc/walletrpc"
)

// TestWalletNotify runs the command for a transaction when it comes and when a block
// holds it. Whatever a caller says of a payment, none of it reaches the shell.
func TestWalletNotify(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is for a Unix shell")
	}
	dir := t.TempDir()
	told, planted := filepath.Join(dir, "told"), filepath.Join(dir, "planted")
	n := newNode(t, "regtest", func(c *walletrpc.Config) {
		c.Notify = "echo %s %w %h %b %% >> '" + told + "'"
	})
	ok[any](n, "createwallet", "w-1_A")
	n.mine(101, ok[string](n, "getnewaddress", "$(touch "+planted+")"))
	id := ok[string](n, "sendtoaddress", elsewhere(n), 1, "; touch "+planted, "`touch "+planted+"`")
	hash := n.mine(1, elsewhere(n))[0]
	ok[any](n, "getbalance")
	lines := waitFor(t, told, 103)
	form := regexp.MustCompile(`^[0-9a-f]{64} w-1_A (-1 unconfirmed|\d+ [0-9a-f]{64}) %$`)
	for _, line := range lines {
		if !form.MatchString(line) {
			t.Errorf("the command printed %q", line)
		}
	}
	for _, want := range []string{id + " w-1_A -1 unconfirmed %", id + " w-1_A 102 " + hash + " %"} {
		found := false
		for _, line := range lines {
			found = found || line == want
		}
		if !found {
			t.Errorf("nothing was told of %q", want)
		}
	}
	if _, err := os.Stat(planted); err == nil {
		t.Error("what a caller said was run")
	}
}

// waitFor waits until a file has so many lines.
func waitFor(t *testing.T, path string, count int) []string {
	t.Helper()
	for range 600 {
		b, _ := os.ReadFile(path)
		if lines := strings.Split(strings.TrimSpace(string(b)), "\n"); len(lines) >= count {
			return lines
		}
		time.Sleep(100 * time.Millisecond)
	}
	b, _ := os.ReadFile(path)
	t.Fatalf("%s has %d lines after a minute, want %d", path, strings.Count(string(b), "\n"), count)
	return nil
}
