package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"lode/consensus"
	"lode/wallet"
)

// DoubleSpent is what became of a coin that was spent twice.
type DoubleSpent struct {
	Payment       consensus.Hash `json:"payment"`       // what the merchant saw
	Rival         consensus.Hash `json:"rival"`         // what took its coin
	Confirmations int            `json:"confirmations"` // that the payment had before
	Merchant      int            `json:"merchant"`      // nodes
	Payer         int            `json:"payer"`
	Forked        int            `json:"forked"` // blocks of the branch with the payment, as getchaintips has it; 0 if it has none
}

// whole gives the nodes that run, if there are enough of them, and the network is not
// cut.
func (n *Network) whole(least int) ([]*Node, error) {
	running := n.Running()
	switch {
	case n.Groups != nil:
		return nil, fmt.Errorf("%w: the network is cut: `lode testnet heal` first", ErrUsage)
	case len(running) < least:
		return nil, fmt.Errorf("%w: %d nodes run, and it takes %d", ErrUsage, len(running), least)
	}
	return running, nil
}

func indexes(nodes []*Node) (list []int) {
	for _, node := range nodes {
		list = append(list, node.Index)
	}
	return list
}

// view is what a node knows of a transaction.
func (n *Network) view(ctx context.Context, node *Node, id consensus.Hash) string {
	switch c, err := n.confirmations(ctx, node, id); {
	case err != nil:
		return err.Error()
	case c < 0:
		return "unknown"
	case c == 0:
		return "in the mempool"
	case c == 1:
		return "1 confirmation"
	default:
		return fmt.Sprintf("%d confirmations", c)
	}
}

// walletView is what the wallet of a node says of a transaction.
func (n *Network) walletView(ctx context.Context, node *Node, id consensus.Hash) string {
	var tx struct {
		Confirmations int
		Conflicts     []string `json:"walletconflicts"`
		Amount        json.Number
	}
	err := n.CallWallet(ctx, node, &tx, "gettransaction", id)
	switch {
	case isOf(err, -5):
		return "knows nothing of it"
	case err != nil:
		return err.Error()
	case tx.Confirmations < 0:
		return fmt.Sprintf("%s, conflicts with a transaction %d blocks deep", tx.Amount, -tx.Confirmations)
	default:
		return fmt.Sprintf("%s, %d confirmations", tx.Amount, tx.Confirmations)
	}
}

// sayViews tells what everybody knows of a payment and its rival.
func (n *Network) sayViews(ctx context.Context, nodes []*Node, d *DoubleSpent) {
	for _, node := range nodes {
		n.Say("  node %d   payment: %-18s rival: %s", node.Index, n.view(ctx, node, d.Payment), n.view(ctx, node, d.Rival))
	}
	for _, i := range []int{d.Merchant, d.Payer} {
		node := n.Nodes[i-1]
		if node.Process.alive() {
			n.Say("  wallet of node %d   payment: %s; rival: %s", i, n.walletView(ctx, node, d.Payment), n.walletView(ctx, node, d.Rival))
		}
	}
}

// DoubleSpend has the two halves of a cut network spend one coin: one pays a merchant,
// who waits for confirmations, the other pays it back to its owner and mines more. Then
// the network is joined, and one of the two is gone everywhere. It tells what everybody
// knows meanwhile. Nobody mines beside.
func (n *Network) DoubleSpend(ctx context.Context, amount string, confirmations int) (d DoubleSpent, err error) {
	sum, err := wallet.ParseAmount(amount)
	if err != nil {
		return d, fmt.Errorf("%w: the amount %q: %w", ErrUsage, amount, err)
	}
	if confirmations < 0 || confirmations > 100 {
		return d, fmt.Errorf("%w: %d confirmations: want 0 to 100", ErrUsage, confirmations)
	}
	running, err := n.whole(2)
	if err != nil {
		return d, err
	}
	err = n.still(ctx, func() error {
		if err := n.agree(ctx, running); err != nil {
			return err
		}
		return n.healed(ctx, func() error { return n.doubleSpend(ctx, running, sum, confirmations, &d) })
	})
	return d, err
}

// healed runs f, and joins the parts of the network however it ends.
func (n *Network) healed(ctx context.Context, f func() error) error {
	err := f()
	if n.Groups == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callPatience)
	defer cancel()
	return errors.Join(err, n.Heal(ctx))
}

