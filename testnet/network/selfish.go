package network

import (
	"context"
	"fmt"

	"lode/consensus"
)

// withheld is the strategy of a selfish miner (Eyal and Sirer, "Majority is not
// Enough", 2013), who keeps what it finds to itself until that makes the work of
// others useless. It is stepped by finds, and says what to do. Heights are counted
// from the last block that both chains have:
//
//	lead 0    the others find: take their block; own find: keep it, lead 1
//	lead 1    the others find: show one, and whoever finds next decides (tie)
//	lead 2    the others find: show all, they lose one block
//	lead more the others find: show one more
//	tie       own find: show all; the others find: take their blocks
type withheld struct {
	own, others int // blocks since the fork
	shown       int // of own
}

// move is what to do: show own blocks up to a number, or take the others' chain. The
// zero value is nothing.
type move struct {
	show  int
	adopt bool
}

// found is a find of the selfish miner.
func (w *withheld) found() move {
	w.own++
	if w.shown > 0 && w.own == w.others+1 && w.shown == w.others {
		return w.win() // of a tie
	}
	return move{}
}

// seen is a find of the others.
func (w *withheld) seen() move {
	w.others++
	switch lead := w.own - w.others; {
	case lead < 0:
		*w = withheld{}
		return move{adopt: true}
	case lead == 1:
		return w.win()
	default: // a tie, or one more of many
		w.shown = w.others
		return move{show: w.shown}
	}
}

func (w *withheld) win() move {
	m := move{show: w.own}
	*w = withheld{}
	return m
}

// Selfish is how a selfish miner did.
type Selfish struct {
	Node   int     `json:"node"`
	Share  float64 `json:"share"`  // of all hash rate
	Blocks int     `json:"blocks"` // of the chain since the beginning
	Own    int     `json:"own"`    // of them, the selfish miner's
	Wasted int     `json:"wasted"` // blocks of the others that are not in the chain
	Lost   int     `json:"lost"`   // blocks of the selfish miner that are not
}

// Selfish has the last node get a share of all hash rate, and withhold its blocks as a
// selfish miner does, until the chain has grown by some blocks.
func (n *Network) Selfish(ctx context.Context, share float64, blocks int) (r Selfish, err error) {
	if !(share > 0 && share < 1) || blocks < 1 || blocks > 10_000 {
		return r, fmt.Errorf("%w: a share of %.2f for %d blocks: want one between 0 and 1, and 1 to 10000 blocks", ErrUsage, share, blocks)
	}
	running, err := n.mining(2)
	if err != nil {
		return r, err
	}
	honest, attacker := running[:len(running)-1], running[len(running)-1]
	rate := uint64(share / (1 - share) * float64(rates(honest)))
	r.Node, r.Share = attacker.Index, share
	n.Say("Node %d mines with %.0f %% of the hash rate, and keeps its blocks to itself.", attacker.Index, 100*share)
	err = n.healed(ctx, func() error {
		if err := n.Partition(ctx, [][]int{indexes(honest), {attacker.Index}}); err != nil {
			return err
		}
		return n.atRate(ctx, attacker, rate, func() error { return n.withhold(ctx, honest, attacker, blocks, &r) })
	})
	if err == nil {
		n.Say("Of %d blocks it has %d (%.0f %%). %d blocks of the others were wasted, and %d of its own.", r.Blocks, r.Own, 100*float64(r.Own)/float64(max(1, r.Blocks)), r.Wasted, r.Lost)
	}
	return r, err
}

// withholding is a selfish miner at work: its node is cut off, and gets and shows
// blocks by RPC alone.
type withholding struct {
	n                *Network
	public, attacker *Node
	honest           []*Node
	fork             int // height of the last block that both chains have
	strategy         withheld
	found, seen      int
}

