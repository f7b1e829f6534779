package web

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"lode/chain"
	"lode/consensus"
	"lode/mempool"
)

// found is a transaction and where it is.
type found struct {
	tx    *consensus.Tx
	block *chain.HeaderInfo // nil for one of the mempool
	spent []consensus.Coin  // where they are known
}

// recentBlocks are looked through for a transaction if there is no index.
const searchBlocks = 20

// findTx finds a transaction in the block that the query names, in the mempool, by the
// index, or in the newest blocks.
func (h *Handler) findTx(r *http.Request, text string) (f found, err error) {
	id, err := consensus.ParseHash(text)
	if err != nil {
		return f, badInput("a transaction is named by 64 hexadecimal digits")
	}
	if in := r.URL.Query().Get("block"); in != "" {
		info, err := h.known([]string{in})
		if err != nil {
			return f, err
		}
		if f, ok, err := h.txIn(info, id); err != nil || ok {
			return f, err
		}
		return f, notFound("this block does not hold the transaction")
	}
	if tx, ok := h.cfg.Pool.ByTxID(id); ok {
		return found{tx: tx}, nil
	}
	_, hash, err := h.cfg.Chain.FindTx(id)
	if err == nil {
		if info, ok := h.cfg.Chain.Header(hash); ok {
			f, _, err := h.txIn(info, id)
			return f, err
		}
	}
	tip := h.cfg.Chain.Tip().Height
	for height := int64(tip); height >= 0 && height > int64(tip)-searchBlocks; height-- {
		hash, _ := h.cfg.Chain.HashAt(uint32(height))
		if info, ok := h.cfg.Chain.Header(hash); ok {
			if f, ok, err := h.txIn(info, id); ok && err == nil {
				return f, nil
			}
		}
	}
	return f, notFound("this transaction is neither in the mempool nor in the last blocks; to find older ones the node needs --txindex")
}

func (h *Handler) txIn(info chain.HeaderInfo, id consensus.Hash) (f found, ok bool, err error) {
	b, err := h.stored(info)
	if err != nil {
		return f, false, err
	}
	at := 0
	for i, tx := range b.Txs {
		if tx.TxID() != id {
			if i > 0 {
				at += len(tx.In)
			}
			continue
		}
		f = found{tx: tx, block: &info}
		if spent, err := h.cfg.Chain.Spent(info.Hash); err == nil && i > 0 && at+len(tx.In) <= len(spent) {
			f.spent = spent[at : at+len(tx.In)]
		}
		return f, true, nil
	}
	return f, false, nil
}

type input struct {
	TxID     consensus.Hash `json:"txid"`
	Index    uint32         `json:"vout"`
	Sequence uint32         `json:"sequence"`
	Script   string         `json:"script,omitempty"` // hex; of a coinbase
	Witness  []string       `json:"witness"`
	coin
}

type coin struct {
	Value   consensus.Amount `json:"value"` // sat; -1 where it is not known
	Address string           `json:"address,omitempty"`
}

type output struct {
	coin
	Script string          `json:"script"` // hex
	Data   string          `json:"data,omitempty"`
	By     *consensus.Hash `json:"by,omitempty"` // spends it, in the mempool
}

const maxShown = 500 // inputs and outputs

