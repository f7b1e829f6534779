package rpc

import (
	"encoding/hex"
	"fmt"

	"lode/chain"
	"lode/consensus"
)

// headerJSON is what getblockheader and getblock say of a header.
type headerJSON struct {
	Hash          consensus.Hash  `json:"hash"`
	Confirmations int64           `json:"confirmations"` // -1 off the active chain
	Height        uint32          `json:"height"`
	Version       int32           `json:"version"`
	VersionHex    string          `json:"versionHex"`
	MerkleRoot    consensus.Hash  `json:"merkleroot"`
	Time          uint32          `json:"time"`
	MedianTime    uint32          `json:"mediantime"`
	Nonce         uint32          `json:"nonce"`
	Bits          string          `json:"bits"`
	Target        string          `json:"target"`
	Difficulty    float64         `json:"difficulty"`
	ChainWork     string          `json:"chainwork"`
	NTx           int             `json:"nTx"`
	Prev          *consensus.Hash `json:"previousblockhash,omitempty"`
	Next          *consensus.Hash `json:"nextblockhash,omitempty"`
}

func (s *Server) headerJSON(info chain.HeaderInfo) headerJSON {
	h := &info.Header
	tip := s.cfg.Chain.Tip()
	j := headerJSON{
		Hash: info.Hash, Confirmations: -1, Height: info.Height,
		Version: h.Version, VersionHex: fmt.Sprintf("%08x", uint32(h.Version)), MerkleRoot: h.MerkleRoot,
		Time: h.Time, MedianTime: info.MedianTime, Nonce: h.Nonce, Bits: consensus.Bits(h.Bits).String(),
		Target: targetHex(h.Bits), Difficulty: difficulty(h.Bits), ChainWork: workHex(&info.Work),
	}
	if info.Active && tip.Height >= info.Height {
		j.Confirmations = int64(tip.Height) - int64(info.Height) + 1
		if next, ok := s.cfg.Chain.HashAt(info.Height + 1); ok && tip.Height > info.Height {
			j.Next = &next
		}
	}
	if info.Height > 0 {
		j.Prev = &h.Prev
	}
	return j
}

// difficulty is how much harder a target is than Bitcoin's first one. It is
// for people; no rule uses it.
func difficulty(bits uint32) float64 {
	mantissa := bits & 0x7fffff
	if mantissa == 0 {
		return 0
	}
	d := float64(0xffff) / float64(mantissa)
	for size := int(bits >> 24); size != 29; {
		if size < 29 {
			d *= 256
			size++
		} else {
			d /= 256
			size--
		}
	}
	return d
}

func workHex(w *consensus.Work) string { return fmt.Sprintf("%064s", w.Hex()[2:]) }

func targetHex(bits uint32) string {
	t, _ := consensus.TargetFromBits(bits)
	return workHex(&t)
}

type blockJSON struct {
	headerJSON
	StrippedSize int   `json:"strippedsize"`
	Size         int   `json:"size"`
	Weight       int   `json:"weight"`
	Txs          []any `json:"tx"`
}

// txJSON is a transaction as decoderawtransaction, getrawtransaction and
// getblock show it.
type txJSON struct {
	TxID          consensus.Hash  `json:"txid"`
	Hash          consensus.Hash  `json:"hash"` // of all, with the witness
	Version       uint32          `json:"version"`
	Size          int             `json:"size"`
	VSize         int             `json:"vsize"`
	Weight        int             `json:"weight"`
	LockTime      uint32          `json:"locktime"`
	In            []txInJSON      `json:"vin"`
	Out           []txOutJSON     `json:"vout"`
	Fee           *coins          `json:"fee,omitempty"`
	Hex           string          `json:"hex,omitempty"`
	InActiveChain *bool           `json:"in_active_chain,omitempty"`
	BlockHash     *consensus.Hash `json:"blockhash,omitempty"`
	Confirmations *int64          `json:"confirmations,omitempty"`
	Time          uint32          `json:"time,omitempty"`
	BlockTime     uint32          `json:"blocktime,omitempty"`
}

