package network

import (
	"context"
	"fmt"
	"time"

	"lode/consensus"
)

// Payment is a payment that was confirmed on all nodes.
type Payment struct {
	TxID     consensus.Hash
	From, To int
	Took     time.Duration // from sending to the block that holds it, on all nodes
	Nodes    []NodeStatus  // with one tip and one UTXO set
}

// confirmPatience is for a payment to be confirmed, with blocks at their pace.
func (n *Network) confirmPatience() time.Duration {
	return time.Minute + 30*time.Duration(n.BlockTime)*time.Second
}

// Demonstrate pays from the first wallet to the second one, and waits until all nodes
// have the payment in a block, one tip and one UTXO set.
func (n *Network) Demonstrate(ctx context.Context, amount string) (p Payment, err error) {
	p.From, p.To = 1, min(2, len(n.Nodes))
	began := time.Now()
	if p.TxID, err = n.Send(ctx, p.From, fmt.Sprint(p.To), amount); err != nil {
		return p, err
	}
	n.Say("node %d pays node %d %s coins: %s", p.From, p.To, amount, p.TxID)
	if err := n.Confirmed(ctx, p.TxID, n.confirmPatience()); err != nil {
		return p, err
	}
	p.Took = time.Since(began)
	err = waitFor(ctx, agreePatience, "all nodes to agree", func() (bool, error) {
		p.Nodes = n.Status(ctx)
		return same(p.Nodes), ctx.Err()
	})
	return p, err
}

// same reports whether all nodes that run have one tip and one UTXO set.
func same(list []NodeStatus) bool {
	var first *NodeStatus
	for i := range list {
		switch s := &list[i]; {
		case s.State == "stopped" || s.State == "ended":
		case first == nil:
			first = s
		case s.Tip != first.Tip || s.UTXOHash != first.UTXOHash:
			return false
		}
	}
	return first != nil && first.UTXOHash != (consensus.Hash{})
}