func (h *Handler) tx(r *http.Request, args []string) (any, error) {
	f, err := h.findTx(r, strings.Join(args, "/"))
	if err != nil {
		return nil, err
	}
	id, tip := f.tx.TxID(), h.cfg.Chain.Tip()
	answer := map[string]any{
		"txid": id, "wtxid": f.tx.WTxID(), "version": f.tx.Version, "locktime": f.tx.LockTime, "size": f.tx.Size(), "vsize": f.tx.VSize(), "weight": f.tx.Weight(),
		"coinbase": f.tx.IsCoinbase(), "tip": tip.Height, "ins": len(f.tx.In), "outs": len(f.tx.Out), "hex": "",
	}
	if f.tx.Size() <= 20_000 {
		answer["hex"] = hex.EncodeToString(f.tx.Bytes())
	}
	prefix := h.cfg.Spec.Defaults.AddressPrefix
	ins, fee, sure := []input{}, -f.tx.OutputSum(), true
	for i := range f.tx.In {
		in := &f.tx.In[i]
		row := input{TxID: in.PrevOut.TxID, Index: in.PrevOut.Index, Sequence: in.Sequence, Witness: []string{}}
		row.Value = -1
		if f.tx.IsCoinbase() {
			row.Script, sure = hex.EncodeToString(in.ScriptSig), false
			answer["text"] = minerText(in.ScriptSig)
		} else if c, ok := h.spentBy(f, i); ok {
			row.coin = coin{c.Value, consensus.Address(prefix, c.Key)}
			fee += c.Value
		} else {
			sure = false
		}
		for _, item := range in.Witness {
			row.Witness = append(row.Witness, hex.EncodeToString(item[:min(len(item), 200)]))
		}
		if i < maxShown {
			ins = append(ins, row)
		}
	}
	if sure {
		answer["fee"] = fee
	}
	answer["in"], answer["out"] = ins, h.outputs(f, id)
	if f.block != nil {
		answer["block"], answer["height"], answer["time"], answer["active"] = f.block.Hash, f.block.Height, f.block.Header.Time, f.block.Active
		return answer, nil
	}
	return answer, h.waiting(r, answer, id)
}

func (h *Handler) spentBy(f found, i int) (consensus.Coin, bool) {
	if f.spent != nil {
		return f.spent[i], true
	}
	o := f.tx.In[i].PrevOut
	if c, ok, err := h.cfg.Chain.Coin(o); err == nil && ok {
		return c, true
	}
	if tx, ok := h.cfg.Pool.ByTxID(o.TxID); ok && int(o.Index) < len(tx.Out) {
		key, ok := consensus.TaprootKey(tx.Out[o.Index].Script)
		return consensus.Coin{Value: tx.Out[o.Index].Value, Key: key}, ok
	}
	return consensus.Coin{}, false
}

func (h *Handler) outputs(f found, id consensus.Hash) []output {
	list := []output{}
	for i := range f.tx.Out[:min(len(f.tx.Out), maxShown)] {
		out := &f.tx.Out[i]
		o := output{coin: coin{Value: out.Value}, Script: hex.EncodeToString(out.Script)}
		if key, ok := consensus.TaprootKey(out.Script); ok {
			o.Address = consensus.Address(h.cfg.Spec.Defaults.AddressPrefix, key)
		} else {
			o.Data = minerText(out.Script)
		}
		if by, ok := h.cfg.Pool.Spender(consensus.OutPoint{TxID: id, Index: uint32(i)}); ok {
			o.By = &by
		}
		list = append(list, o)
	}
	return list
}

// member is a transaction in a cluster.
type member struct {
	TxID    consensus.Hash   `json:"txid"`
	Fee     consensus.Amount `json:"fee"`
	VSize   int              `json:"vsize"`
	Rate    float64          `json:"rate"` // sat/vB of what it goes into a block with
	Depends []consensus.Hash `json:"depends"`
}

// cluster lists what hangs together with a transaction, in the order of a miner.
func (h *Handler) cluster(id consensus.Hash) []member {
	infos, _ := h.cfg.Pool.Cluster(id)
	list := []member{}
	for i := range infos {
		list = append(list, memberOf(&infos[i]))
	}
	return list
}

func memberOf(i *mempool.Info) member {
	return member{i.TxID, i.Modified, i.Size, float64(i.Chunk.Fees) / float64(max(1, i.Chunk.Size)), append([]consensus.Hash{}, i.Depends...)}
}

