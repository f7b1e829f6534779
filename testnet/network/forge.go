package network

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"lode/consensus"
)

// Forge is a node apart from the others, that exists while a fork is mined: a real
// node with a chain of its own, whom nobody knows until its chain is shown.
type Forge struct {
	Node
}

// forgeIndex is where the ports and the address of a forge are among the nodes.
const forgeIndex = MaxNodes + 1

func (n *Network) forgeDir() string { return n.path("forge") }

// openForge starts a forge with the chain of a node up to a height.
func (n *Network) openForge(ctx context.Context, like *Node, height int) (f *Forge, err error) {
	if n.Forge != nil {
		if err := n.dropForge(); err != nil { // of a command that was killed
			return nil, err
		}
	}
	if err := os.RemoveAll(n.forgeDir()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(n.forgeDir(), 0o700); err != nil {
		return nil, err
	}
	f = &Forge{*newNode(forgeIndex, n.Nodes[0].Peers, 0)}
	f.Index = 0 // it is none of the network
	f.Address = like.Address
	log := filepath.Join(n.forgeDir(), "node.log")
	p, exited, err := start(log, n.env(), n.Program, "node", "--network", n.SpecFile(), "--datadir", n.forgeDir(), "--outbound", "0",
		"--listen", strings.TrimPrefix(f.URL(), "ws://"), "--rpc-listen", f.rpcAddress(), "--dial-from", f.Host, "--dbcache", "16", "--uacomment", "forge")
	if err != nil {
		return nil, fmt.Errorf("the node that mines apart: %w", err)
	}
	f.Process = p
	n.Forge = f
	if err := n.save(); err != nil {
		return nil, errors.Join(err, p.kill())
	}
	if err := n.answers(ctx, n.forgeDir(), f.rpcAddress(), exited); err != nil {
		return nil, fmt.Errorf("the node that mines apart did not start: %s: %w", lastLine(log), err)
	}
	return f, n.feed(ctx, like, height)
}

// callForge calls the forge.
func (n *Network) callForge(ctx context.Context, result any, method string, params ...any) error {
	cl, err := n.clientAt(n.forgeDir(), n.Forge.rpcAddress(), "")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	if err := cl.Call(ctx, method, params, result); err != nil {
		return fmt.Errorf("the node that mines apart, %s: %w", method, err)
	}
	return nil
}

// feed gives the forge the blocks of a node up to a height.
func (n *Network) feed(ctx context.Context, from *Node, height int) error {
	for h := 1; h <= height; h++ {
		raw, err := n.rawBlock(ctx, from, h)
		if err != nil {
			return err
		}
		var refused *string
		if err := n.callForge(ctx, &refused, "submitblock", raw); err != nil {
			return err
		}
		if refused != nil {
			return fmt.Errorf("block %d is refused by the node that mines apart: %s", h, *refused)
		}
	}
	return nil
}

func (n *Network) rawBlock(ctx context.Context, node *Node, height int) (raw string, err error) {
	var hash consensus.Hash
	if err := n.Call(ctx, node, &hash, "getblockhash", height); err != nil {
		return "", err
	}
	err = n.Call(ctx, node, &raw, "getblock", hash, 0)
	return raw, err
}

// dropForge ends the forge and removes what it has. What it has shown is the others'.
func (n *Network) dropForge() error {
	f := n.Forge
	if f == nil {
		return nil
	}
	if err := f.Process.kill(); err != nil {
		return err
	}
	n.Forge = nil
	return errors.Join(os.RemoveAll(n.forgeDir()), n.save())
}

// Fork says which payments a competing fork is to leave out, or to replace.
type Fork struct {
	Depth       int              // blocks of the active chain that lose
	Drop        []consensus.Hash // these, and what builds on them, are not in it
	Replace     consensus.Hash   // the coins of this one go elsewhere; zero for none
	To          string           // where to: an address, or the number of a node
	KeepMempool bool             // no payment is in it: all return to the mempools
}

// Reorged is what a reorganization did.
type Reorged struct {
	Depth    int            `json:"depth"`    // blocks that the nodes left
	Blocks   int            `json:"blocks"`   // of the fork that won
	From     consensus.Hash `json:"from"`     // the tip before
	To       consensus.Hash `json:"to"`       // the tip after
	Height   int            `json:"height"`   // after
	Kept     int            `json:"kept"`     // payments that the fork confirms, too
	Left     int            `json:"left_out"` // payments that it does not
	Replaced consensus.Hash `json:"replaced_by,omitzero"`
}

// Reorg has every node that runs leave the last blocks of its chain for a competing
// fork with more work, which a node apart has mined. Nobody mines meanwhile, so that
// the depth is what was asked for.
func (n *Network) Reorg(ctx context.Context, fork Fork) (r Reorged, err error) {
	running := n.Running()
	if len(running) == 0 {
		return r, fmt.Errorf("%w: none of the network", ErrStopped)
	}
	if n.Groups != nil {
		return r, fmt.Errorf("%w: the network is cut: `lode testnet heal` first", ErrUsage)
	}
	err = n.still(ctx, func() error {
		if err := n.agree(ctx, running); err != nil {
			return err
		}
		r, err = n.reorg(ctx, running, fork)
		return errors.Join(err, n.dropForge())
	})
	return r, err
}

func (n *Network) reorg(ctx context.Context, running []*Node, fork Fork) (r Reorged, err error) {
	first := running[0]
	before, err := n.tipOf(ctx, first)
	if err != nil {
		return r, err
	}
	if fork.Depth < 1 || fork.Depth > before.Height {
		return r, fmt.Errorf("%w: a reorganization of %d blocks: want 1 to %d, the height", ErrUsage, fork.Depth, before.Height)
	}
	txs, err := n.payments(ctx, first, before.Height-fork.Depth+1, before.Height)
	if err != nil {
		return r, err
	}
	var other *spend
	if fork.Replace != (consensus.Hash{}) {
		if other, err = n.replacement(ctx, txs, fork); err != nil {
			return r, err
		}
		fork.Drop = append(fork.Drop, fork.Replace)
	}
	for _, id := range fork.Drop {
		if _, ok := txs.byID[id]; !ok {
			return r, fmt.Errorf("%w: no payment %s is in the last %d blocks: choose a greater --depth", ErrUsage, id, fork.Depth)
		}
	}
	if _, err := n.openForge(ctx, first, before.Height-fork.Depth); err != nil {
		return r, err
	}
	if other != nil {
		if err := n.callForge(ctx, nil, "sendrawtransaction", other.hex, 0); err != nil {
			return r, err
		}
		r.Replaced = other.id
	}
	if !fork.KeepMempool {
		r.Kept = n.offer(ctx, txs, fork.Drop)
	}
	r.Left = len(txs.order) - r.Kept
	after, err := n.outmine(ctx, before, fork.Depth)
	if err != nil {
		return r, err
	}
	r.Depth, r.From, r.To, r.Height = fork.Depth, before.Hash, after.Hash, after.Height
	r.Blocks = after.Height - (before.Height - fork.Depth)
	return r, n.show(ctx, running, after)
}

// payments are the transactions of some blocks, but for coinbases.
type payments struct {
	order []consensus.Hash
	byID  map[consensus.Hash]*consensus.Tx
}

func (n *Network) payments(ctx context.Context, node *Node, first, last int) (*payments, error) {
	p := &payments{byID: make(map[consensus.Hash]*consensus.Tx)}
	for h := first; h <= last; h++ {
		raw, err := n.rawBlock(ctx, node, h)
		if err != nil {
			return nil, err
		}
		block, err := decodeBlock(raw)
		if err != nil {
			return nil, err
		}
		for _, tx := range block.Txs[1:] {
			id := tx.TxID()
			p.order, p.byID[id] = append(p.order, id), tx
		}
	}
	return p, nil
}

// offer gives the forge all payments but some, and what builds on them, and says how
// many it takes: those that spend a coinbase that the fork does not have cannot be in
// it.
func (n *Network) offer(ctx context.Context, txs *payments, drop []consensus.Hash) (kept int) {
	out := make(map[consensus.Hash]bool)
	for _, id := range drop {
		out[id] = true
	}
	for _, id := range txs.order {
		tx := txs.byID[id]
		for _, in := range tx.In {
			out[id] = out[id] || out[in.PrevOut.TxID]
		}
		if !out[id] && n.callForge(ctx, nil, "sendrawtransaction", fmt.Sprintf("%x", tx.Bytes()), 0) == nil {
			kept++
		}
	}
	return kept
}

// outmine mines on the forge until its chain has more work than another, which depth
// blocks would lose to.
func (n *Network) outmine(ctx context.Context, than tip, depth int) (t tip, err error) {
	const tries = 1<<31 - 1
	for count := depth; ; count = 1 {
		if err := n.callForge(ctx, nil, "generatetoaddress", count, n.Forge.Address, tries); err != nil {
			return t, err
		}
		if err := n.callForge(ctx, &t, "getblockchaininfo"); err != nil {
			return t, err
		}
		if t.Work > than.Work {
			return t, nil
		}
	}
}

// show connects the forge with all nodes, and waits until they have its chain.
func (n *Network) show(ctx context.Context, running []*Node, t tip) error {
	for _, node := range running {
		if err := n.callForge(ctx, nil, "addnode", node.URL(), "add"); err != nil {
			return err
		}
	}
	return waitFor(ctx, agreePatience, "the nodes to follow the fork", func() (bool, error) {
		for _, node := range running {
			now, err := n.tipOf(ctx, node)
			if err != nil {
				return false, err
			}
			if now.Hash != t.Hash {
				return false, nil
			}
		}
		return true, nil
	})
}

// Churn is a Reorg of a random depth, as deep as most and as the chain.
func (n *Network) Churn(ctx context.Context, most int) (r Reorged, err error) {
	running := n.Running()
	if len(running) == 0 {
		return r, fmt.Errorf("%w: none of the network", ErrStopped)
	}
	t, err := n.tipOf(ctx, running[0])
	if err != nil {
		return r, err
	}
	return n.Reorg(ctx, Fork{Depth: 1 + rand.IntN(max(1, min(most, t.Height)))})
}
