package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"

	"lode/consensus"
)

// Sequence numbers, see BIP68 and BIP125.
const (
	sequenceFinal       = 0xffffffff
	sequenceLocked      = sequenceFinal - 1 // the lock time counts
	sequenceReplaceable = sequenceFinal - 2
)

// createRawTransaction makes a transaction without signatures.
func (s *Server) createRawTransaction(_ context.Context, p *params) (any, error) {
	tx := s.draftTx(p)
	if p.err != nil {
		return nil, p.err
	}
	return hex.EncodeToString(tx.Bytes()), nil
}

// draftTx reads the arguments of createrawtransaction, with its errors.
func (s *Server) draftTx(p *params) *consensus.Tx {
	const oldest, newest = 1, 3 // versions that peers relay
	inputs, outputs := p.list(0), p.values[1]
	tx := new(consensus.Tx)
	lock := p.integer(2, 0, math.MinInt64, math.MaxInt64)
	replaceable := p.flag(3, true)
	version := p.integer(4, 2, 0, math.MaxUint32)
	switch {
	case p.err != nil:
		return tx
	case lock < 0 || lock > math.MaxUint32:
		p.fail(fail(codeParameter, "Invalid parameter, locktime out of range"))
	case version < oldest || version > newest:
		p.fail(fail(codeParameter, "Invalid parameter, version out of range(%d~%d)", oldest, newest))
	}
	tx.LockTime, tx.Version = uint32(lock), uint32(version)
	sequence := uint32(sequenceFinal)
	switch {
	case replaceable:
		sequence = sequenceReplaceable
	case lock > 0:
		sequence = sequenceLocked
	}
	for _, raw := range inputs {
		tx.In = append(tx.In, p.draftInput(raw, sequence))
	}
	if p.err == nil {
		tx.Out = s.draftOutputs(p, outputs)
	}
	if p.err == nil && !p.absent(3) && replaceable && len(tx.In) > 0 && !signalsReplacement(tx) {
		p.fail(fail(codeParameter, "Invalid parameter combination: Sequence number(s) contradict replaceable option"))
	}
	return tx
}

func signalsReplacement(tx *consensus.Tx) bool {
	for i := range tx.In {
		if tx.In[i].Sequence <= sequenceReplaceable {
			return true
		}
	}
	return false
}

// draftInput reads {"txid", "vout", "sequence"}.
func (p *params) draftInput(raw json.RawMessage, sequence uint32) (in consensus.TxIn) {
	if jsonType(raw) != "object" {
		p.fail(fail(codeType, "JSON value of type %s is not of expected type object", jsonType(raw)))
		return in
	}
	fields := make(map[string]json.RawMessage)
	_ = eachMember(raw, func(name string, value json.RawMessage) error {
		fields[name] = value
		return nil
	})
	var text string
	if kind := jsonType(fields["txid"]); kind != "string" || json.Unmarshal(fields["txid"], &text) != nil {
		p.fail(fail(codeType, "JSON value of type %s is not of expected type string", kind))
		return in
	}
	var err error
	if in.PrevOut.TxID, err = parseHash(text, "txid"); err != nil {
		p.fail(err)
		return in
	}
	if jsonType(fields["vout"]) != "number" {
		p.fail(fail(codeParameter, "Invalid parameter, missing vout key"))
		return in
	}
	var vout int32
	switch err := json.Unmarshal(fields["vout"], &vout); {
	case err != nil:
		p.fail(fail(codeMisc, "JSON integer out of range"))
	case vout < 0:
		p.fail(fail(codeParameter, "Invalid parameter, vout cannot be negative"))
	}
	in.PrevOut.Index, in.Sequence = uint32(vout), sequence
	if jsonType(fields["sequence"]) == "number" {
		var n int64
		if json.Unmarshal(fields["sequence"], &n) != nil || n < 0 || n > sequenceFinal {
			p.fail(fail(codeParameter, "Invalid parameter, sequence number is out of range"))
		}
		in.Sequence = uint32(n)
	}
	return in
}

