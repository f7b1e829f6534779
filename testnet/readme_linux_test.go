package testnet_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeByHand runs what the README says to do by hand, as it is printed, but
// for the directories and ports, in one shell. Where it says that something takes a
// moment, the command is tried again until it shows what it should.
func TestReadmeByHand(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## By hand\n")
	section, _, _ = strings.Cut(section, "\n## ")
	awaited := map[string]string{"getrawmempool": "[0-9a-f]{64}", "/tmp/b balance": "1.50000000"}
	dir := t.TempDir()
	script := []string{"set -e", `trap 'kill $(jobs -p) 2>/dev/null || true' EXIT`,
		`await() { local want=$1 out; shift; for i in $(seq 600); do out=$("$@"); echo "$out"; grep -qE "$want" <<<"$out" && return; sleep 0.1; done; exit 1; }`}
	for line := range strings.Lines(section) {
		line, isCode := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !isCode || line == "make build" {
			continue
		}
		for part, want := range awaited {
			if strings.Contains(line, part) && strings.Contains(line, "#") {
				line = fmt.Sprintf("await '%s' %s", want, line)
				delete(awaited, part)
			}
		}
		if script = append(script, line); strings.HasSuffix(line, "--connect ws://127.0.0.1:7001 &") { // a reader is slower
			for _, node := range []string{"a", "b"} {
				script = append(script, fmt.Sprintf("until ./lode rpc --datadir /tmp/%s getblockcount >/dev/null 2>&1; do sleep 0.1; done", node))
			}
		}
	}
	if len(awaited) > 0 {
		t.Errorf("the README does not say that these take a moment: %v", awaited)
	}
	text := strings.Join(append(script, "wait"), "\n")
	for from, to := range map[string]string{"/tmp/": dir + "/"} {
		text = strings.ReplaceAll(text, from, to)
	}
	for _, port := range []string{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7101", "127.0.0.1:7102"} {
		text = strings.ReplaceAll(text, port, freePort(t))
	}
	if err := os.Symlink(program, filepath.Join(dir, "lode")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", text)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "received") {
		t.Errorf("%v\n%s\n%s", err, text, out)
	}
}
