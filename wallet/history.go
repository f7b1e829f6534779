package wallet

import (
	"time"

	"lode/consensus"
)

// Entry is one transaction as it changed the wallet.
type Entry struct {
	TxID          consensus.Hash   `json:"txid"`
	Kind          string           `json:"kind"`   // mined, received, sent or self
	Amount        consensus.Amount `json:"amount"` // net, sat: negative if the wallet has less than before
	Fee           *Fee             `json:"fee,omitempty"`
	Height        uint32           `json:"height,omitempty"` // absent if pending
	Time          *time.Time       `json:"time,omitempty"`   // of the block; absent if pending
	Confirmations uint32           `json:"confirmations"`
	Mature        bool             `json:"mature"`
	Label         string           `json:"label,omitempty"`
	To            []Payee          `json:"to,omitempty"`
}

// Fee is a fee in sat that the wallet paid.
type Fee = consensus.Amount

// History gives all transactions of the wallet, the oldest first and pending
// ones last.
func (w *Wallet) History() []Entry {
	list := make([]Entry, 0, len(w.doc.Records)+len(w.doc.Pending))
	for _, r := range w.doc.Records {
		list = append(list, w.entry(r))
	}
	for _, r := range w.doc.Pending {
		list = append(list, w.entry(r))
	}
	return list
}

func (w *Wallet) entry(r *Record) Entry {
	e := Entry{TxID: r.TxID, Kind: "received", Height: r.Height, Mature: true, To: r.Pays}
	var in, out consensus.Amount
	for _, s := range r.Spends {
		in += s.Value
	}
	for _, m := range r.Makes {
		out += m.Value
		if label := w.doc.Labels[m.Path]; e.Label == "" && m.Path.Chain == ReceiveChain {
			e.Label = label
		}
	}
	e.Amount = out - in
	if len(r.Spends) == r.Inputs { // else others paid a part of it that is not known here
		fee := in - r.Total
		e.Fee = &fee
	}
	switch {
	case r.Coinbase:
		e.Kind = "mined"
	case len(r.Spends) > 0 && len(r.Pays) == 0:
		e.Kind = "self"
	case len(r.Spends) > 0:
		e.Kind = "sent"
	}
	if r.Height > 0 {
		t := time.Unix(int64(r.Time), 0).UTC()
		e.Time, e.Confirmations = &t, w.doc.tip().Height-r.Height+1
		e.Mature = !r.Coinbase || e.Confirmations > w.spec.Rules.Maturity
	}
	return e
}
