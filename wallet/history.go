package wallet

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"lode/consensus"
)

// The kinds of entries.
const (
	KindMined    = "mined"    // an output of a coinbase
	KindReceived = "received" // an output that others have paid
	KindSent     = "sent"     // an output that the wallet has paid to others
	KindSelf     = "self"     // the wallet has paid itself
	KindJoint    = "joint"    // the wallet and others have paid together: what changed in all
)

// Entry is one output of one transaction, as it changed the wallet. Change is no
// entry. The amounts of all entries that count, less their fees, add up to what
// the wallet has.
type Entry struct {
	TxID          consensus.Hash   `json:"txid"`
	Vout          *uint32          `json:"vout,omitempty"` // absent for KindSelf and KindJoint
	Kind          string           `json:"kind"`
	State         State            `json:"state"`
	By            *consensus.Hash  `json:"by,omitempty"`       // what has replaced it, or conflicts with it
	Replaces      []consensus.Hash `json:"replaces,omitempty"` // what it has replaced, or conflicts with
	Amount        consensus.Amount `json:"amount"`             // sat, negative if it was paid; it counts if State is confirmed or pending
	Fee           *Fee             `json:"fee,omitempty"`
	Address       string           `json:"address,omitempty"`
	Silent        string           `json:"silent,omitempty"` // the silent address (BIP352) that it was paid through
	Data          string           `json:"data,omitempty"`   // hex, of an OP_RETURN output
	Label         string           `json:"label,omitempty"`
	Height        uint32           `json:"height,omitempty"` // absent if it is in no block
	BlockHash     *consensus.Hash  `json:"blockhash,omitempty"`
	Time          *time.Time       `json:"time,omitempty"` // of the block
	Seen          time.Time        `json:"seen"`           // by the wallet for the first time
	Confirmations uint32           `json:"confirmations"`
	Mature        bool             `json:"mature"`
	// Reversed names the last block that held it and does not count any more;
	// Warn says that a receipt is gone by that, and nobody has taken note yet.
	Reversed *Point `json:"reversed,omitempty"`
	Warn     bool   `json:"warn,omitempty"`
	Refusal  string `json:"refusal,omitempty"` // why the node does not take it
	Unsent   bool   `json:"unsent,omitempty"`  // whether any node ever had it is not known
}

// Fee is a fee in sat that the wallet paid. It is that of the transaction, and
// stands at its first entry alone.
type Fee = consensus.Amount

// History gives what happened, by output: what is in blocks in their order, and
// then the rest, as it was first seen.
func (w *Wallet) History() []Entry {
	w.refresh()
	list := slices.Clone(w.journal.list)
	slices.SortStableFunc(list, compareRecords)
	entries := make([]Entry, 0, len(list))
	for _, r := range list {
		entries = append(entries, w.entries(r)...)
	}
	return entries
}

// compareRecords orders transactions as History does.
func compareRecords(a, b *record) int {
	if a.confirmed() != b.confirmed() {
		if a.confirmed() {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.block.Height, b.block.Height), cmp.Compare(a.block.pos, b.block.pos), cmp.Compare(a.seq, b.seq))
}

// entries gives what one transaction did to the wallet.
func (w *Wallet) entries(r *record) (list []Entry) {
	own, spent := 0, consensus.Amount(0)
	for i := range r.tx.In {
		if _, value, ok := w.counted(r.tx.In[i].PrevOut); ok {
			own, spent = own+1, spent+value
		}
	}
	switch base := w.entry(r); {
	case own == 0:
		base.Kind = KindReceived
		if r.tx.IsCoinbase() {
			base.Kind = KindMined
		}
		return w.received(r, base)
	case own < len(r.tx.In):
		base.Kind, base.Amount = KindJoint, w.paidToSelf(r)-spent
		base.Label = w.doc.label(labelTx, r.id.String())
		return []Entry{base}
	default:
		return w.sent(r, base, spent-r.tx.OutputSum())
	}
}

// entry has what all entries of a transaction have in common.
func (w *Wallet) entry(r *record) Entry {
	v := verdictOf(w.verdicts, r)
	e := Entry{TxID: r.id, State: v.state, Seen: time.Unix(r.seen, 0).UTC(), Confirmations: w.confirmations(r), Mature: w.mature(r),
		Refusal: r.refusal, Unsent: r.own && r.sent == 0 && !r.pooled && !r.confirmed()}
	if v.by != (consensus.Hash{}) {
		e.By = &v.by
	}
	if v.live() && len(w.journal.rivals) > 0 {
		e.Replaces = w.replaced(r)
	}
	if r.confirmed() {
		e.Height, e.BlockHash = r.block.Height, &r.block.Hash
		t := time.Unix(int64(r.block.time), 0).UTC()
		e.Time = &t
	}
	if n := len(r.was); n > 0 && !r.confirmed() {
		e.Reversed = &r.was[n-1].Point
		e.Warn = !r.acked && !r.tx.IsCoinbase() && v.state != StatePending
	}
	return e
}