// draftOutputs reads {address: amount, …, "data": hex}, or a list of such with one
// member each.
func (s *Server) draftOutputs(p *params, raw json.RawMessage) (outs []consensus.TxOut) {
	seen := make(map[string]bool)
	add := func(name string, value json.RawMessage) error {
		out, err := s.draftOutput(name, value)
		if err != nil {
			return err
		}
		key := name
		if name != "data" {
			key = strings.ToLower(name)
		}
		if seen[key] {
			if name == "data" {
				return fail(codeParameter, "Invalid parameter, duplicate key: data")
			}
			return fail(codeParameter, "Invalid parameter, duplicated address: %s", name)
		}
		seen[key] = true
		outs = append(outs, out)
		return nil
	}
	switch jsonType(raw) {
	case "object":
		if err := eachMember(raw, add); err != nil {
			p.fail(err)
		}
	case "array":
		var list []json.RawMessage
		_ = json.Unmarshal(raw, &list)
		for _, item := range list {
			if err := onlyMember(item, add); err != nil {
				p.fail(err)
				return nil
			}
		}
	case "null":
		p.fail(fail(codeParameter, "Invalid parameter, output argument must be non-null"))
	default:
		p.fail(fail(codeType, "JSON value of type %s is not of expected type array", jsonType(raw)))
	}
	return outs
}

// onlyMember calls f for the one member that an object must have.
func onlyMember(raw json.RawMessage, f func(string, json.RawMessage) error) error {
	if jsonType(raw) != "object" {
		return fail(codeParameter, "Invalid parameter, key-value pair not an object as expected")
	}
	count := 0
	err := eachMember(raw, func(string, json.RawMessage) error { count++; return nil })
	if err == nil && count != 1 {
		return fail(codeParameter, "Invalid parameter, key-value pair must contain exactly one key")
	}
	return eachMember(raw, f)
}

func (s *Server) draftOutput(name string, value json.RawMessage) (out consensus.TxOut, err error) {
	if name == "data" {
		var text string
		_ = json.Unmarshal(value, &text)
		data, err := hex.DecodeString(text)
		if err != nil || text == "" {
			return out, fail(codeParameter, "Data must be hexadecimal string (not '%.80s')", text)
		}
		return consensus.TxOut{Script: consensus.DataScript(data)}, nil
	}
	key, err := consensus.ParseAddress(s.cfg.Spec.Defaults.AddressPrefix, name)
	if err != nil {
		return out, fail(codeAddress, "Invalid Bitcoin address: %.100s", name)
	}
	one := single(name, value)
	if one.absent(0) {
		return out, fail(codeType, "Amount is not a number or string")
	}
	amount := one.amount(0, 0, s.cfg.Spec.Rules.MaxMoney)
	return consensus.TxOut{Value: amount, Script: consensus.TaprootScript(key)}, one.err
}

// combineRawTransaction gives one transaction with the signatures that several
// copies of it have.
func (s *Server) combineRawTransaction(_ context.Context, p *params) (any, error) {
	list := p.texts(0)
	if p.err != nil {
		return nil, p.err
	}
	var all *consensus.Tx
	for i, text := range list {
		raw, err := hex.DecodeString(text)
		var tx *consensus.Tx
		if err == nil {
			tx, err = consensus.DecodeTx(raw)
		}
		if err != nil {
			return nil, fail(codeDecode, "TX decode failed for tx %d. Make sure the tx has at least one input.", i)
		}
		if all == nil {
			all = tx
			continue
		}
		if tx.TxID() != all.TxID() {
			continue // Bitcoin Core takes from another transaction nothing that does not verify
		}
		for n := range all.In {
			if len(all.In[n].Witness) == 0 {
				all.In[n].Witness = tx.In[n].Witness
			}
		}
	}
	if all == nil {
		return nil, fail(codeDecode, "Missing transactions")
	}
	for i := range all.In {
		if _, ok, err := s.spendable(all.In[i].PrevOut); err != nil {
			return nil, err
		} else if !ok {
			return nil, fail(codeVerify, "Input not found or already spent")
		}
	}
	return hex.EncodeToString(all.Bytes()), nil
}

// spendable is the output of the ledger or the mempool that o names, if nothing
// confirmed has spent it.
func (s *Server) spendable(o consensus.OutPoint) (out consensus.TxOut, ok bool, err error) {
	coin, ok, err := s.cfg.Chain.Coin(o)
	if ok || err != nil {
		return coin.Output(), ok, err
	}
	pool, err := s.pool()
	if err != nil {
		return out, false, err
	}
	if tx, found := pool.ByTxID(o.TxID); found && o.Index < uint32(len(tx.Out)) {
		return tx.Out[o.Index], true, nil
	}
	return out, false, nil
}
