package network

import (
	"context"
	"fmt"
	"time"

	"lode/consensus"
)

// agreePatience is for all nodes to have one tip.
const agreePatience = 2 * time.Minute

// generate has a node mine blocks at once, and gives their hashes.
func (n *Network) generate(ctx context.Context, node *Node, address string, count int) (hashes []consensus.Hash, err error) {
	const tries = 1<<31 - 1 // the most that the call takes
	for len(hashes) < count {
		var some []consensus.Hash
		if err := n.Call(ctx, node, &some, "generatetoaddress", min(count-len(hashes), 10), address, tries); err != nil {
			return hashes, err
		}
		if len(some) == 0 && ctx.Err() == nil {
			return hashes, fmt.Errorf("node %d found no block in %d tries", node.Index, tries)
		}
		hashes = append(hashes, some...)
	}
	return hashes, ctx.Err()
}

// Mine has node I mine blocks at once, beside those that all mine at their pace.
func (n *Network) Mine(ctx context.Context, index, count int) ([]consensus.Hash, error) {
	const most = 10_000
	node, err := n.Node(index)
	if err != nil {
		return nil, err
	}
	if count < 1 || count > most {
		return nil, fmt.Errorf("%w: %d blocks: want 1 to %d", ErrUsage, count, most)
	}
	return n.generate(ctx, node, node.Address, count)
}

// Pause has all nodes rest from mining, or go on.
func (n *Network) Pause(ctx context.Context, on bool) error {
	n.Paused = on
	if err := n.save(); err != nil {
		return err
	}
	for _, node := range n.Running() {
		if err := n.setMining(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// still runs f while nobody mines by itself.
func (n *Network) still(ctx context.Context, f func() error) error {
	if n.Paused {
		return f()
	}
	if err := n.Pause(ctx, true); err != nil {
		return err
	}
	err := f()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callPatience)
	defer cancel()
	if resumed := n.Pause(ctx, false); err == nil {
		err = resumed
	}
	return err
}

// tip is the end of a node's active chain.
type tip struct {
	Height int            `json:"blocks"`
	Hash   consensus.Hash `json:"bestblockhash"`
	Work   string         `json:"chainwork"` // hex, of one length
}

func (n *Network) tipOf(ctx context.Context, node *Node) (t tip, err error) {
	err = n.Call(ctx, node, &t, "getblockchaininfo")
	return t, err
}

// agree waits until all of the nodes have one tip.
func (n *Network) agree(ctx context.Context, nodes []*Node) error {
	return waitFor(ctx, agreePatience, "the nodes to agree on a tip", func() (bool, error) {
		return n.agreed(ctx, nodes)
	})
}

func (n *Network) agreed(ctx context.Context, nodes []*Node) (bool, error) {
	var first tip
	for i, node := range nodes {
		t, err := n.tipOf(ctx, node)
		if err != nil {
			return false, err
		}
		if i == 0 {
			first = t
		}
		if t.Hash != first.Hash {
			return false, nil
		}
	}
	return true, nil
}

// Agree waits until all nodes that run, of each part of the network, have one tip.
func (n *Network) Agree(ctx context.Context) error {
	for _, part := range n.parts() {
		var nodes []*Node
		for _, i := range part {
			if node := n.Nodes[i-1]; node.Process.alive() {
				nodes = append(nodes, node)
			}
		}
		if err := n.agree(ctx, nodes); err != nil {
			return err
		}
	}
	return nil
}
