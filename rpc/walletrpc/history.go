package walletrpc

import (
	"encoding/hex"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// historyCalls are the calls about transactions of a wallet.
func (m *Manager) historyCalls() calls {
	return calls{
		"listtransactions":       m.on(listTransactions),
		"listsinceblock":         m.on(listSinceBlock),
		"gettransaction":         m.on(getTransaction),
		"abandontransaction":     m.on(abandonTransaction),
		"simulaterawtransaction": m.on(simulateRawTransaction),
	}
}

// txJSON is what is said of a transaction wherever one is listed.
type txJSON struct {
	Confirmations int              `json:"confirmations"`
	Generated     bool             `json:"generated,omitempty"`
	BlockHash     *consensus.Hash  `json:"blockhash,omitempty"`
	BlockHeight   *uint32          `json:"blockheight,omitempty"`
	BlockIndex    *uint32          `json:"blockindex,omitempty"`
	BlockTime     *int64           `json:"blocktime,omitempty"`
	Trusted       *bool            `json:"trusted,omitempty"`
	TxID          consensus.Hash   `json:"txid"`
	WTxID         consensus.Hash   `json:"wtxid"`
	Conflicts     []consensus.Hash `json:"walletconflicts"`
	ReplacedBy    *consensus.Hash  `json:"replaced_by_txid,omitempty"`
	Replaces      *consensus.Hash  `json:"replaces_txid,omitempty"`
	PoolConflicts []consensus.Hash `json:"mempoolconflicts"`
	To            string           `json:"to,omitempty"`
	Time          int64            `json:"time"`
	Received      int64            `json:"timereceived"`
	Comment       string           `json:"comment,omitempty"`
	Replaceable   string           `json:"bip125-replaceable"`
}

// describe says it. Comments are labels of the transaction and of its first output
// (BIP329).
func (c *call) describe(v *wallet.TxView) *txJSON {
	j := &txJSON{
		Confirmations: v.Depth, Generated: v.Tx.IsCoinbase(), TxID: v.ID, WTxID: v.Tx.WTxID(), Conflicts: []consensus.Hash{}, PoolConflicts: []consensus.Hash{},
		Time: v.Seen.Unix(), Received: v.Seen.Unix(), Comment: c.w.Label("tx", v.ID.String()), Replaceable: c.replaceable(v),
	}
	if v.Inputs > 0 {
		j.To = c.w.Label("output", consensus.OutPoint{TxID: v.ID}.String())
	}
	if v.Height > 0 {
		at := v.BlockTime.Unix()
		j.BlockHash, j.BlockHeight, j.BlockIndex, j.BlockTime = &v.BlockHash, &v.Height, &v.BlockPos, &at
		j.Time = min(j.Time, at)
	} else {
		j.Trusted = new(v.Trusted && c.pooled(v.ID))
	}
	var before, after *wallet.TxView
	for _, id := range v.Rivals {
		rival, ok := c.w.Transaction(id)
		if ok {
			j.Conflicts = append(j.Conflicts, id)
		}
		if rival.Pooled && !v.Pooled && v.Height == 0 {
			j.PoolConflicts = append(j.PoolConflicts, id)
		}
		if !ok || !v.Own || !rival.Own {
			continue
		}
		if rival.Order < v.Order && (before == nil || rival.Order > before.Order) {
			before = &rival
		}
		if rival.Order > v.Order && (after == nil || rival.Order < after.Order) {
			after = &rival
		}
	}
	if before != nil {
		j.Replaces = &before.ID
	}
	if after != nil {
		j.ReplacedBy = &after.ID
	}
	return j
}

// replaceable says whether a transaction, or one that it builds on, allows its
// replacement (BIP125).
func (c *call) replaceable(v *wallet.TxView) string {
	switch {
	case v.Depth > 0:
		return "no"
	case signals(v.Tx):
		return "yes"
	}
	list, ok := c.m.cfg.Pool.Ancestors(v.ID)
	if !ok {
		return "unknown"
	}
	for i := range list {
		if tx, ok := c.m.cfg.Pool.ByTxID(list[i].TxID); ok && signals(tx) {
			return "yes"
		}
	}
	return "no"
}

// mostReplaceable is the highest sequence that allows replacement (BIP125).
const mostReplaceable = 0xfffffffd

func signals(tx *consensus.Tx) bool {
	return slices.ContainsFunc(tx.In, func(in consensus.TxIn) bool { return in.Sequence <= mostReplaceable })
}

// entryJSON is one output of a transaction in a list. Details, in gettransaction,
// have nothing of the transaction.
type entryJSON struct {
	Address   string   `json:"address,omitempty"`
	Parents   []string `json:"parent_descs,omitempty"`
	Category  string   `json:"category"`
	Amount    coins    `json:"amount"`
	Label     *string  `json:"label,omitempty"`
	Vout      int      `json:"vout"`
	Fee       *coins   `json:"fee,omitempty"`
	Abandoned bool     `json:"abandoned"`
	*txJSON
}

// entryQuery says which entries of a transaction are wanted.
type entryQuery struct {
	label    *string // only receipts at addresses with it
	change   bool    // too
	depth    int     // of receipts, at least
	txFields bool
}

// entries lists what a transaction did to the wallet: what was sent, then what was
// received; what the wallet pays itself is both.
func (c *call) entries(v *wallet.TxView, q entryQuery) (list []entryJSON, err error) {
	var about *txJSON
	if q.txFields {
		about = c.describe(v)
	}
	fee := coins(v.Tx.OutputSum() - v.Debit)
	for i, out := range v.Outputs {
		if v.Debit == 0 || q.label != nil || out.Change && !q.change {
			continue
		}
		list = append(list, entryJSON{Address: out.Address, Category: "send", Amount: coins(-v.Tx.Out[i].Value), Label: c.bookLabel(&out), Vout: i, Fee: &fee,
			Abandoned: abandoned(v), txJSON: about})
	}
	if v.Depth < q.depth {
		return list, nil
	}
	for i, out := range v.Outputs {
		if !out.Mine || v.Debit > 0 && out.Change && !q.change {
			continue
		}
		label := c.bookLabel(&out)
		if q.label != nil && (label == nil && *q.label != "" || label != nil && *label != *q.label) {
			continue
		}
		k, err := c.w.DescribeKey(out.Key)
		if err != nil {
			return nil, err
		}
		list = append(list, entryJSON{Address: out.Address, Parents: k.Parents(), Category: category(v), Amount: coins(v.Tx.Out[i].Value), Label: label, Vout: i,
			Abandoned: abandoned(v), txJSON: about})
	}
	return list, nil
}

// abandoned reports whether a transaction is given up: by its owner, or as a coinbase
// of a block that does not count any more.
func abandoned(v *wallet.TxView) bool { return v.Abandoned || v.Tx.IsCoinbase() && v.Height == 0 }

// bookLabel is the label of an address that is in Bitcoin Core's address book:
// handed out, or labelled.
func (c *call) bookLabel(out *wallet.OutputView) *string {
	label := c.w.Label("addr", out.Address)
	if label == "" && (!out.Mine || out.Change) {
		return nil
	}
	return &label
}

func category(v *wallet.TxView) string {
	switch {
	case !v.Tx.IsCoinbase():
		return "receive"
	case v.Depth < 1:
		return "orphan"
	case !v.Mature:
		return "immature"
	}
	return "generate"
}

func listTransactions(c *call) (any, error) {
	label, count, skip := labelFilter(c.a, 0), integer32(c.a, 1, 10), integer32(c.a, 2, 0)
	c.a.Flag(3, false)
	switch {
	case c.a.Err() != nil:
		return nil, c.a.Err()
	case count < 0:
		return nil, fail(codeParameter, "Negative count")
	case skip < 0:
		return nil, fail(codeParameter, "Negative from")
	}
	var list []entryJSON // the newest first
	all := c.w.Transactions()
	for i := len(all) - 1; i >= 0 && int64(len(list)) < count+skip && len(list) < maxListed; i-- {
		entries, err := c.entries(&all[i], entryQuery{label: label, txFields: true})
		if err != nil {
			return nil, err
		}
		list = append(list, entries...)
	}
	from := min(skip, int64(len(list)))
	list = slices.Clone(list[from:min(from+count, int64(len(list)))])
	slices.Reverse(list)
	return append([]entryJSON{}, list...), nil
}

// labelFilter reads a label, or "*" for all.
func labelFilter(a *rpc.Args, i int) *string {
	if a.Absent(i) {
		return nil
	}
	label := a.Text(i, "")
	if label == "*" {
		return nil
	}
	if label == "" {
		a.Fail(fail(codeParameter, `Label argument must be a valid label name or "*".`))
	}
	return &label
}

func listSinceBlock(c *call) (any, error) {
	var since *chain.HeaderInfo
	if c.a.Type(0) != "string" || string(c.a.Raw(0)) != `""` {
		if !c.a.Absent(0) {
			h, ok := c.m.cfg.Chain.Header(c.a.Hash(0, "blockhash"))
			if c.a.Err() == nil && !ok {
				return nil, fail(codeAddress, "Block not found")
			}
			since = &h
		}
	}
	target, _, removed, change := integer32(c.a, 1, 1), c.a.Flag(2, false), c.a.Flag(3, true), c.a.Flag(4, false)
	q := entryQuery{change: change, txFields: true}
	if !c.a.Absent(5) {
		label := labelOf(c.a, 5)
		q.label = &label
	}
	switch {
	case c.a.Err() != nil:
		return nil, c.a.Err()
	case target < 1:
		return nil, fail(codeParameter, "Invalid parameter")
	}
	return c.since(since, q, removed, target)
}

func (c *call) since(since *chain.HeaderInfo, q entryQuery, removed bool, target int64) (any, error) {
	var answer struct {
		Transactions []entryJSON  `json:"transactions"`
		Removed      *[]entryJSON `json:"removed,omitempty"`
		Last         string       `json:"lastblock"`
	}
	_, tip := c.w.Scanned()
	fork, gone, err := c.forkOf(since, removed)
	if err != nil {
		return nil, err
	}
	answer.Transactions = []entryJSON{}
	depth := int64(tip.Height) + 1 - int64(fork)
	for _, v := range c.w.Transactions() {
		if d := int64(max(v.Depth, -v.Depth)); since != nil && d >= depth {
			continue
		}
		entries, err := c.entries(&v, q)
		if err != nil {
			return nil, err
		}
		answer.Transactions = append(answer.Transactions, entries...)
	}
	if removed {
		q.depth = -1 << 30
		list := []entryJSON{}
		for i := range gone {
			entries, err := c.entries(&gone[i], q)
			if err != nil {
				return nil, err
			}
			list = append(list, entries...)
		}
		answer.Removed = &list
	}
	last := int64(tip.Height) + 1 - min(target, int64(tip.Height)+1)
	hash, _ := c.m.cfg.Chain.HashAt(uint32(last))
	answer.Last = hash.String()
	return answer, nil
}

// forkOf gives the height where the way to a block leaves the active chain, and the
// transactions of the wallet in the blocks behind that.
func (c *call) forkOf(block *chain.HeaderInfo, removed bool) (height uint32, gone []wallet.TxView, err error) {
	if block == nil {
		return 0, nil, nil
	}
	h, ok := *block, true
	for steps := 0; ok && !h.Active; steps++ {
		if steps == maxListed {
			return 0, nil, fail(codeMisc, "the block is more than %d blocks away from the chain", maxListed)
		}
		if removed {
			b, err := c.m.cfg.Chain.Block(h.Hash)
			if err != nil {
				return 0, nil, fail(-32603, "Can't read block from disk")
			}
			for _, tx := range b.Txs {
				if v, ok := c.w.Transaction(tx.TxID()); ok {
					gone = append(gone, v)
				}
			}
		}
		h, ok = c.m.cfg.Chain.Header(h.Header.Prev)
	}
	return h.Height, gone, nil
}

func getTransaction(c *call) (any, error) {
	id, _, verbose := c.a.Hash(0, "txid"), c.a.Flag(1, false), c.a.Flag(2, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	v, ok := c.w.Transaction(id)
	if !ok {
		return nil, fail(codeAddress, "Invalid or non-wallet transaction id")
	}
	answer := struct {
		Amount coins  `json:"amount"`
		Fee    *coins `json:"fee,omitempty"`
		*txJSON
		Details   []entryJSON `json:"details"`
		Hex       string      `json:"hex"`
		Decoded   any         `json:"decoded,omitempty"`
		LastBlock blockJSON   `json:"lastprocessedblock"`
	}{Amount: coins(v.Credit() - v.Debit), txJSON: c.describe(&v), Hex: hex.EncodeToString(v.Tx.Bytes()), LastBlock: c.lastBlock()}
	if v.Debit > 0 {
		fee := coins(v.Tx.OutputSum() - v.Debit)
		answer.Fee = &fee
		answer.Amount -= fee
	}
	entries, err := c.entries(&v, entryQuery{})
	if err != nil {
		return nil, err
	}
	answer.Details = append([]entryJSON{}, entries...)
	if verbose {
		answer.Decoded = rpc.DescribeTx(c.m.cfg.Spec, v.Tx, func(i int) bool { return v.Outputs[i].Change })
	}
	return answer, nil
}

func abandonTransaction(c *call) (any, error) {
	id := c.a.Hash(0, "txid")
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	v, ok := c.w.Transaction(id)
	switch {
	case !ok:
		return nil, fail(codeAddress, "Invalid or non-wallet transaction id")
	case v.Abandoned:
		return nil, nil
	case c.w.Abandon(id) != nil:
		return nil, fail(codeAddress, "Transaction not eligible for abandonment")
	}
	return nil, nil
}

func simulateRawTransaction(c *call) (any, error) {
	var raws []string
	if !c.a.Absent(0) {
		raws = c.a.Texts(0)
	}
	o := c.a.Object(1, "include_watchonly")
	o.Flag(0, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	if len(raws) > maxBatchInputs {
		return nil, fail(codeParameter, "at most %d transactions can be simulated at once", maxBatchInputs)
	}
	unspent := make(map[consensus.OutPoint]consensus.Amount)
	for _, coin := range c.w.Coins() {
		unspent[coin.OutPoint] = coin.Value
	}
	var change consensus.Amount
	made, spent := make(map[consensus.OutPoint]consensus.Amount), make(map[consensus.OutPoint]bool)
	for _, text := range raws {
		raw, err := hex.DecodeString(text)
		var tx *consensus.Tx
		if err == nil {
			tx, err = consensus.DecodeTx(raw)
		}
		if err != nil {
			return nil, fail(codeDecode, "Transaction hex string decoding failure.")
		}
		for i := range tx.In {
			o := tx.In[i].PrevOut
			if spent[o] {
				return nil, fail(codeParameter, "Transaction(s) are spending the same output more than once")
			}
			_, known := made[o]
			_, own := unspent[o]
			if coin, ok, err := c.m.cfg.Chain.Coin(o); err != nil {
				return nil, err
			} else if _, pooled := c.m.cfg.Pool.ByTxID(o.TxID); !known && !own && !pooled && (!ok || coin.Value == 0) {
				return nil, fail(codeParameter, "One or more transaction inputs are missing or have been spent already")
			}
			spent[o] = true
			change -= unspent[o] + made[o]
		}
		id := tx.TxID()
		for i := range tx.Out {
			made[consensus.OutPoint{TxID: id, Index: uint32(i)}] = 0
			if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
				if _, mine := c.w.KeyOf(key); mine {
					made[consensus.OutPoint{TxID: id, Index: uint32(i)}] = tx.Out[i].Value
					change += tx.Out[i].Value
				}
			}
		}
	}
	return map[string]coins{"balance_change": coins(change)}, nil
}
