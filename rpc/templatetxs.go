package rpc

import (
	"encoding/hex"
	"encoding/json"
	"sync"

	"lode/consensus"
	"lode/miner"
)

// templateTxs is the transactions of the last template as JSON. All who wait
// for a template ask at the same moment.
type templateTxs struct {
	mu       sync.Mutex // guards what follows; held while the JSON is made
	template *miner.Template
	json     json.RawMessage
}

type templateTxJSON struct {
	Data    string           `json:"data"`
	TxID    consensus.Hash   `json:"txid"`
	Hash    consensus.Hash   `json:"hash"`    // of all, with the witness
	Depends []int            `json:"depends"` // of the list, counted from 1
	Fee     consensus.Amount `json:"fee"`     // sat
	Sigops  int              `json:"sigops"`  // cost
	Weight  int              `json:"weight"`  // weight units
}

// of gives the list of transactions of t.
func (c *templateTxs) of(t *miner.Template) (json.RawMessage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.template == t {
		return c.json, nil
	}
	list := make([]templateTxJSON, len(t.Entries))
	at := make(map[consensus.Hash]int, len(t.Entries))
	for i, e := range t.Entries {
		at[e.TxID] = i + 1
		j := templateTxJSON{hex.EncodeToString(e.Tx.Bytes()), e.TxID, e.WTxID, []int{}, e.Fee, e.Sigops, e.Weight}
		for k := range e.Tx.In {
			if parent, ok := at[e.Tx.In[k].PrevOut.TxID]; ok {
				j.Depends = append(j.Depends, parent)
			}
		}
		list[i] = j
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	c.template, c.json = t, encoded
	return encoded, nil
}