// replaced gives the transactions that r has replaced or that it conflicts with.
func (w *Wallet) replaced(r *record) (ids []consensus.Hash) {
	for i := range r.tx.In {
		if len(w.journal.rivals[r.tx.In[i].PrevOut]) == 0 {
			continue
		}
		for _, other := range w.journal.spenders(r.tx.In[i].PrevOut) {
			if other != r && !slices.Contains(ids, other.id) {
				ids = append(ids, other.id)
			}
		}
	}
	return ids
}

func (w *Wallet) received(r *record, base Entry) (list []Entry) {
	for n := range r.tx.Out {
		if _, ok := w.mine(r.tx.Out[n].Script); ok {
			list = append(list, w.output(r, base, n, r.tx.Out[n].Value))
		}
	}
	return list
}

func (w *Wallet) sent(r *record, base Entry, fee consensus.Amount) (list []Entry) {
	base.Kind, base.Warn = KindSent, false
	for n := range r.tx.Out {
		if _, own := w.mine(r.tx.Out[n].Script); !own {
			list = append(list, w.output(r, base, n, -r.tx.Out[n].Value))
		}
	}
	if len(list) == 0 {
		base.Kind, base.Label = KindSelf, w.doc.label(labelTx, r.id.String())
		list = []Entry{base}
	}
	list[0].Fee = &fee
	return list
}

// output is the entry of one output.
func (w *Wallet) output(r *record, e Entry, n int, amount consensus.Amount) Entry {
	o := consensus.OutPoint{TxID: r.id, Index: uint32(n)}
	e.Vout, e.Amount = &o.Index, amount
	script := r.tx.Out[n].Script
	if key, ok := consensus.TaprootKey(script); ok {
		e.Address = w.addressOf(key)
		e.Label = w.doc.label(labelAddress, e.Address)
		w.silentEntry(r, &e)
	} else {
		e.Data = hex.EncodeToString(script)
	}
	if label := cmp.Or(w.doc.label(labelOutput, o.String()), w.doc.label(labelTx, r.id.String())); label != "" {
		e.Label = label
	}
	return e
}

// paidToSelf sums the outputs of a transaction that are the wallet's.
func (w *Wallet) paidToSelf(r *record) (sum consensus.Amount) {
	for n := range r.tx.Out {
		if _, ok := w.mine(r.tx.Out[n].Script); ok {
			sum += r.tx.Out[n].Value
		}
	}
	return sum
}

// Since gives what happened after a block, like Bitcoin Core's listsinceblock:
// the entries of blocks behind the fork of that block and the chain, and of what
// is in no block; and, as removed, those of transactions that were in blocks
// which lead to it and do not count any more.
func (w *Wallet) Since(fork Point, stale []consensus.Hash) (entries, removed []Entry) {
	gone := make(map[consensus.Hash]bool)
	for _, hash := range stale {
		gone[hash] = true
	}
	for _, e := range w.History() {
		if e.Height == 0 || e.Height > fork.Height {
			entries = append(entries, e)
		}
	}
	for _, r := range w.journal.list {
		for _, was := range r.was {
			if gone[was.Hash] {
				removed = append(removed, w.entries(r)...)
				break
			}
		}
	}
	return entries, removed
}

// Warnings gives the receipts that were in a block and are gone, until somebody
// has taken note of them.
func (w *Wallet) Warnings() (list []Entry) {
	for _, r := range w.journal.list {
		if len(r.was) == 0 || r.confirmed() || r.acked {
			continue
		}
		for _, e := range w.entries(r) {
			if e.Warn {
				list = append(list, e)
			}
		}
	}
	return list
}

// Acknowledge takes note of the receipts that are gone: of one transaction, or
// of all if txid is zero. It says how many transactions they were.
func (w *Wallet) Acknowledge(txid consensus.Hash) (n int) {
	seen := make(map[consensus.Hash]bool)
	for _, e := range w.Warnings() {
		if seen[e.TxID] || txid != (consensus.Hash{}) && e.TxID != txid {
			continue
		}
		seen[e.TxID] = true
		r := w.journal.byID.of(e.TxID)
		r.acked = true
		w.do(event{kind: evFlags, ref: r.id, flags: r.flags()})
	}
	return len(seen)
}

// Notices gives what the user of the wallet should know now, a line each, and
// forgets what is worth one mention only.
func (w *Wallet) Notices() []string {
	list := w.notices
	w.notices = nil
	return list
}
