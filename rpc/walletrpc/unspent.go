package walletrpc

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
)

// maxAmount is more than there can be.
const maxAmount = consensus.Amount(math.MaxInt64)

// unspentQuery is what listunspent is asked for.
type unspentQuery struct {
	least, most int64 // confirmations
	keys        map[[32]byte]bool
	unsafe      bool
	min, max    consensus.Amount // of a coin
	sum         consensus.Amount // with which it is enough
	count       int64
	immature    bool
}

func (c *call) unspentQuery() (q unspentQuery, err error) {
	q = unspentQuery{least: integer32(c.a, 0, 1), most: integer32(c.a, 1, 9999999), unsafe: c.a.Flag(3, true)}
	addresses := c.a.Texts(2)
	o := c.a.Object(4, "minimumAmount", "maximumAmount", "minimumSumAmount", "maximumCount", "include_immature_coinbase")
	q.min, q.max = o.Amount(0, 0, maxAmount), o.Amount(1, maxAmount, maxAmount)
	q.sum, q.count, q.immature = o.Amount(2, maxAmount, maxAmount), o.Integer(3, 0, 0, math.MaxInt64), o.Flag(4, false)
	if err := c.a.Err(); err != nil {
		return q, err
	}
	if err := o.Err(); err != nil {
		return q, err
	}
	for _, text := range addresses {
		key, err := c.parseAddress(text)
		if err != nil {
			return q, fail(codeAddress, "Invalid Bitcoin address: %.100s", text)
		}
		if q.keys == nil {
			q.keys = make(map[[32]byte]bool)
		}
		if q.keys[key] {
			return q, fail(codeParameter, "Invalid parameter, duplicated address: %.100s", text)
		}
		q.keys[key] = true
	}
	return q, nil
}

// parseAddress reads an address of this network.
func (c *call) parseAddress(text string) ([32]byte, error) {
	return consensus.ParseAddress(c.m.cfg.Spec.Defaults.AddressPrefix, text)
}

// takes reports whether a coin is asked for. Bitcoin Core looks at the address last:
// what is left out by it counts for the sum and the number.
func (q *unspentQuery) takes(coin *wallet.Coin, safe bool) bool {
	return int64(coin.Confirmations) >= q.least && int64(coin.Confirmations) <= q.most && (safe || q.unsafe) && !coin.Locked &&
		(coin.Mature || q.immature) && coin.Value >= q.min && coin.Value <= q.max
}

type unspentJSON struct {
	TxID          consensus.Hash `json:"txid"`
	Vout          uint32         `json:"vout"`
	Address       string         `json:"address"`
	Label         *string        `json:"label,omitempty"`
	Script        string         `json:"scriptPubKey"`
	Amount        coins          `json:"amount"`
	Confirmations uint32         `json:"confirmations"`
	AncestorCount int            `json:"ancestorcount,omitempty"`
	AncestorSize  int            `json:"ancestorsize,omitempty"`
	AncestorFees  int64          `json:"ancestorfees,omitempty"` // sat
	Spendable     bool           `json:"spendable"`
	Solvable      bool           `json:"solvable"`
	Desc          string         `json:"desc,omitempty"`
	Parents       []string       `json:"parent_descs"`
	Safe          bool           `json:"safe"`
}

func listUnspent(c *call) (any, error) {
	q, err := c.unspentQuery()
	if err != nil {
		return nil, err
	}
	list, sum := []unspentJSON{}, consensus.Amount(0)
	count := int64(0)
	for _, coin := range c.coins() {
		safe := c.safe(&coin)
		if !q.takes(&coin, safe) {
			continue
		}
		j, key, err := c.unspent(&coin, safe)
		if err != nil {
			return nil, err
		}
		if q.keys == nil || q.keys[key] {
			list = append(list, j)
		}
		count++
		if sum += coin.Value; sum >= q.sum || q.count > 0 && count >= q.count || len(list) >= maxListed {
			break
		}
	}
	return list, nil
}

// safe reports whether a coin cannot vanish by what others do. What replaced
// another payment counts as unsafe until it is in a block, as in Bitcoin Core.
func (c *call) safe(coin *wallet.Coin) bool {
	if coin.Height > 0 || !coin.Trusted {
		return coin.Trusted
	}
	v, ok := c.w.Transaction(coin.TxID)
	return ok && !v.Replaces
}

