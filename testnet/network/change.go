package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Start starts nodes that do not run.
func (n *Network) Start(ctx context.Context, indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	return n.startAll(ctx, nodes)
}

// Stop stops nodes cleanly.
func (n *Network) Stop(indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		err = errors.Join(err, n.halt(node))
	}
	return errors.Join(err, n.save())
}

// Kill ends nodes at once, as a crash would.
func (n *Network) Kill(indexes ...int) error {
	nodes, err := n.named(indexes)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if !node.Process.alive() {
			err = errors.Join(err, fmt.Errorf("%w: node %d", ErrStopped, node.Index))
			continue
		}
		err = errors.Join(err, node.Process.kill()) // it stays in the state: status says that it has ended
	}
	return err
}

func (n *Network) named(indexes []int) (nodes []*Node, err error) {
	for _, i := range indexes {
		node, err := n.Node(i)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// keptByWipe is what a node keeps of its directory: keys, and which wallets to load.
var keptByWipe = []string{"wallets", "settings.json"}

// Wipe removes all that a node has but its wallet. One that runs is stopped for that,
// and started again: it fetches everything from its peers.
func (n *Network) Wipe(ctx context.Context, index int) error {
	node, err := n.Node(index)
	if err != nil {
		return err
	}
	ran := node.Process.alive()
	if err := n.halt(node); err != nil {
		return err
	}
	dir, err := n.netDir(n.DataDir(node))
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !slices.Contains(keptByWipe, e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	if err = errors.Join(err, n.save()); err != nil || !ran {
		return err
	}
	return n.startAll(ctx, []*Node{node})
}

// SetClock has the clock of a node be ahead of the machine's by some seconds.
func (n *Network) SetClock(ctx context.Context, index int, ahead int64) error {
	node, err := n.Node(index)
	if err != nil {
		return err
	}
	spec, err := n.Spec()
	if err != nil {
		return err
	}
	if !spec.Defaults.MockClock {
		return fmt.Errorf("%w: the chainspec does not allow other clocks: defaults.mock_clock", ErrUsage)
	}
	const most = 365 * 24 * time.Hour
	if d := time.Duration(ahead) * time.Second; d > most || d < -most {
		return fmt.Errorf("%w: %d seconds: want a year at most", ErrUsage, ahead)
	}
	node.Clock = ahead
	if err := n.save(); err != nil || !node.Process.alive() {
		return err
	}
	return n.Call(ctx, node, nil, "setclockahead", ahead)
}
