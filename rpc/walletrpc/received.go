package walletrpc

import (
	"maps"
	"slices"

	"lode/consensus"
)

func sortedKeys[V any](m map[string]V) []string {
	list := slices.Sorted(maps.Keys(m))
	if list == nil {
		return []string{}
	}
	return list
}

// receipt is what an address was paid.
type receipt struct {
	amount consensus.Amount
	depth  int // the least of confirmations
	txids  []string
}

// receipts tallies what each address of the wallet was paid, by transactions with
// so many confirmations.
func (c *call) receipts(least int64, immature bool) map[string]*receipt {
	tally := make(map[string]*receipt)
	for _, v := range c.w.Transactions() {
		if int64(v.Depth) < least || v.Tx.IsCoinbase() && v.Depth < 1 || !v.Mature && !immature {
			continue
		}
		for i, out := range v.Outputs {
			if !out.Mine {
				continue
			}
			r := tally[out.Address]
			if r == nil {
				r = &receipt{depth: v.Depth}
				tally[out.Address] = r
			}
			r.amount += v.Tx.Out[i].Value
			r.depth = min(r.depth, v.Depth)
			r.txids = append(r.txids, v.ID.String())
		}
	}
	return tally
}

func getReceivedByAddress(c *call) (any, error) {
	text, least, immature := c.a.Text(0, ""), integer32(c.a, 1, 1), c.a.Flag(2, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	key, err := c.parseAddress(text)
	if err != nil {
		return nil, fail(codeAddress, "Invalid Bitcoin address")
	}
	if _, mine := c.w.KeyOf(key); !mine {
		return nil, fail(codeWallet, "Address not found in wallet")
	}
	var sum consensus.Amount
	if r := c.receipts(least, immature)[consensus.Address(c.m.cfg.Spec.Defaults.AddressPrefix, key)]; r != nil {
		sum = r.amount
	}
	return coins(sum), nil
}

func getReceivedByLabel(c *call) (any, error) {
	label, least, immature := labelOf(c.a, 0), integer32(c.a, 1, 1), c.a.Flag(2, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	found, sum, tally := false, consensus.Amount(0), c.receipts(least, immature)
	for _, e := range c.w.Book() {
		if e.Label != label {
			continue
		}
		found = true
		if r := tally[e.Address]; r != nil {
			sum += r.amount
		}
	}
	if !found {
		return nil, fail(codeWallet, "Label not found in wallet")
	}
	return coins(sum), nil
}

func listReceivedByAddress(c *call) (any, error) {
	least, empty, filter, immature := integer32(c.a, 0, 1), c.a.Flag(1, false), c.a.Text(3, ""), c.a.Flag(4, false)
	c.a.Flag(2, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if filter != "" {
		key, err := c.parseAddress(filter)
		if err != nil {
			return nil, fail(codeWallet, "address_filter parameter was invalid")
		}
		filter = consensus.Address(c.m.cfg.Spec.Defaults.AddressPrefix, key)
	}
	type entry struct {
		Address       string   `json:"address"`
		Amount        coins    `json:"amount"`
		Confirmations int      `json:"confirmations"`
		Label         string   `json:"label"`
		TxIDs         []string `json:"txids"`
	}
	list, tally := []entry{}, c.receipts(least, immature)
	for _, e := range c.w.Book() {
		r := tally[e.Address]
		if filter != "" && e.Address != filter || r == nil && !empty {
			continue
		}
		j := entry{Address: e.Address, Label: e.Label, TxIDs: []string{}}
		if r != nil {
			j.Amount, j.Confirmations, j.TxIDs = coins(r.amount), r.depth, r.txids
		}
		list = append(list, j)
	}
	return list, nil
}

func listReceivedByLabel(c *call) (any, error) {
	least, empty, immature := integer32(c.a, 0, 1), c.a.Flag(1, false), c.a.Flag(3, false)
	c.a.Flag(2, false)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	byLabel, tally := make(map[string]*receipt), c.receipts(least, immature)
	for _, e := range c.w.Book() {
		r := tally[e.Address]
		if r == nil && !empty {
			continue
		}
		sum := byLabel[e.Label]
		if sum == nil {
			sum = &receipt{depth: -1}
			byLabel[e.Label] = sum
		}
		if r == nil {
			continue
		}
		if sum.amount += r.amount; sum.depth < 0 || r.depth < sum.depth {
			sum.depth = r.depth
		}
	}
	type entry struct {
		Amount        coins  `json:"amount"`
		Confirmations int    `json:"confirmations"`
		Label         string `json:"label"`
	}
	list := []entry{}
	for _, label := range sortedKeys(byLabel) {
		r := byLabel[label]
		list = append(list, entry{coins(r.amount), max(r.depth, 0), label})
	}
	return list, nil
}
