//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"lode/rpc/client"
)

// syncPeers is how many nodes have the chain that another one fetches.
const syncPeers = 2

// nodeProcess is a running node.
type nodeProcess struct {
	cmd     *exec.Cmd
	out     bytes.Buffer
	dir     string // of the network
	peers   string // HOST:PORT where it listens
	started time.Time
}

// startNode runs a node that dials nobody but those in flags.
func (b *bench) startNode(ctx context.Context, datadir string, flags ...string) (*nodeProcess, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nodeProcess{dir: filepath.Join(datadir, "regtest"), peers: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	n.cmd = exec.CommandContext(ctx, b.lode(), append([]string{"node", "--network", "regtest", "--datadir", datadir,
		"--listen", n.peers, "--rpc-listen", "127.0.0.1:0", "--outbound", "0"}, flags...)...)
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.out
	n.started = time.Now()
	return n, n.cmd.Start()
}

// stop ends the process.
func (n *nodeProcess) stop(err error) error {
	if err = errors.Join(err, n.cmd.Process.Signal(syscall.SIGTERM), n.cmd.Wait()); err != nil {
		return fmt.Errorf("lode node: %w: %s", err, &n.out)
	}
	return nil
}

// await asks a node until it answers as it should.
func (n *nodeProcess) await(ctx context.Context, pause time.Duration, good func(*client.Client) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for ; ctx.Err() == nil; time.Sleep(pause) {
		address, err := os.ReadFile(filepath.Join(n.dir, ".rpc-address"))
		auth, failure := client.Cookie(filepath.Join(n.dir, ".cookie"))
		if err != nil || failure != nil {
			continue
		}
		node, err := client.New(strings.TrimSpace(string(address)), auth)
		if err == nil && good(node) {
			return nil
		}
	}
	return ctx.Err()
}

func (n *nodeProcess) awaitReady(ctx context.Context) error {
	return n.await(ctx, 500*time.Microsecond, func(c *client.Client) bool { return c.Call(ctx, "getblockcount", nil, nil) == nil })
}

// lodeSync has a fresh node fetch a chain of so many blocks from others by
// WebSocket. The cost is that of its whole process, as with the import.
func (b *bench) lodeSync(ctx context.Context, sources []string, blocks int) (c cost, err error) {
	datadir := filepath.Join(b.dir, "synced")
	defer os.RemoveAll(datadir)
	var flags []string
	for _, dir := range sources {
		source, err := b.startNode(ctx, dir)
		if err != nil {
			return c, err
		}
		defer func() { err = source.stop(err) }()
		if err := source.awaitReady(ctx); err != nil {
			return c, err
		}
		flags = append(flags, "--connect", "ws://"+source.peers)
	}
	n, err := b.startNode(ctx, datadir, flags...)
	if err != nil {
		return c, err
	}
	err = n.await(ctx, 10*time.Millisecond, func(node *client.Client) bool {
		var height int
		return node.Call(ctx, "getblockcount", nil, &height) == nil && height == blocks
	})
	if err = n.stop(err); err != nil {
		return c, err
	}
	return costOf(n.cmd, n.started), nil
}
