package network

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"lode/consensus"
	"lode/wallet"
)

// spend is a transaction that is signed, and that nobody has been told of.
type spend struct {
	id  consensus.Hash
	hex string
}

// spendFee is what such transactions pay, in sat: more than enough for one input and
// two outputs.
const spendFee = 2000

// input is a coin as the calls want it.
type input struct {
	TxID consensus.Hash `json:"txid"`
	Vout uint32         `json:"vout"`
}

// prevTx is a coin that a wallet need not find itself.
type prevTx struct {
	input
	Script string      `json:"scriptPubKey"`
	Amount json.Number `json:"amount"`
}

var errNotOurs = errors.New("no wallet of the network has the keys of its coins")

// sign has the wallet of a node sign a transaction.
func (n *Network) sign(ctx context.Context, node *Node, inputs []input, outputs map[string]json.Number, prevs []prevTx) (*spend, error) {
	var raw string
	if err := n.Call(ctx, node, &raw, "createrawtransaction", inputs, outputs); err != nil {
		return nil, err
	}
	params := []any{raw}
	if prevs != nil {
		params = append(params, prevs)
	}
	var signed struct {
		Hex      string
		Complete bool
	}
	if err := n.CallWallet(ctx, node, &signed, "signrawtransactionwithwallet", params...); err != nil {
		return nil, err
	}
	if !signed.Complete {
		return nil, errNotOurs
	}
	b, err := hex.DecodeString(signed.Hex)
	if err != nil {
		return nil, err
	}
	tx, err := consensus.DecodeTx(b)
	if err != nil {
		return nil, err
	}
	return &spend{tx.TxID(), signed.Hex}, nil
}

// spendTwice makes two payments of one coin of a node's wallet: one to somebody, and
// one back to the wallet itself.
func (n *Network) spendTwice(ctx context.Context, payer *Node, to string, amount consensus.Amount) (payment, back *spend, err error) {
	var coins []struct {
		input
		Amount    json.Number
		Spendable bool
	}
	if err := n.CallWallet(ctx, payer, &coins, "listunspent"); err != nil {
		return nil, nil, err
	}
	for _, c := range coins {
		value, err := wallet.ParseAmount(c.Amount.String())
		if err != nil || !c.Spendable || value < amount+2*spendFee {
			continue
		}
		var own string
		if err := n.CallWallet(ctx, payer, &own, "getnewaddress"); err != nil {
			return nil, nil, err
		}
		coin := []input{c.input}
		if payment, err = n.sign(ctx, payer, coin, map[string]json.Number{to: Coins(amount), own: Coins(value - amount - spendFee)}, nil); err != nil {
			return nil, nil, err
		}
		back, err = n.sign(ctx, payer, coin, map[string]json.Number{own: Coins(value - 2*spendFee)}, nil)
		return payment, back, err
	}
	return nil, nil, fmt.Errorf("%w: the wallet of node %d has no coin of %s: wait for blocks that pay it, or `lode testnet mine %d`", ErrUsage, payer.Index, Coins(amount), payer.Index)
}

// replacement makes a transaction that spends the coins of a payment, and pays them
// elsewhere.
func (n *Network) replacement(ctx context.Context, txs *payments, fork Fork) (*spend, error) {
	tx := txs.byID[fork.Replace]
	if tx == nil {
		return nil, fmt.Errorf("%w: no payment %s is in the last %d blocks: choose a greater --depth", ErrUsage, fork.Replace, fork.Depth)
	}
	address, err := n.Receiver(ctx, fork.To)
	if err != nil {
		return nil, err
	}
	running := n.Running()
	var inputs []input
	var prevs []prevTx
	var sum consensus.Amount
	for _, in := range tx.In {
		prev, err := n.coin(ctx, running[0], in.PrevOut)
		if err != nil {
			return nil, err
		}
		value, err := wallet.ParseAmount(prev.Amount.String())
		if err != nil {
			return nil, err
		}
		sum += value
		inputs, prevs = append(inputs, prev.input), append(prevs, *prev)
	}
	fee := consensus.Amount(spendFee * len(inputs))
	if sum <= fee {
		return nil, fmt.Errorf("%w: the coins of %s are too small to pay a fee", ErrUsage, fork.Replace)
	}
	for _, node := range running {
		s, err := n.sign(ctx, node, inputs, map[string]json.Number{address: Coins(sum - fee)}, prevs)
		if !errors.Is(err, errNotOurs) {
			return s, err
		}
	}
	return nil, fmt.Errorf("%w: %s: %w", ErrUsage, fork.Replace, errNotOurs)
}

// coin is an output of a transaction, whether it is spent or not.
func (n *Network) coin(ctx context.Context, node *Node, at consensus.OutPoint) (*prevTx, error) {
	var tx struct {
		Vout []struct {
			Value  json.Number
			Script struct{ Hex string } `json:"scriptPubKey"`
		}
	}
	if err := n.Call(ctx, node, &tx, "getrawtransaction", at.TxID, true); err != nil {
		return nil, err
	}
	if int(at.Index) >= len(tx.Vout) {
		return nil, fmt.Errorf("transaction %s has no output %d", at.TxID, at.Index)
	}
	out := tx.Vout[at.Index]
	return &prevTx{input{at.TxID, at.Index}, out.Script.Hex, out.Value}, nil
}

func decodeBlock(raw string) (*consensus.Block, error) {
	b, err := hex.DecodeString(raw)
	if err != nil {
		return nil, err
	}
	return consensus.DecodeBlock(b)
}
