package wallet

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"lode/consensus"
	"lode/wallet/silent"
)

// silentSim is a simNode that tells what finds silent payments, unless it is mute.
type silentSim struct {
	*simNode
	mute  bool
	order []consensus.Hash // of the mempool, as its transactions came
	most  int              // blocks and transactions that are given at once
}

func newSilentSim(t *testing.T) *silentSim { return &silentSim{simNode: newSimNode(t), most: 7} }

// silentTxs works out what finds payments in some transactions on top of coins.
func silentTxs(coins consensus.Coins, txs []*consensus.Tx, height uint32) (list []SilentTx) {
	view := consensus.NewView(coins)
	for _, tx := range txs {
		spent, _, _ := view.Inputs(tx)
		if tweak, ok := silent.TweakOf(tx, spent); ok {
			list = append(list, SilentTx{tweak, silent.OutputKeys(tx)})
		}
		view.ApplyTx(tx, tx.TxID(), height)
	}
	return list
}

func (n *silentSim) SilentBlocks(_ context.Context, from, count uint32) (blocks []SilentBlock, ok bool, err error) {
	n.call("silent")
	for h := from; h < from+count && int(h) < len(n.chain) && len(blocks) < n.most; h++ {
		block, err := consensus.DecodeBlock(n.bodies[n.chain[h].hash])
		if err != nil {
			return nil, false, err
		}
		blocks = append(blocks, SilentBlock{Point{h, n.chain[h].hash}, block.Prev, silentTxs(n.coins[block.Prev], block.Txs, h)})
	}
	return blocks, !n.mute, nil
}

func (n *silentSim) SilentPool(_ context.Context, after string) (page SilentPage, ok bool, err error) {
	n.call("silent pool")
	for _, tx := range n.pool {
		if !slices.Contains(n.order, tx.TxID()) {
			n.order = append(n.order, tx.TxID())
		}
	}
	place, _ := strconv.Atoi(after)
	for ; place < len(n.order) && len(page.Txs) < n.most; place++ {
		for i, tx := range n.pool {
			if tx.TxID() == n.order[place] {
				all := silentTxs(n.coins[n.tip().hash], n.pool[:i+1], n.tip().state.Height+1)
				if len(all) > 0 {
					page.Txs = append(page.Txs, all[len(all)-1])
				}
			}
		}
	}
	page.Next, page.More = strconv.Itoa(place), place < len(n.order)
	return page, !n.mute, nil
}

func (w *Wallet) testSilent(t *testing.T, label string) silent.Address {
	t.Helper()
	a, err := w.SilentAddress(label)
	if err != nil {
		t.Fatal(err)
	}
	to, err := silent.ParseAddress(w.spec.Defaults.SilentPrefix, a.Address)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func syncWith(t *testing.T, w *Wallet, n Node) {
	t.Helper()
	if err := w.Sync(t.Context(), n, nil); err != nil {
		t.Fatal(err)
	}
}

// paySilently pays some silent addresses the same amount each, and a stranger.
func paySilently(t *testing.T, w *Wallet, n *silentSim, amount consensus.Amount, to ...silent.Address) (*Draft, *consensus.Tx) {
	t.Helper()
	p := Payment{Payees: []Payee{{stranger, 1000}}}
	late := make(SilentPayees)
	for _, a := range to {
		late[len(p.Payees)] = a
		p.Payees = append(p.Payees, Payee{Amount: amount})
	}
	p.Late = late
	return w.testPay(t, n.simNode, p)
}

// restoreFrom makes the wallet of another one's words.
func restoreFrom(t *testing.T, w *Wallet, n Node) *Wallet {
	t.Helper()
	p, err := PrepareRestore(t.Context(), FilesOf(filepath.Join(t.TempDir(), "r.age")), w.spec,
		CreateOptions{Mnemonic: w.testSecret(t).Mnemonic, Passphrase: testPassphrase, WorkFactor: testWorkFactor})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Keep()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	syncWith(t, r, n)
	return r
}

// reopened closes a wallet and opens it from its files.
func reopened(t *testing.T, w *Wallet) *Wallet {
	t.Helper()
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), w.files, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// spendables are the coins by outpoint, with their values.
func spendables(w *Wallet) map[consensus.OutPoint]consensus.Amount {
	list := make(map[consensus.OutPoint]consensus.Amount)
	for _, c := range w.Coins() {
		list[c.OutPoint] = c.Value
	}
	return list
}

func sameCoins(t *testing.T, what string, a, b *Wallet) {
	t.Helper()
	if got, want := fmt.Sprint(spendables(a)), fmt.Sprint(spendables(b)); got != want {
		t.Fatalf("%s: coins %s, want %s", what, got, want)
	}
}

// putBack takes blocks off the chain, whose transactions wait again.
func (n *silentSim) putBack(count int) {
	n.t.Helper()
	var back []*consensus.Tx
	for _, b := range n.chain[len(n.chain)-count:] {
		block, err := consensus.DecodeBlock(n.bodies[b.hash])
		if err != nil {
			n.t.Fatal(err)
		}
		back = append(back, block.Txs[1:]...)
	}
	n.cut(count)
	n.pool = append(back, n.pool...)
}