func (n *Network) withhold(ctx context.Context, honest []*Node, attacker *Node, blocks int, r *Selfish) error {
	if err := n.outmineTie(ctx, honest[0], attacker); err != nil {
		return err
	}
	t, err := n.tipOf(ctx, honest[0])
	if err != nil {
		return err
	}
	w := &withholding{n: n, public: honest[0], honest: honest, attacker: attacker, fork: t.Height}
	first := t.Height
	err = waitFor(ctx, n.blockPatience(4*blocks), "the chain to grow", func() (bool, error) {
		if err := w.look(ctx); err != nil {
			return false, err
		}
		return w.fork-first >= blocks, nil
	})
	if err != nil {
		return err
	}
	for h := first + 1; h <= w.fork; h++ {
		raw, err := n.rawBlock(ctx, w.public, h)
		if err != nil {
			return err
		}
		block, err := decodeBlock(raw)
		if err != nil {
			return err
		}
		miner, err := n.minerOf(block)
		if err != nil {
			return err
		}
		if r.Blocks++; miner == attacker.Index {
			r.Own++
		}
	}
	r.Wasted, r.Lost = max(0, w.seen-w.strategy.others-(r.Blocks-r.Own)), max(0, w.found-w.strategy.own-r.Own)
	return nil
}

// outmineTie gives both sides one tip to begin with.
func (n *Network) outmineTie(ctx context.Context, from, to *Node) error {
	return waitFor(ctx, agreePatience, "one tip to begin with", func() (bool, error) {
		t, err := n.tipOf(ctx, from)
		if err != nil {
			return false, err
		}
		own, err := n.tipOf(ctx, to)
		if err != nil || own.Hash == t.Hash {
			return err == nil, err
		}
		ahead, behind, top := from, to, t.Height
		if own.Work > t.Work {
			ahead, behind, top = to, from, own.Height
		}
		return false, n.pass(ctx, ahead, behind, max(1, top-10), top)
	})
}

// look takes note of finds since the last look, and does what the strategy says.
func (w *withholding) look(ctx context.Context) error {
	own, err := w.n.tipOf(ctx, w.attacker)
	if err != nil {
		return err
	}
	others, err := w.n.tipOf(ctx, w.public)
	if err != nil {
		return err
	}
	for w.fork+w.strategy.own < own.Height {
		w.found++
		if done, err := w.do(ctx, w.strategy.found()); done || err != nil {
			return err
		}
	}
	for w.fork+w.strategy.others < others.Height {
		w.seen++
		if done, err := w.do(ctx, w.strategy.seen()); done || err != nil {
			return err
		}
	}
	return nil
}

// do moves, and reports whether both have one chain again.
func (w *withholding) do(ctx context.Context, m move) (joined bool, err error) {
	switch {
	case m.adopt:
		t, err := w.n.tipOf(ctx, w.public)
		if err != nil {
			return true, err
		}
		if err := w.n.pass(ctx, w.public, w.attacker, w.fork+1, t.Height); err != nil {
			return true, err
		}
		return true, w.join(ctx)
	case m.show > 0:
		before := w.fork
		if err := w.n.pass(ctx, w.attacker, w.public, before+1, before+m.show); err != nil {
			return true, err
		}
		if w.strategy == (withheld{}) {
			return true, w.join(ctx)
		}
	}
	return false, nil
}

// join finds the last block that both chains have.
func (w *withholding) join(ctx context.Context) error {
	own, err := w.n.tipOf(ctx, w.attacker)
	if err != nil {
		return err
	}
	others, err := w.n.tipOf(ctx, w.public)
	if err != nil {
		return err
	}
	w.strategy = withheld{}
	for h := min(own.Height, others.Height); h > 0; h-- {
		var a, b consensus.Hash
		if err := w.n.Call(ctx, w.attacker, &a, "getblockhash", h); err != nil {
			return err
		}
		if err := w.n.Call(ctx, w.public, &b, "getblockhash", h); err != nil {
			return err
		}
		if a == b {
			w.fork = h
			return nil
		}
	}
	return nil
}

// pass gives the blocks of a node's chain at some heights to another.
func (n *Network) pass(ctx context.Context, from, to *Node, first, last int) error {
	for h := first; h <= last; h++ {
		raw, err := n.rawBlock(ctx, from, h)
		if err != nil {
			return err
		}
		if err := n.Call(ctx, to, nil, "submitblock", raw); err != nil {
			return err
		}
	}
	return nil
}

// minerOf is the node that mined a block; 0 if it was none of the network.
func (n *Network) minerOf(block *consensus.Block) (int, error) {
	spec, err := n.Spec()
	if err != nil {
		return 0, err
	}
	for _, node := range n.Nodes {
		key, err := consensus.ParseAddress(spec.Defaults.AddressPrefix, node.Address)
		if err != nil {
			return 0, err
		}
		if string(consensus.TaprootScript(key)) == string(block.Txs[0].Out[0].Script) {
			return node.Index, nil
		}
	}
	return 0, nil
}
