package wallet

import (
	"slices"

	"lode/consensus"
)

// Coin is an unspent coin of the wallet.
type Coin struct {
	consensus.OutPoint
	Value         consensus.Amount // sat
	Key           KeyID
	Height        uint32 // of its block; 0 if pending
	Confirmations uint32 // 0 if pending
	Coinbase      bool
	Mature        bool // false for a coinbase that is too young
	Trusted       bool // in a block, or pending and all its ancestors' inputs are the wallet's own
	Locked        bool // by its owner
	Watched       bool // the wallet has no private key for it, though it has some
}

// Spendable reports whether the wallet may spend c now.
func (c *Coin) Spendable() bool { return c.Mature && c.Trusted && !c.Locked && !c.Watched }

// liveSpender is the transaction that counts and spends a coin.
func (w *Wallet) liveSpender(o consensus.OutPoint) (*record, bool) {
	r := w.journal.spender.of(o)
	if r == nil || verdictOf(w.verdicts, r).live() {
		return r, r != nil
	}
	for _, r := range w.journal.rivals[o] {
		if verdictOf(w.verdicts, r).live() {
			return r, true
		}
	}
	return nil, false
}

// counted gives the key and value of an output that is the wallet's.
func (w *Wallet) counted(o consensus.OutPoint) (id KeyID, value consensus.Amount, ok bool) {
	out, ok := w.ours(o)
	if !ok {
		return id, 0, false
	}
	id, ok = w.mine(out.Script)
	return id, out.Value, ok
}

// confirmations counts the block of a transaction and those on top of it.
func (w *Wallet) confirmations(r *record) uint32 {
	if !r.confirmed() || r.block.Height > w.points.tip().Height {
		return 0
	}
	return w.points.tip().Height - r.block.Height + 1
}

// mature reports whether the coins of a transaction may be spent. A coinbase
// waits for one block more than the rules ask for, like Bitcoin Core's wallet: a
// reorg of one block must not make a payment invalid.
func (w *Wallet) mature(r *record) bool {
	return !r.tx.IsCoinbase() || w.confirmations(r) > w.spec.Rules.Maturity
}

// Coins gives the coins that nothing spends, neither in a block nor pending, in
// the order in which their transactions were seen.
func (w *Wallet) Coins() []Coin {
	return slices.DeleteFunc(w.allCoins(), func(c Coin) bool { return !w.shown(c.Key.Source) })
}

// allCoins is Coins of all accounts.
func (w *Wallet) allCoins() []Coin {
	w.refresh()
	var coins []Coin
	look := w.look()
	for _, part := range inParts(w.journal.list, w.unspent) {
		for _, u := range part {
			coins = append(coins, look.coin(u.r, u.n, u.id))
		}
	}
	return coins
}

// unspentOutput is an output of a transaction that counts and that nothing spends.
type unspentOutput struct {
	r *record
	ownOutput
}

func (w *Wallet) unspent(list []*record) (found []unspentOutput) {
	for _, r := range list {
		if !verdictOf(w.verdicts, r).live() {
			continue
		}
		for _, o := range w.keys.own(r) {
			if o.id.Index >= w.keys.of(o.id).end {
				continue
			}
			if _, spent := w.liveSpender(consensus.OutPoint{TxID: r.id, Index: uint32(o.n)}); !spent {
				found = append(found, unspentOutput{r, o})
			}
		}
	}
	return found
}

// coinAt gives an output that is the wallet's, whether it is spent or not.
func (w *Wallet) coinAt(o consensus.OutPoint) (Coin, bool) {
	id, _, ok := w.counted(o)
	if !ok {
		return Coin{}, false
	}
	return w.look().coin(w.journal.byID.of(o.TxID), int(o.Index), id), true
}

// look is one look at coins, with what they have in common.
type look struct {
	*Wallet
	locked map[string]bool
	trust  map[*record]bool
}

func (w *Wallet) look() *look {
	l := &look{w, make(map[string]bool, len(w.doc.Locked)), make(map[*record]bool)}
	for _, o := range w.doc.Locked {
		l.locked[o] = true
	}
	return l
}

func (l *look) coin(r *record, n int, id KeyID) Coin {
	o := consensus.OutPoint{TxID: r.id, Index: uint32(n)}
	return Coin{OutPoint: o, Value: r.tx.Out[n].Value, Key: id, Height: r.block.Height,
		Confirmations: l.confirmations(r), Coinbase: r.tx.IsCoinbase(), Mature: l.mature(r), Trusted: l.trusted(r, l.trust),
		Locked: l.held[o] || len(l.locked) > 0 && l.locked[o.String()], Watched: l.watchedAlone(id.Source)}
}

// trusted reports whether only the wallet itself can take a transaction back:
// all inputs are its own, and so are those of every pending transaction that
// they come from.
func (w *Wallet) trusted(r *record, known map[*record]bool) bool {
	if r.confirmed() {
		return true
	}
	if t, ok := known[r]; ok {
		return t
	}
	known[r] = false // no cycle can be, but a lying node must not hang us
	t := true
	for i := range r.tx.In {
		o := r.tx.In[i].PrevOut
		_, own := w.ours(o)
		t = t && own && w.trusted(w.journal.byID.of(o.TxID), known)
	}
	known[r] = t
	return t
}

// Balance is what the wallet has, in sat. The first three add up to all of it.
type Balance struct {
	Confirmed   consensus.Amount `json:"confirmed"`   // in blocks, and mature
	Unconfirmed consensus.Amount `json:"unconfirmed"` // pending: Trusted and Others
	Immature    consensus.Amount `json:"immature"`    // coinbases that are too young
	Spendable   consensus.Amount `json:"spendable"`   // confirmed, and the pending change, but what is locked
	Trusted     consensus.Amount `json:"trusted"`     // pending: change of the wallet's own payments
	Others      consensus.Amount `json:"others"`      // pending: what others pay, and may take back
	Locked      consensus.Amount `json:"locked"`      // of all of it, by its owner
	Watched     consensus.Amount `json:"watched"`     // of all of it, without private keys in this wallet
}

// Balance sums the coins. A coin that a pending transaction spends counts
// nowhere.
func (w *Wallet) Balance() (b Balance) {
	for _, c := range w.Coins() {
		switch {
		case c.Height == 0 && c.Trusted:
			b.Unconfirmed, b.Trusted = b.Unconfirmed+c.Value, b.Trusted+c.Value
		case c.Height == 0:
			b.Unconfirmed, b.Others = b.Unconfirmed+c.Value, b.Others+c.Value
		case c.Mature:
			b.Confirmed += c.Value
		default:
			b.Immature += c.Value
		}
		if c.Spendable() {
			b.Spendable += c.Value
		}
		if c.Watched {
			b.Watched += c.Value
		}
		if c.Locked {
			b.Locked += c.Value
		}
	}
	return b
}
