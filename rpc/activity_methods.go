package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"lode/chain"
	"lode/consensus"
	"lode/wallet/descriptor"
)

// maxActivity bounds the events of one answer.
const maxActivity = 1 << 17

// activityJSON is an output that was made, or one that was spent. The first three of
// each kind are those that both have.
type activityJSON struct {
	Type      string          `json:"type"`
	Amount    coins           `json:"amount"`
	BlockHash *consensus.Hash `json:"blockhash,omitempty"` // none in the mempool
	Height    *uint32         `json:"height,omitempty"`

	SpendTxID *consensus.Hash `json:"spend_txid,omitempty"`
	SpendVin  *int            `json:"spend_vin,omitempty"`
	PrevTxID  *consensus.Hash `json:"prevout_txid,omitempty"`
	PrevIndex *uint32         `json:"prevout_vout,omitempty"`
	PrevOut   *scriptJSON     `json:"prevout_spk,omitempty"`

	TxID   *consensus.Hash `json:"txid,omitempty"`
	Index  *int            `json:"vout,omitempty"`
	Output *scriptJSON     `json:"output_spk,omitempty"`
}

// activity collects what happens to scripts.
type activity struct {
	s       *Server
	scripts map[string]struct{}
	list    []activityJSON
}

// getDescriptorActivity shows what descriptors have received and spent in some blocks,
// and in the mempool.
func (s *Server) getDescriptorActivity(ctx context.Context, p *params) (any, error) {
	blocks, objects, withPool := p.list(0), p.list(1), p.flag(2, true)
	if p.err != nil {
		return nil, p.err
	}
	infos, err := s.activeBlocks(blocks)
	if err != nil {
		return nil, err
	}
	a := &activity{s: s, scripts: make(map[string]struct{}), list: []activityJSON{}}
	err = s.eachScript(ctx, objects, func(_ *descriptor.Descriptor, _ uint32, script []byte) int {
		a.scripts[string(script)] = struct{}{}
		return len(a.scripts)
	})
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		if err := a.block(ctx, info); err != nil {
			return nil, err
		}
	}
	if withPool {
		if err := a.pool(ctx); err != nil {
			return nil, err
		}
	}
	return map[string]any{"activity": a.list}, nil
}

// activeBlocks are blocks of the active chain, in its order, each once.
func (s *Server) activeBlocks(hashes []json.RawMessage) ([]chain.HeaderInfo, error) {
	at := make(map[uint32]chain.HeaderInfo)
	for _, raw := range hashes {
		p := single("blockhash", raw)
		hash := p.hash(0, "blockhash")
		if p.err != nil {
			return nil, p.err
		}
		info, err := s.header(hash)
		if err != nil {
			return nil, err
		}
		if !info.Active {
			return nil, fail(codeParameter, "Block is not in main chain")
		}
		at[info.Height] = info
	}
	var list []chain.HeaderInfo
	for _, height := range slices.Sorted(maps.Keys(at)) {
		list = append(list, at[height])
	}
	return list, nil
}

// block adds what happens in a block.
func (a *activity) block(ctx context.Context, info chain.HeaderInfo) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	block, err := a.s.block(info.Hash)
	if err != nil {
		return err
	}
	spent, err := a.s.cfg.Chain.Spent(info.Hash)
	if err != nil {
		return err
	}
	for i, tx := range block.Txs {
		var own []consensus.Coin
		if i > 0 {
			if len(spent) < len(tx.In) {
				return fmt.Errorf("%w: undo data of block %s does not fit it", chain.ErrDamaged, info.Hash)
			}
			own, spent = spent[:len(tx.In)], spent[len(tx.In):]
		}
		if err := a.tx(tx, own, &info); err != nil {
			return err
		}
	}
	return nil
}

// pool adds what happens in the mempool, which goes on meanwhile.
func (a *activity) pool(ctx context.Context) error {
	pool, err := a.s.pool()
	if err != nil {
		return err
	}
	txs := make(map[consensus.Hash]*consensus.Tx)
	var order []*consensus.Tx
	pool.Each(func(_ consensus.Hash, tx *consensus.Tx) { txs[tx.TxID()], order = tx, append(order, tx) })
	return a.s.cfg.Chain.Read(func(r *chain.Reader) error {
		for _, tx := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			own, there := make([]consensus.Coin, len(tx.In)), true
			for i := range tx.In {
				o := tx.In[i].PrevOut
				if parent := txs[o.TxID]; parent != nil && int(o.Index) < len(parent.Out) {
					key, _ := consensus.TaprootKey(parent.Out[o.Index].Script)
					own[i] = consensus.Coin{Value: parent.Out[o.Index].Value, Key: key}
					continue
				}
				var found bool
				if own[i], found, err = r.Coin(o); err != nil {
					return err
				}
				there = there && found
			}
			if !there {
				continue // a block has come in between that holds it, or another that spends the same
			}
			if err := a.tx(tx, own, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// tx adds what a transaction spends, of which spent are the coins, and what it makes.
func (a *activity) tx(tx *consensus.Tx, spent []consensus.Coin, in *chain.HeaderInfo) error {
	id := tx.TxID()
	event := func(kind string, amount consensus.Amount) activityJSON {
		j := activityJSON{Type: kind, Amount: coins(amount)}
		if in != nil {
			j.BlockHash, j.Height = &in.Hash, &in.Height
		}
		return j
	}
	for i := range spent {
		script := consensus.TaprootScript(spent[i].Key)
		if _, ok := a.scripts[string(script)]; !ok {
			continue
		}
		j, shown := event("spend", spent[i].Value), a.s.scriptJSON(script)
		j.SpendTxID, j.SpendVin, j.PrevTxID, j.PrevIndex, j.PrevOut = &id, &i, &tx.In[i].PrevOut.TxID, &tx.In[i].PrevOut.Index, &shown
		a.list = append(a.list, j)
	}
	for i := range tx.Out {
		if _, ok := a.scripts[string(tx.Out[i].Script)]; !ok {
			continue
		}
		j, shown := event("receive", tx.Out[i].Value), a.s.scriptJSON(tx.Out[i].Script)
		j.TxID, j.Index, j.Output = &id, &i, &shown
		a.list = append(a.list, j)
	}
	if len(a.list) > maxActivity {
		return fail(codeMisc, "More than %d events: ask for fewer blocks or descriptors", maxActivity)
	}
	return nil
}