func (c *call) unspent(coin *wallet.Coin, safe bool) (j unspentJSON, key [32]byte, err error) {
	a, err := c.w.Address(coin.Key)
	if err != nil {
		return j, key, err
	}
	k, err := c.w.DescribeKey(coin.Key)
	if err != nil {
		return j, key, err
	}
	if key, err = c.parseAddress(a.Address); err != nil {
		return j, key, err
	}
	j = unspentJSON{
		TxID: coin.TxID, Vout: coin.Index, Address: a.Address, Script: hex.EncodeToString(consensus.TaprootScript(key)), Amount: coins(coin.Value),
		Confirmations: coin.Confirmations, Spendable: true, Solvable: true, Desc: k.Descriptor, Parents: k.Parents(), Safe: safe,
	}
	if a.Label != "" || c.w.HandedOut(coin.Key) {
		j.Label = &a.Label
	}
	if coin.Height == 0 {
		if list, ok := c.m.cfg.Pool.Ancestors(coin.TxID); ok {
			own, _ := c.m.cfg.Pool.Info(coin.TxID)
			j.AncestorCount, j.AncestorSize, j.AncestorFees = len(list)+1, own.Size, int64(own.Fee)
			for i := range list {
				j.AncestorSize += list[i].Size
				j.AncestorFees += int64(list[i].Fee)
			}
		}
	}
	return j, key, nil
}

func lockUnspent(c *call) (any, error) {
	unlock, persistent := c.a.Flag(0, false), c.a.Flag(2, false)
	var list []json.RawMessage
	if !c.a.Absent(1) {
		list = c.a.List(1)
	}
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if c.a.Absent(1) {
		if unlock {
			for _, text := range slices.Concat(c.w.Locked(), c.w.Held()) {
				if o, err := wallet.ParseOutPoint(text); err == nil {
					c.w.Unlock(o)
				}
			}
		}
		return true, nil
	}
	if len(list) > maxBatchInputs {
		return nil, fail(codeParameter, "at most %d outputs can be named at once", maxBatchInputs)
	}
	unspent := make(map[consensus.OutPoint]*wallet.Coin)
	all := c.w.Coins()
	for i := range all {
		unspent[all[i].OutPoint] = &all[i]
	}
	var outs []consensus.OutPoint
	for _, raw := range list {
		o, err := c.lockable(raw, unspent, unlock, persistent)
		if err != nil {
			return nil, err
		}
		outs = append(outs, o)
	}
	for _, o := range outs {
		switch {
		case unlock:
			c.w.Unlock(o)
		case persistent:
			if err := c.w.Lock(o); err != nil {
				return nil, err
			}
		default:
			c.w.Hold(o)
		}
	}
	return true, nil
}

// outPoint reads {"txid", "vout"}.
func outPoint(raw json.RawMessage) (consensus.OutPoint, error) {
	a := rpc.ObjectArgs(raw, "txid", "vout")
	switch {
	case a.Err() == nil && a.Type(0) != "string":
		return consensus.OutPoint{}, fail(codeType, "JSON value of type %s for field txid is not of expected type string", a.Type(0))
	case a.Err() == nil && a.Type(1) != "number":
		return consensus.OutPoint{}, fail(codeType, "JSON value of type %s for field vout is not of expected type number", a.Type(1))
	}
	o := consensus.OutPoint{TxID: a.Hash(0, "txid")}
	vout := integer32(a, 1, 0)
	if a.Err() == nil && vout < 0 {
		return o, fail(codeParameter, "Invalid parameter, vout cannot be negative")
	}
	o.Index = uint32(vout)
	return o, a.Err()
}

func (c *call) lockable(raw json.RawMessage, unspent map[consensus.OutPoint]*wallet.Coin, unlock, persistent bool) (consensus.OutPoint, error) {
	o, err := outPoint(raw)
	if err != nil {
		return o, err
	}
	v, ok := c.w.Transaction(o.TxID)
	coin := unspent[o]
	switch {
	case !ok:
		return o, fail(codeParameter, "Invalid parameter, unknown transaction")
	case o.Index >= uint32(len(v.Tx.Out)):
		return o, fail(codeParameter, "Invalid parameter, vout index out of bounds")
	case coin == nil:
		return o, fail(codeParameter, "Invalid parameter, expected unspent output")
	case unlock && !coin.Locked:
		return o, fail(codeParameter, "Invalid parameter, expected locked output")
	case !unlock && coin.Locked && !persistent:
		return o, fail(codeParameter, "Invalid parameter, output already locked")
	}
	return o, nil
}

func listLockUnspent(c *call) (any, error) {
	type entry struct {
		TxID consensus.Hash `json:"txid"`
		Vout uint32         `json:"vout"`
	}
	list := []entry{}
	all := slices.Concat(c.w.Locked(), c.w.Held())
	slices.Sort(all)
	for _, text := range slices.Compact(all) {
		if o, err := wallet.ParseOutPoint(text); err == nil {
			list = append(list, entry{o.TxID, o.Index})
		}
	}
	return list, nil
}
