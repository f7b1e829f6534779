package network

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lode/wallet"
)

// rates are the hashes a second of some nodes together.
func rates(nodes []*Node) (sum uint64) {
	for _, node := range nodes {
		sum += node.Rate
	}
	return sum
}

// mining gives the nodes that run, if they mine and there are enough of them.
func (n *Network) mining(least int) ([]*Node, error) {
	running, err := n.whole(least)
	if err == nil && n.Paused {
		err = fmt.Errorf("%w: nobody mines: `lode testnet resume` first", ErrUsage)
	}
	if err == nil && rates(running) == 0 {
		err = fmt.Errorf("%w: no node of the network mines", ErrUsage)
	}
	return running, err
}

// atRate runs f while a node mines at another rate than its own.
func (n *Network) atRate(ctx context.Context, node *Node, rate uint64, f func() error) error {
	if err := n.Call(ctx, node, nil, "setgenerate", true, rate); err != nil {
		return err
	}
	err := f()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callPatience)
	defer cancel()
	return errors.Join(err, n.setMining(ctx, node))
}

// Attack51 has the last node get two thirds of all hash rate, and use it: it pays a
// merchant, mines a chain apart in which the coin is its own again, and shows it when
// the payment has its confirmations. All blocks are mined at their pace.
func (n *Network) Attack51(ctx context.Context, amount string, confirmations int) (d DoubleSpent, err error) {
	sum, err := wallet.ParseAmount(amount)
	if err != nil {
		return d, fmt.Errorf("%w: the amount %q: %w", ErrUsage, amount, err)
	}
	if confirmations < 1 || confirmations > 100 {
		return d, fmt.Errorf("%w: %d confirmations: want 1 to 100", ErrUsage, confirmations)
	}
	running, err := n.mining(2)
	if err != nil {
		return d, err
	}
	honest, attacker := running[:len(running)-1], running[len(running)-1]
	merchant := honest[0]
	d.Merchant, d.Payer, d.Confirmations = merchant.Index, attacker.Index, confirmations
	to, err := n.Receiver(ctx, fmt.Sprint(merchant.Index))
	if err != nil {
		return d, err
	}
	payment, rival, err := n.spendTwice(ctx, attacker, to, sum)
	if err != nil {
		return d, err
	}
	d.Payment, d.Rival = payment.id, rival.id
	rate := 2 * rates(honest)
	n.Say("Node %d mines with %d kH/s, the others together with %d kH/s.", attacker.Index, rate/1000, rates(honest)/1000)
	return d, n.healed(ctx, func() error {
		if err := n.Partition(ctx, [][]int{indexes(honest), {attacker.Index}}); err != nil {
			return err
		}
		if err := n.Call(ctx, merchant, nil, "sendrawtransaction", payment.hex, 0); err != nil {
			return err
		}
		if err := n.Call(ctx, attacker, nil, "sendrawtransaction", rival.hex, 0); err != nil {
			return err
		}
		n.Say("It pays %s coins to node %d (payment %s), and mines apart, where the coin is its own (rival %s).", Coins(sum), merchant.Index, d.Payment, d.Rival)
		return n.atRate(ctx, attacker, rate, func() error { return n.overtake(ctx, honest, attacker, &d) })
	})
}

// overtake waits for the confirmations that the merchant wants, and for the attacker to
// be two blocks ahead, so that a block that is found just then does not save the
// payment. Then it shows the chain.
func (n *Network) overtake(ctx context.Context, honest []*Node, attacker *Node, d *DoubleSpent) error {
	told := false
	patience := n.blockPatience(20 * (d.Confirmations + 2))
	err := waitFor(ctx, patience, "the attacker to be ahead", func() (bool, error) {
		c, err := n.confirmations(ctx, honest[0], d.Payment)
		if err != nil {
			return false, err
		}
		own, err := n.tipOf(ctx, attacker)
		if err != nil {
			return false, err
		}
		other, err := n.tipOf(ctx, honest[0])
		if err != nil {
			return false, err
		}
		if c >= d.Confirmations && !told {
			told = true
			n.Say("The payment has %d confirmations, and node %d delivers. The chain apart is at height %d, the others' at %d.", c, d.Merchant, own.Height, other.Height)
		}
		return told && own.Height >= other.Height+2 && own.Work > other.Work, nil
	})
	if err != nil {
		return err
	}
	n.Say("The chain apart has more work, and node %d shows it:", attacker.Index)
	if err := n.Heal(ctx); err != nil {
		return err
	}
	return n.conclude(ctx, append(honest, attacker), d)
}

