package esplora

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"lode/chain"
	"lode/consensus"
	"lode/rpc/scripthash"
)

type statusJSON struct {
	Confirmed bool            `json:"confirmed"`
	Height    *uint32         `json:"block_height,omitempty"`
	Hash      *consensus.Hash `json:"block_hash,omitempty"`
	Time      *uint32         `json:"block_time,omitempty"`
}

func statusOf(info *chain.HeaderInfo) statusJSON {
	return statusJSON{true, &info.Height, &info.Hash, &info.Header.Time}
}

type txJSON struct {
	TxID     consensus.Hash   `json:"txid"`
	Version  uint32           `json:"version"`
	LockTime uint32           `json:"locktime"`
	In       []txInJSON       `json:"vin"`
	Out      []txOutJSON      `json:"vout"`
	Size     int              `json:"size"`
	Weight   int              `json:"weight"`
	Fee      consensus.Amount `json:"fee"`
	Status   statusJSON       `json:"status"`
}

type txInJSON struct {
	TxID      consensus.Hash `json:"txid"`
	Index     uint32         `json:"vout"`
	PrevOut   *txOutJSON     `json:"prevout"`
	ScriptSig string         `json:"scriptsig"`
	Asm       string         `json:"scriptsig_asm"`
	Witness   []string       `json:"witness,omitempty"`
	Coinbase  bool           `json:"is_coinbase"`
	Sequence  uint32         `json:"sequence"`
}

type txOutJSON struct {
	Script  string           `json:"scriptpubkey"`
	Asm     string           `json:"scriptpubkey_asm"`
	Type    string           `json:"scriptpubkey_type"`
	Address string           `json:"scriptpubkey_address,omitempty"`
	Value   consensus.Amount `json:"value"`
}

func (s *Server) txOutJSON(out *consensus.TxOut) txOutJSON {
	j := txOutJSON{Script: hex.EncodeToString(out.Script), Asm: asm(out.Script), Type: "unknown", Value: out.Value}
	if key, ok := consensus.TaprootKey(out.Script); ok {
		j.Type, j.Address = "v1_p2tr", consensus.Address(s.cfg.Spec.Defaults.AddressPrefix, key)
	} else if consensus.IsDataScript(out.Script) {
		j.Type = "op_return"
	} else if len(out.Script) == 0 {
		j.Type = "empty"
	}
	return j
}

// txJSON shows a transaction that spends these outputs; none for a coinbase.
func (s *Server) txJSON(tx *consensus.Tx, spent []consensus.TxOut, status statusJSON) txJSON {
	j := txJSON{
		TxID: tx.TxID(), Version: tx.Version, LockTime: tx.LockTime, In: make([]txInJSON, len(tx.In)), Out: make([]txOutJSON, len(tx.Out)),
		Size: tx.Size(), Weight: tx.Weight(), Status: status,
	}
	for i := range tx.In {
		in := &tx.In[i]
		j.In[i] = txInJSON{
			TxID: in.PrevOut.TxID, Index: in.PrevOut.Index, ScriptSig: hex.EncodeToString(in.ScriptSig), Asm: asm(in.ScriptSig),
			Coinbase: tx.IsCoinbase(), Sequence: in.Sequence,
		}
		for _, item := range in.Witness {
			j.In[i].Witness = append(j.In[i].Witness, hex.EncodeToString(item))
		}
		if i < len(spent) {
			j.In[i].PrevOut = new(s.txOutJSON(&spent[i]))
			j.Fee += spent[i].Value
		}
	}
	for i := range tx.Out {
		j.Out[i] = s.txOutJSON(&tx.Out[i])
	}
	if j.Fee -= tx.OutputSum(); tx.IsCoinbase() {
		j.Fee = 0
	}
	return j
}

// found is a transaction and where it is.
type found struct {
	tx   *consensus.Tx
	info *chain.HeaderInfo // of its block; nil while it is unconfirmed
}

func (f *found) status() statusJSON {
	if f.info == nil {
		return statusJSON{}
	}
	return statusOf(f.info)
}

// find finds a transaction of the chain or of the mempool.
func (s *Server) find(ctx context.Context, id consensus.Hash) (found, error) {
	if genesis := s.cfg.Spec.Rules.Genesis(); genesis.Txs[0].TxID() == id {
		info, _ := s.cfg.Ledger.Header(genesis.Header.Hash())
		return found{genesis.Txs[0], &info}, nil
	}
	tx, hash, err := s.cfg.Index.Find(ctx, id)
	if err != nil {
		return found{}, err
	}
	if hash == (consensus.Hash{}) {
		return found{tx: tx}, nil
	}
	info, ok := s.cfg.Ledger.Header(hash)
	if !ok {
		return found{}, chain.ErrNoTx
	}
	return found{tx, &info}, nil
}

// manyInputs is from how many inputs on the coins of a whole block are read for them,
// instead of a transaction for each.
const manyInputs = 50

// spentBy lists the outputs that a transaction spends.
func (s *Server) spentBy(ctx context.Context, f *found) ([]consensus.TxOut, error) {
	if f.tx.IsCoinbase() {
		return nil, nil
	}
	if f.info != nil && len(f.tx.In) >= manyInputs {
		return s.spentInBlock(f)
	}
	outs := make([]consensus.TxOut, len(f.tx.In))
	for i := range f.tx.In {
		o := f.tx.In[i].PrevOut
		if coin, ok, err := s.cfg.Ledger.Coin(o); err != nil {
			return nil, err
		} else if ok {
			outs[i] = coin.Output()
			continue
		}
		parent, err := s.find(ctx, o.TxID)
		if err != nil {
			return nil, err
		}
		if int(o.Index) >= len(parent.tx.Out) {
			return nil, fmt.Errorf("output %s is not there", o)
		}
		outs[i] = parent.tx.Out[o.Index]
	}
	return outs, nil
}

