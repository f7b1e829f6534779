package wallet

import "lode/consensus"

// Coin is an unspent coin of the wallet.
type Coin struct {
	consensus.OutPoint
	Value         consensus.Amount // sat
	Path          KeyPath
	Height        uint32 // of its block; 0 if pending
	Confirmations uint32 // 0 if pending
	Coinbase      bool
	Mature        bool // false for a coinbase that is too young
	Trusted       bool // in a block, or pending and all its ancestors' inputs are the wallet's own
}

// spendable reports whether the wallet may spend c now.
func (c *Coin) spendable() bool { return c.Mature && c.Trusted }

// Coins gives the coins that nothing spends, neither in a block nor pending.
func (w *Wallet) Coins() []Coin {
	tip := w.doc.tip().Height
	pendingSpends := make(map[consensus.OutPoint]bool)
	for _, r := range w.doc.Pending {
		for _, s := range r.Spends {
			pendingSpends[s.outPoint()] = true
		}
	}
	var coins []Coin
	collect := func(r *Record, trusted bool) {
		for _, m := range r.Makes {
			o := consensus.OutPoint{TxID: r.TxID, Index: m.Index}
			if w.spent[o] || pendingSpends[o] {
				continue
			}
			c := Coin{OutPoint: o, Value: m.Value, Path: m.Path, Height: r.Height, Coinbase: r.Coinbase, Mature: true, Trusted: trusted}
			if r.Height > 0 {
				c.Confirmations = tip - r.Height + 1
			}
			if r.Coinbase {
				// One more than the rules ask for, like Bitcoin Core's wallet: a
				// reorg of one block must not make a payment invalid.
				c.Mature = c.Confirmations > w.spec.Rules.Maturity
			}
			coins = append(coins, c)
		}
	}
	for _, r := range w.doc.Records {
		collect(r, true)
	}
	trusted := w.trustedPending()
	for _, r := range w.doc.Pending {
		collect(r, trusted[r.TxID])
	}
	return coins
}

// trustedPending finds the pending transactions that only the wallet itself can
// take back: all inputs are its own, and so are those of every pending
// transaction that they come from.
func (w *Wallet) trustedPending() map[consensus.Hash]bool {
	pending := make(map[consensus.Hash]*Record, len(w.doc.Pending))
	for _, r := range w.doc.Pending {
		pending[r.TxID] = r
	}
	trusted := make(map[consensus.Hash]bool, len(pending))
	var judge func(r *Record) bool
	judge = func(r *Record) bool {
		if t, ok := trusted[r.TxID]; ok {
			return t
		}
		t := len(r.Spends) == r.Inputs
		trusted[r.TxID] = t // no cycle can be, but a lying node must not hang us
		for _, s := range r.Spends {
			if parent := pending[s.TxID]; parent != nil {
				t = judge(parent) && t
			}
		}
		trusted[r.TxID] = t
		return t
	}
	for _, r := range w.doc.Pending {
		judge(r)
	}
	return trusted
}

// Balance is what the wallet has, in sat. The first three add up to all of it.
type Balance struct {
	Confirmed   consensus.Amount `json:"confirmed"`   // in blocks, and mature
	Unconfirmed consensus.Amount `json:"unconfirmed"` // pending: from others, and change of the wallet's own payments
	Immature    consensus.Amount `json:"immature"`    // coinbases that are too young
	Spendable   consensus.Amount `json:"spendable"`   // confirmed, and the pending change
}

// Balance sums the coins. A coin that a pending transaction spends counts
// nowhere.
func (w *Wallet) Balance() (b Balance) {
	for _, c := range w.Coins() {
		switch {
		case c.Height == 0:
			b.Unconfirmed += c.Value
		case c.Mature:
			b.Confirmed += c.Value
		default:
			b.Immature += c.Value
		}
		if c.spendable() {
			b.Spendable += c.Value
		}
	}
	return b
}