type txInJSON struct {
	Coinbase  string          `json:"coinbase,omitempty"`
	TxID      *consensus.Hash `json:"txid,omitempty"`
	Index     *uint32         `json:"vout,omitempty"`
	ScriptSig *scriptSigJSON  `json:"scriptSig,omitempty"`
	Witness   []string        `json:"txinwitness,omitempty"`
	PrevOut   *prevOutJSON    `json:"prevout,omitempty"`
	Sequence  uint32          `json:"sequence"`
}

type scriptSigJSON struct {
	Asm string `json:"asm"`
	Hex string `json:"hex"`
}

type prevOutJSON struct {
	Generated bool       `json:"generated"`
	Height    uint32     `json:"height"`
	Value     coins      `json:"value"`
	Script    scriptJSON `json:"scriptPubKey"`
}

type txOutJSON struct {
	Value    coins      `json:"value"`
	Index    int        `json:"n"`
	Script   scriptJSON `json:"scriptPubKey"`
	IsChange bool       `json:"ischange,omitempty"` // of a wallet
}

// feeOf is what a transaction pays; nil for a coinbase, and where it is not known what
// it spends.
func feeOf(tx *consensus.Tx, spent []consensus.Coin) *coins {
	if spent == nil || tx.IsCoinbase() {
		return nil
	}
	fee := coins(-tx.OutputSum())
	for i := range spent {
		fee += coins(spent[i].Value)
	}
	return &fee
}

// txJSON shows a transaction; spent holds the coins of its inputs where they
// are known.
func (s *Server) txJSON(tx *consensus.Tx, spent []consensus.Coin, withHex bool) txJSON {
	return s.txJSONOf(tx, spent, withHex, outputKeys(tx))
}

// txJSONOf is txJSON for one transaction of many, of which all keys are known.
func (s *Server) txJSONOf(tx *consensus.Tx, spent []consensus.Coin, withHex bool, keys map[[32]byte]bool) txJSON {
	j := txJSON{
		TxID: tx.TxID(), Hash: tx.WTxID(), Version: tx.Version, Size: tx.Size(), VSize: tx.VSize(), Weight: tx.Weight(),
		LockTime: tx.LockTime, In: make([]txInJSON, len(tx.In)), Out: make([]txOutJSON, len(tx.Out)),
	}
	for i := range tx.In {
		in := &tx.In[i]
		j.In[i].Sequence = in.Sequence
		for _, item := range in.Witness {
			j.In[i].Witness = append(j.In[i].Witness, hex.EncodeToString(item))
		}
		if tx.IsCoinbase() {
			j.In[i].Coinbase = hex.EncodeToString(in.ScriptSig)
			continue
		}
		j.In[i].TxID, j.In[i].Index = &in.PrevOut.TxID, &in.PrevOut.Index
		asm, _ := disassemble(in.ScriptSig)
		j.In[i].ScriptSig = &scriptSigJSON{asm, hex.EncodeToString(in.ScriptSig)}
		if spent != nil {
			c := &spent[i]
			j.In[i].PrevOut = &prevOutJSON{c.Coinbase, c.Height, coins(c.Value), s.keyJSON(c.Key, true)} // it has signed
		}
	}
	for i := range tx.Out {
		j.Out[i] = txOutJSON{Value: coins(tx.Out[i].Value), Index: i}
		if key, ok := consensus.TaprootKey(tx.Out[i].Script); ok {
			j.Out[i].Script = s.keyJSON(key, keys[key])
		} else {
			j.Out[i].Script = s.scriptJSON(tx.Out[i].Script)
		}
	}
	j.Fee = feeOf(tx, spent)
	if withHex {
		j.Hex = hex.EncodeToString(tx.Bytes())
	}
	return j
}