func (s *Server) spentInBlock(f *found) ([]consensus.TxOut, error) {
	b, err := s.cfg.Ledger.Block(f.info.Hash)
	if err != nil {
		return nil, err
	}
	spent, err := s.cfg.Ledger.Spent(f.info.Hash)
	if err != nil {
		return nil, err
	}
	id := f.tx.TxID()
	for _, tx := range b.Txs[1:] {
		if len(spent) < len(tx.In) {
			break
		}
		if tx.TxID() == id {
			return outputsOf(spent[:len(tx.In)]), nil
		}
		spent = spent[len(tx.In):]
	}
	return nil, chain.ErrNoTx
}

func (s *Server) show(ctx context.Context, f *found) (txJSON, error) {
	spent, err := s.spentBy(ctx, f)
	if err != nil {
		return txJSON{}, err
	}
	return s.txJSON(f.tx, spent, f.status()), nil
}

func (s *Server) tx(ctx context.Context, arg string, path []string) (*answer, error) {
	id, err := parseHash(arg)
	if err != nil {
		return nil, err
	}
	f, err := s.find(ctx, id)
	what := strings.Join(path, "/")
	if what == "status" && errors.Is(err, chain.ErrNoTx) {
		return jsonOf(statusJSON{}) // as electrs has it
	}
	if err != nil {
		return nil, err
	}
	switch what {
	case "":
		j, err := s.show(ctx, &f)
		if err != nil {
			return nil, err
		}
		return jsonOf(j)
	case "hex":
		return text(hex.EncodeToString(f.tx.Bytes()))
	case "raw":
		return binary(f.tx.Bytes())
	case "status":
		return jsonOf(f.status())
	case "merkle-proof", "merkleblock-proof":
		return s.proof(&f, what == "merkle-proof")
	case "outspends":
		return s.outspends(ctx, &f)
	}
	if len(path) == 2 && path[0] == "outspend" {
		i, err := number(path[1])
		if err != nil {
			return nil, err
		}
		j, err := s.outspend(ctx, &f, i)
		if err != nil {
			return nil, err
		}
		return jsonOf(j)
	}
	return nil, missing("endpoint does not exist")
}

// proof proves that a transaction is in its block.
func (s *Server) proof(f *found, electrum bool) (*answer, error) {
	if f.info == nil {
		return nil, missing("Transaction not found or is unconfirmed")
	}
	b, err := s.cfg.Ledger.Block(f.info.Hash)
	if err != nil {
		return nil, err
	}
	id := f.tx.TxID()
	if !electrum {
		return text(hex.EncodeToString(consensus.NewMerkleBlock(b, func(h consensus.Hash) bool { return h == id }).Append(nil)))
	}
	ids := b.TxIDs()
	for i := range ids {
		if ids[i] == id {
			branch, _ := scripthash.MerkleBranch(append(make([]consensus.Hash, 0, len(ids)+1), ids...), i)
			return jsonOf(struct {
				Height uint32           `json:"block_height"`
				Merkle []consensus.Hash `json:"merkle"`
				Pos    int              `json:"pos"`
			}{f.info.Height, append([]consensus.Hash{}, branch...), i})
		}
	}
	return nil, chain.ErrNoTx
}

type outspendJSON struct {
	Spent  bool            `json:"spent"`
	TxID   *consensus.Hash `json:"txid,omitempty"`
	Input  *int            `json:"vin,omitempty"`
	Status *statusJSON     `json:"status,omitempty"`
}

// outspend says what spends an output, if anything does.
func (s *Server) outspend(ctx context.Context, f *found, i uint32) (j outspendJSON, err error) {
	if uint64(i) >= uint64(len(f.tx.Out)) {
		return j, nil // as electrs has it
	}
	key, ok := consensus.TaprootKey(f.tx.Out[i].Script)
	if !ok {
		return j, nil
	}
	height := uint32(0)
	if f.info != nil {
		height = f.info.Height
	}
	spend, ok, err := s.cfg.Index.Spender(ctx, consensus.OutPoint{TxID: f.tx.TxID(), Index: i}, key, height)
	if err != nil || !ok {
		return j, err
	}
	j = outspendJSON{true, &spend.TxID, &spend.Input, &statusJSON{}}
	if info, known := s.cfg.Ledger.Header(spend.Block); spend.Confirmed && known {
		*j.Status = statusOf(&info)
	}
	return j, nil
}

// outspendsMost bounds how many outputs of one transaction are looked up at once.
const outspendsMost = 5000

func (s *Server) outspends(ctx context.Context, f *found) (*answer, error) {
	if len(f.tx.Out) > outspendsMost {
		return nil, bad("the transaction has %d outputs, more than %d: ask for each", len(f.tx.Out), outspendsMost)
	}
	list := make([]outspendJSON, len(f.tx.Out))
	for i := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if list[i], err = s.outspend(ctx, f, uint32(i)); err != nil {
			return nil, err
		}
	}
	return jsonOf(list)
}
