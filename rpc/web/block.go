package web

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"lode/chain"
	"lode/consensus"
)

const txsPerPage = 100

// known finds a header by the hash or the height in a path.
func (h *Handler) known(args []string) (chain.HeaderInfo, error) {
	text := strings.Join(args, "/")
	if height, err := strconv.ParseUint(text, 10, 32); err == nil {
		hash, ok := h.cfg.Chain.HashAt(uint32(height))
		if !ok {
			return chain.HeaderInfo{}, notFound("there is no block at this height yet")
		}
		text = hash.String()
	}
	hash, err := consensus.ParseHash(text)
	if err != nil {
		return chain.HeaderInfo{}, badInput("a block is named by 64 hexadecimal digits or by its height")
	}
	info, ok := h.cfg.Chain.Header(hash)
	if !ok {
		return info, notFound("this node knows no block with this hash")
	}
	return info, nil
}

// stored is the block of a header.
func (h *Handler) stored(info chain.HeaderInfo) (*consensus.Block, error) {
	b, err := h.cfg.Chain.Block(info.Hash)
	if errors.Is(err, chain.ErrPruned) || errors.Is(err, chain.ErrNotFound) {
		return nil, notFound("this node does not have the block itself, only its header: it was pruned, or has not come yet")
	}
	return b, err
}

// row is a transaction in the list of a block.
type row struct {
	TxID  consensus.Hash   `json:"txid"`
	In    int              `json:"in"`
	Out   int              `json:"out"`
	VSize int              `json:"vsize"`
	Value consensus.Amount `json:"value"` // sat of all outputs
	Fee   consensus.Amount `json:"fee"`   // sat; -1 where it is not known
}

func (h *Handler) block(r *http.Request, args []string) (any, error) {
	info, err := h.known(args)
	if err != nil {
		return nil, err
	}
	from, err := number(r, "from", 0, 1<<20)
	if err != nil {
		return nil, err
	}
	hd, tip := info.Header, h.cfg.Chain.Tip()
	answer := map[string]any{
		"hash": info.Hash, "height": info.Height, "version": hd.Version, "prev": hd.Prev, "merkle": hd.MerkleRoot, "time": hd.Time, "bits": hd.Bits, "nonce": hd.Nonce,
		"header": hex.EncodeToString(hd.Append(nil)), "median": info.MedianTime, "work": info.Work.Hex(), "active": info.Active, "bad": info.Invalid && !info.Invalidated,
		"banned": info.Invalidated, "was": info.Connected && !info.Active, "have": info.HaveBlock, "txs": info.Txs, "tip": tip.Height, "subsidy": h.cfg.Chain.Rules().Subsidy(info.Height),
		"next": h.after(info), "maxweight": h.cfg.Chain.Rules().MaxBlockWeight,
	}
	b, err := h.stored(info)
	if err != nil {
		if p, ok := errors.AsType[*problem](err); ok {
			answer["missing"] = p.text
			return answer, nil
		}
		return nil, err
	}
	s := h.summary(info)
	answer["txs"], answer["size"], answer["weight"], answer["fees"], answer["miner"], answer["coinbase"] = s.Txs, s.Size, s.Weight, s.Fees, s.Miner, hex.EncodeToString(b.Txs[0].In[0].ScriptSig)
	answer["rows"], answer["from"] = h.rows(info.Hash, b, int(from)), from
	return answer, nil
}

// after lists the blocks that build on one: the first few of the active chain, or of
// the first branch there is.
func (h *Handler) after(info chain.HeaderInfo) []summary {
	next := []summary{}
	if !info.Active {
		return next
	}
	for height := info.Height + 1; height <= info.Height+8; height++ {
		hash, ok := h.cfg.Chain.HashAt(height)
		if !ok {
			break
		}
		if n, ok := h.cfg.Chain.Header(hash); ok {
			next = append(next, summary{Hash: n.Hash, Prev: n.Header.Prev, Height: n.Height, Time: n.Header.Time, Bits: n.Header.Bits, Txs: int(n.Txs)})
		}
	}
	return next
}

// rows lists transactions of a block from one on, with the fees where the coins that
// they spent are known.
func (h *Handler) rows(hash consensus.Hash, b *consensus.Block, from int) []row {
	spent, err := h.cfg.Chain.Spent(hash)
	rows, at := []row{}, 0
	for i, tx := range b.Txs {
		fee := consensus.Amount(-1)
		if i > 0 && err == nil && at+len(tx.In) <= len(spent) {
			fee = -tx.OutputSum()
			for _, c := range spent[at : at+len(tx.In)] {
				fee += c.Value
			}
			at += len(tx.In)
		}
		if i >= from && len(rows) < txsPerPage {
			rows = append(rows, row{tx.TxID(), len(tx.In), len(tx.Out), tx.VSize(), tx.OutputSum(), fee})
		}
	}
	return rows
}

