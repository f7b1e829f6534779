package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"lode/consensus"
	"lode/rpc/client"
	"lode/wallet"
)

// Coins is an amount as RPC has it: a decimal number of coins.
func Coins(a consensus.Amount) json.Number {
	return json.Number(fmt.Sprintf("%d.%08d", a/1e8, a%1e8))
}

// Receiver gives an address to pay to: a new one of the wallet of node I if to is a
// number, or else what it is.
func (n *Network) Receiver(ctx context.Context, to string) (address string, err error) {
	i, err := strconv.Atoi(to)
	if err != nil {
		return to, nil // the wallet judges it
	}
	node, err := n.Node(i)
	if err != nil {
		return "", err
	}
	err = n.CallWallet(ctx, node, &address, "getnewaddress")
	return address, err
}

// Send pays from the wallet of node I, to a node or an address, and gives the id of
// the payment.
func (n *Network) Send(ctx context.Context, from int, to, amount string) (txid consensus.Hash, err error) {
	node, err := n.Node(from)
	if err != nil {
		return txid, err
	}
	sum, err := wallet.ParseAmount(amount)
	if err != nil {
		return txid, fmt.Errorf("%w: the amount %q: %w", ErrUsage, amount, err)
	}
	address, err := n.Receiver(ctx, to)
	if err != nil {
		return txid, err
	}
	err = n.CallWallet(ctx, node, &txid, "sendtoaddress", address, Coins(sum))
	return txid, err
}

// confirmations of a transaction as a node has it: 0 in its mempool, less where it
// knows nothing of it.
func (n *Network) confirmations(ctx context.Context, node *Node, txid consensus.Hash) (int, error) {
	var tx struct{ Confirmations int }
	err := n.Call(ctx, node, &tx, "getrawtransaction", txid, true)
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == -5 {
		return -1, nil
	}
	return tx.Confirmations, err
}

// Confirmed waits until all nodes that run have a transaction in a block.
func (n *Network) Confirmed(ctx context.Context, txid consensus.Hash, limit time.Duration) error {
	return waitFor(ctx, limit, "the payment to be confirmed", func() (bool, error) {
		for _, node := range n.Running() {
			if c, err := n.confirmations(ctx, node, txid); err != nil || c < 1 {
				return false, err
			}
		}
		return true, nil
	})
}

// Balance is what the wallet of a node has in blocks, in coins.
func (n *Network) Balance(ctx context.Context, index int) (json.Number, error) {
	node, err := n.Node(index)
	if err != nil {
		return "", err
	}
	var b struct {
		Mine struct{ Trusted json.Number }
	}
	err = n.CallWallet(ctx, node, &b, "getbalances")
	return b.Mine.Trusted, err
}

// Load is how a stream of payments goes.
type Load struct {
	Sent    int   // payments
	Waiting int   // that no wallet had a coin for: a block makes some
	Err     error // the last other failure
}

// fanOut is in how many coins a wallet divides what it has before a stream of
// payments: a wallet that has one coin can make only so many payments in a block.
const fanOut = 20

// Load pays between the wallets of all nodes that run, so many times a second, until
// ctx ends, or for a while if it is not 0. It tells each second how that goes.
func (n *Network) Load(ctx context.Context, rate float64, while time.Duration, tell func(Load)) error {
	const most = 1000
	if !(rate > 0 && rate <= most) {
		return fmt.Errorf("%w: %v payments a second: want up to %d", ErrUsage, rate, most)
	}
	nodes := n.Running()
	if len(nodes) == 0 {
		return fmt.Errorf("%w: none of the network", ErrStopped)
	}
	addresses, err := n.fanOutAll(ctx, nodes)
	if err != nil {
		return ended(ctx, err)
	}
	if while > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, while)
		defer cancel()
	}
	due := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer due.Stop()
	var l Load
	told := time.Now()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			tell(l)
			return nil
		case <-due.C:
		}
		to := addresses[(i+1+i/len(nodes))%len(addresses)]
		amount := Coins(consensus.Amount(10_000 + i%1000))
		switch err := n.CallWallet(ctx, nodes[i%len(nodes)], nil, "sendtoaddress", to, amount); {
		case err == nil:
			l.Sent++
		case ctx.Err() != nil:
		case isOf(err, -6, -4):
			l.Waiting++
		default:
			l.Err = err
		}
		if time.Since(told) >= time.Second {
			told = time.Now()
			tell(l)
		}
	}
}

// ended is nothing where the end was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func isOf(err error, codes ...int) bool {
	refused, ok := errors.AsType[*client.Error](err)
	for _, code := range codes {
		if ok && refused.Code == code {
			return true
		}
	}
	return false
}

// fanOutAll divides what the wallets have, and gives an address of each.
func (n *Network) fanOutAll(ctx context.Context, nodes []*Node) (addresses []string, err error) {
	for _, node := range nodes {
		outputs := make(map[string]json.Number)
		for range fanOut {
			var address string
			if err := n.CallWallet(ctx, node, &address, "getnewaddress"); err != nil {
				return nil, err
			}
			outputs[address] = Coins(10_000_000)
			if len(outputs) == 1 {
				addresses = append(addresses, address)
			}
		}
		if err := n.CallWallet(ctx, node, nil, "sendmany", "", outputs); err != nil && !isOf(err, -6, -4) {
			return nil, err
		}
	}
	return addresses, nil
}