func (n *Network) doubleSpend(ctx context.Context, running []*Node, sum consensus.Amount, confirmations int, d *DoubleSpent) error {
	half := (len(running) + 1) / 2
	left, right := running[:half], running[half:]
	merchant, payer := left[0], right[len(right)-1]
	d.Merchant, d.Payer, d.Confirmations = merchant.Index, payer.Index, confirmations
	to, err := n.Receiver(ctx, fmt.Sprint(merchant.Index))
	if err != nil {
		return err
	}
	payment, rival, err := n.spendTwice(ctx, payer, to, sum)
	if err != nil {
		return err
	}
	d.Payment, d.Rival = payment.id, rival.id
	if err := n.Partition(ctx, [][]int{indexes(left)}); err != nil {
		return err
	}
	n.Say("The network is cut: nodes %s and nodes %s.", list(left), list(right))
	if err := n.Call(ctx, merchant, nil, "sendrawtransaction", payment.hex, 0); err != nil {
		return err
	}
	if err := n.Call(ctx, payer, nil, "sendrawtransaction", rival.hex, 0); err != nil {
		return err
	}
	n.Say("In the first half the wallet of node %d pays %s coins to node %d: payment %s", payer.Index, Coins(sum), merchant.Index, payment.id)
	n.Say("In the second half it pays the same coin to itself:     rival   %s", rival.id)
	if _, err := n.generate(ctx, merchant, merchant.Address, confirmations); err != nil {
		return err
	}
	if err := errors.Join(n.agree(ctx, left), n.outmineBy(ctx, payer, merchant)); err != nil {
		return err
	}
	if err := n.agree(ctx, right); err != nil {
		return err
	}
	n.Say("The first half has mined %d blocks, the second one until it had more work:", confirmations)
	n.sayViews(ctx, running, d)
	if err := n.Heal(ctx); err != nil {
		return err
	}
	if err := n.agree(ctx, running); err != nil {
		return err
	}
	n.Say("The network is one again:")
	return n.conclude(ctx, running, d)
}

// outmineBy has a node mine until its chain has more work than another's.
func (n *Network) outmineBy(ctx context.Context, node, than *Node) error {
	other, err := n.tipOf(ctx, than)
	if err != nil {
		return err
	}
	for {
		if _, err := n.generate(ctx, node, node.Address, 1); err != nil {
			return err
		}
		if own, err := n.tipOf(ctx, node); err != nil || own.Work > other.Work {
			return err
		}
	}
}

// conclude waits until the rival has won everywhere, and says why.
func (n *Network) conclude(ctx context.Context, running []*Node, d *DoubleSpent) error {
	err := waitFor(ctx, agreePatience, "the rival to win everywhere", func() (bool, error) {
		for _, node := range running {
			won, err := n.confirmations(ctx, node, d.Rival)
			if err != nil || won < 1 {
				return false, err
			}
			lost, err := n.confirmations(ctx, node, d.Payment)
			if err != nil || lost >= 0 {
				return false, err
			}
		}
		return true, nil
	})
	n.sayViews(ctx, running, d)
	if err != nil {
		return err
	}
	var tips []struct {
		Height int
		Status string
		Branch int `json:"branchlen"`
	}
	if err := n.Call(ctx, n.Nodes[d.Merchant-1], &tips, "getchaintips"); err != nil {
		return err
	}
	highest := 0 // others are of what was before
	for _, t := range tips {
		if t.Status == "valid-fork" && t.Height > highest {
			highest, d.Forked = t.Height, t.Branch
		}
	}
	n.Say("The payment is gone on every node: its coin was spent by the rival, in the chain with more work.")
	if d.Forked > 0 {
		n.Say("getchaintips of node %d shows what it left: a branch of %d blocks (valid-fork).", d.Merchant, d.Forked)
	}
	return nil
}

func list(nodes []*Node) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(indexes(nodes)), " ", ", "), "[]")
}

// blockPatience is for some blocks to be mined by everybody, at their pace: three
// times as long as they take, and a minute.
func (n *Network) blockPatience(blocks int) time.Duration {
	return time.Minute + 3*time.Duration(blocks*n.BlockTime)*time.Second
}