// waiting says what stands between a transaction and a block.
func (h *Handler) waiting(r *http.Request, answer map[string]any, id consensus.Hash) error {
	info, ok := h.cfg.Pool.Info(id)
	if !ok {
		return nil // it has just left
	}
	rate := float64(info.Chunk.Fees) / float64(max(1, info.Chunk.Size))
	before := 0 // weight of all that pays more
	fees := consensus.Amount(0)
	for _, c := range h.cfg.Pool.Diagram() {
		if w := c.Weight - before; w > 0 && float64(c.Fees-fees)*4/float64(w) > rate {
			before, fees = c.Weight, c.Fees
			continue
		}
		break
	}
	tip := h.cfg.Chain.Tip()
	limit := h.cfg.Chain.Rules().BlockWeightLimit(&tip)
	wait := map[string]any{
		"since": info.Time.Unix(), "rate": rate, "ownrate": float64(info.Modified) / float64(max(1, info.Size)), "ahead": before, "blocks": before/limit + 1,
		"cluster": h.cluster(id), "replaceable": info.Signals, "unpaid": rate*1000 < float64(h.cfg.Pool.Stats().Policy.BlockMin),
	}
	for _, target := range []int{1, 2, 3, 6, 12, 24, 144} {
		raw, err := h.cfg.Call(r.Context(), "estimatesmartfee", target)
		var e struct {
			FeeRate json.Number `json:"feerate"`
		}
		if err == nil && json.Unmarshal(raw, &e) == nil {
			if perKvB, err := strconv.ParseFloat(e.FeeRate.String(), 64); err == nil && perKvB*1e8/1000 <= rate {
				wait["estimate"] = target
				break
			}
		}
	}
	answer["wait"] = wait
	return nil
}

const maxHistory = 50

func (h *Handler) address(r *http.Request, args []string) (any, error) {
	text := strings.Join(args, "/")
	key, err := consensus.ParseAddress(h.cfg.Spec.Defaults.AddressPrefix, text)
	if err != nil {
		return nil, badInput("this is no address of this network: " + err.Error())
	}
	from, err := number(r, "from", 1<<32-1, 1<<32-1)
	if err != nil {
		return nil, err
	}
	address := consensus.Address(h.cfg.Spec.Defaults.AddressPrefix, key)
	answer := map[string]any{"address": address, "script": hex.EncodeToString(consensus.TaprootScript(key))}
	totals, err := h.cfg.Chain.AddressTotals(key)
	if err != nil {
		answer["missing"] = "the history of addresses needs a node with --addrindex"
		return answer, nil
	}
	type entry struct {
		TxID     consensus.Hash   `json:"txid"`
		Height   uint32           `json:"height"`
		Received consensus.Amount `json:"received"`
		Spent    consensus.Amount `json:"spent"`
	}
	list := []entry{}
	more := false
	err = h.cfg.Chain.AddressTxsBack(key, uint32(from), func(t chain.AddressTx) bool {
		if len(list) == maxHistory {
			more = true
			return false
		}
		list = append(list, entry{t.TxID, t.Height, t.Received, t.Spent})
		return true
	})
	if err != nil {
		return nil, err
	}
	answer["received"], answer["spent"], answer["count"], answer["txs"], answer["more"] = totals.Received, totals.Spent, totals.Txs, list, more
	return answer, nil
}

// search says what a text names.
func (h *Handler) search(r *http.Request, _ []string) (any, error) {
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	to := func(kind, id string) (any, error) { return map[string]string{"kind": kind, "id": id}, nil }
	if info, err := h.known([]string{q}); err == nil {
		return to("block", info.Hash.String())
	}
	if hash, err := consensus.ParseHash(q); err == nil {
		if f, err := h.findTx(r, q); err == nil {
			return to("tx", f.tx.TxID().String())
		}
		return nil, notFound("this node knows neither a block nor a transaction " + hash.String())
	}
	if key, err := consensus.ParseAddress(h.cfg.Spec.Defaults.AddressPrefix, q); err == nil {
		return to("address", consensus.Address(h.cfg.Spec.Defaults.AddressPrefix, key))
	}
	return nil, notFound("this is no height, hash or address of this network")
}
