//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what a run took.
type cost struct {
	seconds, cpu float64
	peak         float64 // MB of memory, as the kernel counts it; 0 if that means nothing
}

// timed runs a command and gives what it took and what it printed.
func timed(cmd *exec.Cmd) (c cost, out []byte, err error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	if err := cmd.Run(); err != nil {
		return c, nil, fmt.Errorf("%s: %w: %s%s", cmd, err, &stdout, &stderr)
	}
	return costOf(cmd, started), stdout.Bytes(), nil
}

// costOf is what a process took that has just ended.
func costOf(cmd *exec.Cmd, started time.Time) (c cost) {
	c.seconds = time.Since(started).Seconds()
	c.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	unit := 1024.0 // Linux counts in KiB
	if runtime.GOOS == "darwin" {
		unit = 1
	}
	c.peak = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * unit / 1e6
	return c
}

// imported is what `lode chain import --json` says.
type imported struct{ Blocks, Transactions, Inputs int }

// lodeImport imports a file into a fresh directory, which stays.
func (b *bench) lodeImport(ctx context.Context, file, datadir string) (c cost, got imported, err error) {
	if err := errors.Join(os.RemoveAll(datadir), os.MkdirAll(datadir, 0o700)); err != nil {
		return c, got, err
	}
	c, out, err := timed(exec.CommandContext(ctx, b.lode(), "chain", "import", "--json", "--network", "regtest", "--datadir", datadir, file))
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	return c, got, err
}

// btcdImport imports a file with addblock, and makes sure that all blocks are
// in.
func (b *bench) btcdImport(ctx context.Context, file string, blocks int) (cost, error) {
	dir := filepath.Join(b.dir, "btcd")
	defer os.RemoveAll(dir)
	c, out, err := timed(exec.CommandContext(ctx, b.addblock(), "--regtest", "-b", dir, "-i", file, "-p", "0"))
	if want := fmt.Sprintf("(%d imported", blocks); err == nil && !strings.Contains(string(out), want) {
		err = fmt.Errorf("addblock does not say %q: %s", want, out)
	}
	return c, err
}

// btcecVerify verifies a file's signatures one by one.
func (b *bench) btcecVerify(ctx context.Context, file string) (c cost, signatures int, err error) {
	self, err := os.Executable()
	if err != nil {
		return c, 0, err
	}
	_, out, err := timed(exec.CommandContext(ctx, self, "btcec", file))
	var v verified
	if err == nil {
		err = json.Unmarshal(out, &v)
	}
	return cost{seconds: v.Seconds, cpu: v.CPU}, v.Signatures, err
}

// start runs a node until it answers, and then for a while. It gives the time
// from its start to the first answer, and the memory that it has at the end, in
// MB.
func (b *bench) start(ctx context.Context, datadir string, idle time.Duration) (ready time.Duration, memory float64, err error) {
	n, err := b.startNode(ctx, datadir)
	if err != nil {
		return 0, 0, err
	}
	err = n.awaitReady(ctx)
	ready = time.Since(n.started)
	if err == nil && idle > 0 {
		select {
		case <-time.After(idle):
			memory, err = residentMemory(n.cmd.Process.Pid)
		case <-ctx.Done():
		}
	}
	return ready, memory, n.stop(err)
}

// residentMemory is the memory of a process in MB, where /proc tells it.
func residentMemory(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("the memory of a process is only measured on Linux: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(rest + " ?")[0], 64)
	return kib * 1024 / 1e6, err
}