// Censored is how a payment did that some miners would not have in a block.
type Censored struct {
	Censors []int         `json:"censors"` // nodes
	Share   float64       `json:"share"`   // of all hash rate
	Without int           `json:"without"` // blocks of theirs that could have held it
	Miner   int           `json:"miner"`   // who had it in a block
	Blocks  int           `json:"blocks"`  // until then
	Took    time.Duration `json:"took"`
}

// Censor has miners with at most a share of all hash rate leave a payment out of their
// blocks, and waits until somebody else confirms it.
func (n *Network) Censor(ctx context.Context, amount string, share float64) (c Censored, err error) {
	sum, err := wallet.ParseAmount(amount)
	if err != nil {
		return c, fmt.Errorf("%w: the amount %q: %w", ErrUsage, amount, err)
	}
	running, err := n.mining(2)
	if err != nil {
		return c, err
	}
	all := rates(running)
	var censors []*Node
	for _, node := range running {
		if float64(rates(censors)+node.Rate) <= share*float64(all)+0.5 && len(censors) < len(running)-1 {
			censors = append(censors, node)
		}
	}
	if len(censors) == 0 || rates(censors) == all {
		return c, fmt.Errorf("%w: no part of %d miners has up to %.0f %% of the hash rate, and not all: add nodes", ErrUsage, len(running), 100*share)
	}
	c.Censors, c.Share = indexes(censors), float64(rates(censors))/float64(all)
	payer := running[len(running)-1]
	to, err := n.Receiver(ctx, fmt.Sprint(running[0].Index))
	if err != nil {
		return c, err
	}
	payment, _, err := n.spendTwice(ctx, payer, to, sum)
	if err != nil {
		return c, err
	}
	n.Say("Nodes %s, with %.0f %% of the hash rate, leave payment %s out of their blocks.", list(censors), 100*c.Share, payment.id)
	return c, n.censor(ctx, censors, payer, payment, &c)
}

// censor lets the censors see a fee so low that the payment is worth no block.
func (n *Network) censor(ctx context.Context, censors []*Node, payer *Node, payment *spend, c *Censored) (err error) {
	const never = -21_000_000 // sat, in place of the fee
	for _, node := range censors {
		if err := n.Call(ctx, node, nil, "prioritisetransaction", payment.id, nil, never); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, n.Call(context.WithoutCancel(ctx), node, nil, "prioritisetransaction", payment.id, nil, -never))
		}()
	}
	before, err := n.tipOf(ctx, payer)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := n.Call(ctx, payer, nil, "sendrawtransaction", payment.hex, 0); err != nil {
		return err
	}
	if err := n.Confirmed(ctx, payment.id, n.blockPatience(40)); err != nil {
		return err
	}
	c.Took = time.Since(began)
	return n.whoMined(ctx, payer, before.Height, payment, c)
}

// whoMined looks who had the payment in a block, and whose blocks before it had not.
func (n *Network) whoMined(ctx context.Context, node *Node, after int, payment *spend, c *Censored) error {
	for h := after + 1; ; h++ {
		raw, err := n.rawBlock(ctx, node, h)
		if err != nil {
			return err
		}
		block, err := decodeBlock(raw)
		if err != nil {
			return err
		}
		c.Blocks++
		miner, err := n.minerOf(block)
		if err != nil {
			return err
		}
		for _, tx := range block.Txs[1:] {
			if tx.TxID() == payment.id {
				c.Miner = miner
				n.Say("Block %d, of node %d, confirms it after %.1f s and %d blocks; the censors mined %d without it.", h, miner, c.Took.Seconds(), c.Blocks, c.Without)
				return nil
			}
		}
		for _, i := range c.Censors {
			if i == miner {
				c.Without++
			}
		}
	}
}
