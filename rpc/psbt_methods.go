package rpc

import (
	"context"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"

	"lode/consensus"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

func (s *Server) psbtCalls() calls {
	return calls{
		"createpsbt":                s.createPSBT,
		"converttopsbt":             s.convertToPSBT,
		"decodepsbt":                s.decodePSBT,
		"analyzepsbt":               s.analyzePSBT,
		"combinepsbt":               s.combinePSBT,
		"joinpsbts":                 s.joinPSBTs,
		"finalizepsbt":              s.finalizePSBT,
		"utxoupdatepsbt":            s.utxoUpdatePSBT,
		"descriptorprocesspsbt":     s.descriptorProcessPSBT,
		"signrawtransactionwithkey": s.signRawTransactionWithKey,
	}
}

// psbt reads a PSBT in base64.
func (p *params) psbt(i int) *psbt.Packet {
	text := p.text(i, "")
	if p.err != nil {
		return nil
	}
	packet, err := decodePSBT(text)
	if err != nil {
		p.fail(err)
	}
	return packet
}

// psbts reads a list of PSBTs.
func (p *params) psbts(i int) (list []*psbt.Packet) {
	for _, text := range p.texts(i) {
		packet, err := decodePSBT(text)
		if err != nil {
			p.fail(err)
			return nil
		}
		list = append(list, packet)
	}
	return list
}

func decodePSBT(text string) (*psbt.Packet, error) {
	packet, err := psbt.Decode(text)
	if e, ok := errors.AsType[*psbt.FormatError](err); ok {
		return nil, fail(codeDecode, "TX decode failed %s", e.Reason)
	}
	return packet, err
}

// sigHash reads a type of signatures.
func (p *params) sigHash(i int) *consensus.SigHashType {
	if p.absent(i) {
		return nil
	}
	name := p.text(i, "")
	t, ok := psbt.ParseSigHash(name)
	if !ok {
		p.fail(fail(codeParameter, "'%.80s' is not a valid sighash parameter.", name))
	}
	return &t
}

func (s *Server) createPSBT(_ context.Context, p *params) (any, error) {
	tx := s.draftTx(p)
	if p.err != nil {
		return nil, p.err
	}
	packet, err := psbt.New(0, tx)
	if err != nil {
		return nil, err
	}
	return packet.String(), nil
}

func (s *Server) convertToPSBT(_ context.Context, p *params) (any, error) {
	text, permit, witness := p.text(0, ""), p.flag(1, false), p.flag(2, true)
	if p.err != nil {
		return nil, p.err
	}
	raw, err := hex.DecodeString(text)
	var tx *consensus.Tx
	if err == nil {
		tx, err = consensus.DecodeTx(raw)
		// A transaction without inputs looks like one with a witness.
		if err != nil && p.absent(2) || !witness {
			tx, err = consensus.DecodeStripped(raw)
		}
	}
	if err != nil {
		return nil, fail(codeDecode, "TX decode failed")
	}
	tx = tx.Clone()
	for i := range tx.In {
		in := &tx.In[i]
		if (len(in.ScriptSig) > 0 || len(in.Witness) > 0) && !permit {
			return nil, fail(codeDecode, "Inputs must not have scriptSigs and scriptWitnesses")
		}
		in.ScriptSig, in.Witness = nil, nil
	}
	packet, err := psbt.New(0, tx)
	if err != nil {
		return nil, err
	}
	return packet.String(), nil
}

type psbtStatusJSON struct {
	HasUTXO bool   `json:"has_utxo"`
	IsFinal bool   `json:"is_final"`
	Next    string `json:"next"`
}

type psbtAnalysisJSON struct {
	Inputs  []psbtStatusJSON `json:"inputs,omitempty"`
	VSize   int              `json:"estimated_vsize,omitempty"`
	FeeRate *coins           `json:"estimated_feerate,omitempty"`
	Fee     *coins           `json:"fee,omitempty"`
	Next    string           `json:"next"`
	Error   string           `json:"error,omitempty"`
}

func (s *Server) analyzePSBT(_ context.Context, p *params) (any, error) {
	packet := p.psbt(0)
	if p.err != nil {
		return nil, p.err
	}
	a := packet.Analyze(s.cfg.Spec.Rules.MaxMoney)
	j := psbtAnalysisJSON{Next: roleName(a.Next), Error: a.Invalid}
	for _, in := range a.Inputs {
		j.Inputs = append(j.Inputs, psbtStatusJSON{in.HasUTXO, in.Final, roleName(in.Next)})
	}
	if a.HasFee {
		fee := coins(a.Fee)
		j.Fee, j.VSize = &fee, a.VSize
		if a.VSize > 0 {
			rate := coins(int64(a.Fee) * 1000 / int64(a.VSize))
			j.FeeRate = &rate
		}
	}
	return j, nil
}

// roleName is Bitcoin Core's: of a Taproot input it never says that only the
// signature is missing.
func roleName(r psbt.Role) string {
	if r == psbt.Signing {
		r = psbt.Updater
	}
	return r.String()
}

func (s *Server) combinePSBT(_ context.Context, p *params) (any, error) {
	list := p.psbts(0)
	switch {
	case p.err != nil:
		return nil, p.err
	case len(list) == 0:
		return nil, fail(codeParameter, "Parameter 'txs' cannot be empty")
	}
	all, err := psbt.Combine(list...)
	switch {
	case errors.Is(err, psbt.ErrDifferent):
		return nil, fail(codeParameter, "PSBTs not compatible (different transactions)")
	case err != nil:
		return nil, fail(codeParameter, "PSBTs not compatible (%v)", err)
	}
	return all.String(), nil
}

func (s *Server) joinPSBTs(_ context.Context, p *params) (any, error) {
	if p.err == nil && len(p.list(0)) <= 1 {
		return nil, fail(codeParameter, "At least two PSBTs are required to join PSBTs.")
	}
	list := p.psbts(0)
	if p.err != nil {
		return nil, p.err
	}
	all, err := psbt.Join(mathrand.Shuffle, list...)
	if e, ok := errors.AsType[*psbt.TwiceError](err); ok {
		return nil, fail(codeParameter, "Input %s exists in multiple PSBTs", e.PrevOut)
	}
	if err != nil {
		return nil, fail(codeParameter, "PSBTs cannot be joined (%v)", err)
	}
	return all.String(), nil
}

type psbtResultJSON struct {
	PSBT     string `json:"psbt,omitempty"`
	Hex      string `json:"hex,omitempty"`
	Complete bool   `json:"complete"`
}

func (s *Server) finalizePSBT(_ context.Context, p *params) (any, error) {
	packet, extract := p.psbt(0), p.flag(1, true)
	if p.err != nil {
		return nil, p.err
	}
	err := musig.Finalize(packet)
	var tx *consensus.Tx
	if err == nil {
		tx, err = packet.Extract(nil)
	}
	if err == nil && extract {
		return psbtResultJSON{Hex: hex.EncodeToString(tx.Bytes()), Complete: true}, nil
	}
	return psbtResultJSON{PSBT: packet.String(), Complete: err == nil}, nil
}
