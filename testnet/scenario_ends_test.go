//go:build unix

package testnet_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestScenarioEnds: whatever ends `lode testnet run`, the nodes do not outlive it where
// it could do something about it, and else `down` ends them.
func TestScenarioEnds(t *testing.T) {
	onlyScenarios(t)
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL} {
		for _, when := range []string{"Mining", "until Ctrl-C"} {
			t.Run(fmt.Sprintf("%v at %s", end, when), func(t *testing.T) {
				n := newTestnetwork(t)
				cmd := exec.Command(program, "testnet", "run", "--networks", n.dir, "2", "--block-time", "1")
				out := new(logBuffer)
				cmd.Stdout, cmd.Stderr = out, out
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				waitFor(t, when, func() bool { return strings.Contains(out.String(), when) })
				pids := n.status()
				if err := cmd.Process.Signal(end); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				if end == syscall.SIGKILL {
					n.run("down")
				}
				for _, s := range pids {
					if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", s.PID)); s.PID != 0 && err == nil { // not one that only waits to be asked about
						t.Errorf("node %d is still there; the command said %s", s.PID, out)
					}
				}
				for _, s := range n.status() {
					if s.State != "stopped" {
						t.Errorf("a node is %s; the command said %s", s.State, out)
					}
				}
				n.run("up") // it goes on from there
			})
		}
	}
}