// raw is the hex of a block or a transaction.
func (h *Handler) raw(r *http.Request, args []string) (any, error) {
	if len(args) != 2 {
		return nil, badInput("want raw/block/HASH or raw/tx/ID")
	}
	if args[0] == "block" {
		info, err := h.known(args[1:])
		if err != nil {
			return nil, err
		}
		b, err := h.stored(info)
		if err != nil {
			return nil, err
		}
		return plainText(hex.EncodeToString(b.Bytes())), nil
	}
	tx, err := h.findTx(r, args[1])
	if err != nil {
		return nil, err
	}
	return plainText(hex.EncodeToString(tx.tx.Bytes())), nil
}

// manyTxs is how many transactions a block may have so that all of them are decoded.
const manyTxs = 500

// rawJSON is what the node's own call says of a block or a transaction.
func (h *Handler) rawJSON(r *http.Request, args []string) (any, error) {
	if len(args) != 2 {
		return nil, badInput("want json/block/HASH or json/tx/ID")
	}
	if args[0] == "block" {
		info, err := h.known(args[1:])
		if err != nil {
			return nil, err
		}
		verbosity := 2
		if info.Txs == 0 || info.Txs > manyTxs {
			verbosity = 1
		}
		return h.call(r.Context(), "getblock", info.Hash, verbosity)
	}
	tx, err := h.findTx(r, args[1])
	if err != nil {
		return nil, err
	}
	if tx.block != nil {
		return h.call(r.Context(), "getrawtransaction", args[1], 2, tx.block.Hash)
	}
	return h.call(r.Context(), "getrawtransaction", args[1], 2)
}

// call has what a call says sent on; what it refuses is for people.
func (h *Handler) call(ctx context.Context, method string, args ...any) (json.RawMessage, error) {
	v, err := h.cfg.Call(ctx, method, args...)
	if err != nil {
		return nil, badInput(err.Error())
	}
	return v, nil
}

// fate is what became of the payments of a block that is not part of the active chain.
func (h *Handler) fate(_ *http.Request, args []string) (any, error) {
	info, err := h.known(args)
	if err != nil {
		return nil, err
	}
	b, err := h.stored(info)
	if err != nil {
		return nil, err
	}
	fork := info
	for ok := true; ok && !fork.Active; {
		fork, ok = h.cfg.Chain.Header(fork.Header.Prev)
	}
	won := h.blocksAfter(fork)
	type fateOf struct {
		TxID  consensus.Hash  `json:"txid"`
		State string          `json:"state"` // pool, confirmed, lost
		To    *consensus.Hash `json:"to,omitempty"`
		Block *consensus.Hash `json:"block,omitempty"`
	}
	list := []fateOf{}
	for i, tx := range b.Txs {
		if i == 0 || len(list) == maxFate {
			continue
		}
		f := fateOf{TxID: tx.TxID(), State: "lost"}
		if hash, ok := won.txs[f.TxID]; ok {
			f.State, f.Block = "confirmed", &hash
		} else if _, ok := h.cfg.Pool.ByTxID(f.TxID); ok {
			f.State = "pool"
		} else {
			for n := range tx.In {
				if by, ok := won.spent[tx.In[n].PrevOut]; ok {
					f.To = &by
				} else if by, ok := h.cfg.Pool.Spender(tx.In[n].PrevOut); ok {
					f.To = &by
				}
			}
		}
		list = append(list, f)
	}
	return map[string]any{"hash": info.Hash, "height": info.Height, "active": info.Active, "fork": fork.Hash, "forkheight": fork.Height, "txs": len(b.Txs) - 1, "fates": list}, nil
}

const (
	maxFate = 500 // transactions
	maxWon  = 20  // blocks that are looked through
)

// wonBlocks is what blocks of the active chain hold and spend.
type wonBlocks struct {
	txs   map[consensus.Hash]consensus.Hash // the blocks of transactions
	spent map[consensus.OutPoint]consensus.Hash
}

func (h *Handler) blocksAfter(fork chain.HeaderInfo) wonBlocks {
	won := wonBlocks{make(map[consensus.Hash]consensus.Hash), make(map[consensus.OutPoint]consensus.Hash)}
	for height := fork.Height + 1; height <= fork.Height+maxWon; height++ {
		hash, ok := h.cfg.Chain.HashAt(height)
		if !ok {
			break
		}
		b, err := h.cfg.Chain.Block(hash)
		if err != nil {
			continue
		}
		for _, tx := range b.Txs {
			id := tx.TxID()
			won.txs[id] = hash
			for i := range tx.In {
				won.spent[tx.In[i].PrevOut] = id
			}
		}
	}
	return won
}
