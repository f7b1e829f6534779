package rpc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"lode/chain"
	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/musig"
	"lode/wallet/psbt"
	"lode/wallet/psbt/signer"
)

// ring reads a list of descriptors, or of objects with a descriptor and a range.
// Those of other scripts than Taproot's are read, and lead to no key.
func (s *Server) ring(ctx context.Context, p *params, i int) *signer.Ring {
	ring := new(signer.Ring)
	for _, raw := range p.list(i) {
		if p.err != nil {
			break
		}
		d, low, high, err := s.rangedDescriptor(raw)
		if err == nil && d.Usable() == nil {
			err = ring.AddRange(ctx, d, low, high)
			if errors.Is(err, descriptor.ErrNoPrivate) {
				err = fail(codeAddress, "Cannot derive script without private keys: '%s'", d)
			}
		}
		if err != nil {
			p.fail(err)
		}
	}
	return ring
}

func (s *Server) rangedDescriptor(raw json.RawMessage) (d *descriptor.Descriptor, low, high uint32, err error) {
	o, err := readScanObject(raw)
	if err != nil {
		return nil, 0, 0, err
	}
	if d, err = descriptor.Parse(o.text, s.descriptors); err != nil {
		return nil, 0, 0, descriptorError(err)
	}
	return d, uint32(o.r.first), uint32(o.r.last), nil
}

func (s *Server) utxoUpdatePSBT(ctx context.Context, p *params) (any, error) {
	ring, packet := s.ring(ctx, p, 1), p.psbt(0) // the errors of descriptors come first, as in Bitcoin Core
	if p.err != nil {
		return nil, p.err
	}
	if err := s.updatePSBT(ctx, packet, ring); err != nil {
		return nil, err
	}
	return packet.String(), nil
}

// updatePSBT says what the inputs spend, as far as the node knows, and where the
// keys come from that the ring knows.
func (s *Server) updatePSBT(ctx context.Context, packet *psbt.Packet, ring *signer.Ring) error {
	for i := range packet.Inputs {
		if err := s.updateCoin(ctx, packet, i); err != nil {
			return err
		}
	}
	h, err := packet.Hasher()
	if err != nil {
		return fail(codeDecode, "%v", err)
	}
	whole := true // every input is Taproot's, so that transactions need not be in it
	for i := range packet.Inputs {
		in := &packet.Inputs[i]
		out, known := h.Spent(i)
		_, taproot := consensus.TaprootKey(out.Script)
		if !known || !taproot {
			whole = false
			continue
		}
		if in.IsFinal() {
			continue
		}
		in.SetWitnessUTXO(out)
		if err := ring.UpdateInput(in, out.Script); err != nil {
			return err
		}
		if t, fixed := in.SigHash(); fixed && t&uint32(consensus.SigHashAnyoneCanPay) != 0 {
			whole = false
		}
	}
	for i := range packet.Outputs {
		if err := ring.UpdateOutput(&packet.Outputs[i], h.Tx.Out[i].Script); err != nil {
			return err
		}
	}
	for i := range packet.Inputs {
		if in := &packet.Inputs[i]; whole && in.Has(psbt.InWitnessUTXO) {
			in.Delete(psbt.InNonWitnessUTXO)
		}
	}
	return nil
}

// updateCoin looks for what an input spends, where Bitcoin Core looks: in the
// index of transactions, in the mempool and among the coins.
func (s *Server) updateCoin(ctx context.Context, packet *psbt.Packet, i int) error {
	in, prev := &packet.Inputs[i], packet.PrevOut(i)
	if in.Has(psbt.InNonWitnessUTXO) {
		return nil
	}
	tx, err := s.anyTx(ctx, prev.TxID)
	if err != nil {
		return err
	}
	if tx != nil {
		if prev.Index < uint32(len(tx.Out)) {
			in.SetNonWitnessUTXO(tx)
		}
		return nil
	}
	out, ok, err := s.spendable(prev)
	if ok && err == nil {
		in.SetWitnessUTXO(out)
	}
	return err
}

// anyTx finds a transaction by the index, if there is one, or in the mempool; nil
// if it is nowhere.
func (s *Server) anyTx(ctx context.Context, id consensus.Hash) (*consensus.Tx, error) {
	if _, ready, err := s.indexReady(ctx, chain.TxIndex); err != nil {
		return nil, err
	} else if ready {
		if tx, _, err := s.cfg.Chain.FindTx(id); err == nil {
			return tx, nil
		} else if !errors.Is(err, chain.ErrNotFound) {
			return nil, err
		}
	}
	pool, err := s.pool()
	if err != nil {
		return nil, err
	}
	tx, _ := pool.ByTxID(id)
	return tx, nil
}

func (s *Server) descriptorProcessPSBT(ctx context.Context, p *params) (any, error) {
	ring, packet, t := s.ring(ctx, p, 1), p.psbt(0), p.sigHash(2)
	ring.HideOrigins = !p.flag(3, true)
	finalize := p.flag(4, true)
	if p.err != nil {
		return nil, p.err
	}
	if t == nil {
		everything := consensus.SigHashDefault
		t = &everything
	}
	if err := s.updatePSBT(ctx, packet, ring); err != nil {
		return nil, err
	}
	h, err := packet.Hasher()
	if err != nil {
		return nil, fail(codeDecode, "%v", err)
	}
	if packet.HasSilent() {
		return nil, fail(codeDecode, "%v", psbt.ErrSilent)
	}
	for i := range packet.Inputs {
		_, err := packet.SignInput(h, i, ring, psbt.SignOptions{SigHash: t})
		if errors.Is(err, psbt.ErrSigHash) {
			return nil, fail(codeDecode, "Specified sighash value does not match value stored in PSBT")
		}
	}
	if finalize {
		_ = musig.Finalize(packet) // the inputs that can be
	}
	j := psbtResultJSON{PSBT: packet.String(), Complete: true}
	for i := range packet.Inputs {
		j.Complete = j.Complete && packet.Inputs[i].IsFinal()
	}
	if j.Complete {
		tx, err := packet.Extract(nil)
		if err != nil {
			return nil, fail(codeVerify, "%v", err)
		}
		j.Hex = hex.EncodeToString(tx.Bytes())
	}
	return j, nil
}

type signErrorJSON struct {
	TxID      consensus.Hash `json:"txid"`
	Vout      uint32         `json:"vout"`
	Witness   []string       `json:"witness"`
	ScriptSig string         `json:"scriptSig"`
	Sequence  uint32         `json:"sequence"`
	Error     string         `json:"error"`
}

type signedTxJSON struct {
	Hex      string          `json:"hex"`
	Complete bool            `json:"complete"`
	Errors   []signErrorJSON `json:"errors,omitempty"`
}

// signRawTransactionWithKey signs for Taproot outputs whose key is that of a
// private key, as it is or tweaked without scripts (BIP86).
func (s *Server) signRawTransactionWithKey(_ context.Context, p *params) (any, error) {
	tx := p.tx(0, "TX decode failed. Make sure the tx has at least one input.")
	ring := s.keyRing(p, p.texts(1))
	if p.err != nil {
		return nil, p.err
	}
	coins := make(map[consensus.OutPoint]*consensus.TxOut)
	for i := range tx.In {
		out, ok, err := s.spendable(tx.In[i].PrevOut)
		if err != nil {
			return nil, err
		}
		if ok {
			coins[tx.In[i].PrevOut] = &out
		}
	}
	priced := s.prevTxs(p, 2, coins)
	t := p.sigHash(3)
	if p.err != nil {
		return nil, p.err
	}
	return signRawTx(tx, ring, coins, priced, t)
}

// keyRing takes up private keys in WIF.
func (s *Server) keyRing(p *params, texts []string) *signer.Ring {
	ring := new(signer.Ring)
	for _, text := range texts {
		for _, form := range []string{"tr(%s)", "rawtr(%s)"} {
			d, err := descriptor.Parse(fmt.Sprintf(form, text), descriptor.NetworkOf(s.cfg.Spec))
			if err == nil && (!d.IsPrivate() || d.IsRange()) {
				err = descriptor.ErrNoPrivate
			}
			if err == nil {
				err = ring.Add(d, 0)
			}
			if err != nil {
				p.fail(fail(codeAddress, "Invalid private key"))
				return ring
			}
		}
	}
	return ring
}

// prevTxs reads outputs that the caller tells of. Those in priced have an amount.
func (s *Server) prevTxs(p *params, at int, coins map[consensus.OutPoint]*consensus.TxOut) (priced map[consensus.OutPoint]bool) {
	priced = make(map[consensus.OutPoint]bool)
	for o := range coins {
		priced[o] = true
	}
	for _, raw := range p.list(at) {
		if p.err != nil {
			break
		}
		if jsonType(raw) != "object" {
			p.fail(fail(codeDecode, "expected object with {\"txid'\",\"vout\",\"scriptPubKey\"}"))
			break
		}
		o, out, known, err := s.prevTx(raw)
		if have := coins[o]; err == nil && have != nil && string(have.Script) != string(out.Script) {
			a, _ := disassemble(have.Script)
			b, _ := disassemble(out.Script)
			err = fail(codeDecode, "Previous output scriptPubKey mismatch:\n%s\nvs:\n%s", a, b)
		}
		if err != nil {
			p.fail(err)
			break
		}
		coins[o], priced[o] = &out, known
	}
	return priced
}

func (s *Server) prevTx(raw json.RawMessage) (o consensus.OutPoint, out consensus.TxOut, priced bool, err error) {
	fields := make(map[string]json.RawMessage)
	_ = eachMember(raw, func(name string, value json.RawMessage) error {
		fields[name] = value
		return nil
	})
	var id, script string
	for _, f := range []struct {
		name, want string
		into       any
	}{{"txid", "string", &id}, {"vout", "number", new(json.Number)}, {"scriptPubKey", "string", &script}} {
		if fields[f.name] == nil {
			return o, out, false, fail(codeType, "Missing %s", f.name)
		}
		if jsonType(fields[f.name]) != f.want || json.Unmarshal(fields[f.name], f.into) != nil {
			return o, out, false, fail(codeType, "JSON value of type %s for field %s is not of expected type %s", jsonType(fields[f.name]), f.name, f.want)
		}
	}
	if o.TxID, err = parseHash(id, "txid"); err != nil {
		return o, out, false, err
	}
	var vout int32
	if json.Unmarshal(fields["vout"], &vout) != nil {
		return o, out, false, fail(codeMisc, "JSON integer out of range")
	}
	if vout < 0 {
		return o, out, false, fail(codeDecode, "vout cannot be negative")
	}
	o.Index = uint32(vout)
	if out.Script, err = hex.DecodeString(script); err != nil {
		return o, out, false, fail(codeParameter, "scriptPubKey must be hexadecimal string (not '%.80s')", script)
	}
	if isNull(fields["amount"]) {
		return o, out, false, nil
	}
	one := single("amount", fields["amount"])
	out.Value = one.amount(0, 0, s.cfg.Spec.Rules.MaxMoney)
	return o, out, true, one.err
}

// signRawTx signs the inputs that the ring has keys for, and says of the others
// what is wrong with them.
func signRawTx(tx *consensus.Tx, ring *signer.Ring, coins map[consensus.OutPoint]*consensus.TxOut, priced map[consensus.OutPoint]bool, t *consensus.SigHashType) (any, error) {
	bare := tx.Clone()
	for i := range bare.In {
		bare.In[i].ScriptSig, bare.In[i].Witness = nil, nil
	}
	packet, err := psbt.New(0, bare)
	if err != nil {
		return nil, err
	}
	for i := range tx.In {
		if out := coins[tx.In[i].PrevOut]; out != nil {
			packet.Inputs[i].SetWitnessUTXO(*out)
		}
	}
	h, err := packet.Hasher()
	if err != nil {
		return nil, err
	}
	signed := tx.Clone()
	j := signedTxJSON{Complete: true}
	for i := range tx.In {
		in := &signed.In[i]
		out := coins[in.PrevOut]
		reason := "Input not found or already spent"
		if out != nil {
			if sig, ok := signRawInput(packet, h, i, ring, t); ok && !validInput(h, i, in) {
				in.ScriptSig, in.Witness = nil, [][]byte{sig}
			}
			if !priced[in.PrevOut] && len(in.Witness) > 0 {
				return nil, fail(codeType, "Missing amount for CTxOut(nValue=%d.%08d, scriptPubKey=%.30s)", out.Value/consensus.SatPerCoin, out.Value%consensus.SatPerCoin, hex.EncodeToString(out.Script))
			}
			reason = inputError(signed, h, i)
		}
		if reason != "" {
			j.Complete = false
			e := signErrorJSON{TxID: in.PrevOut.TxID, Vout: in.PrevOut.Index, Witness: []string{}, ScriptSig: hex.EncodeToString(in.ScriptSig), Sequence: in.Sequence, Error: reason}
			for _, item := range in.Witness {
				e.Witness = append(e.Witness, hex.EncodeToString(item))
			}
			j.Errors = append(j.Errors, e)
		}
	}
	j.Hex = hex.EncodeToString(signed.Bytes())
	return j, nil
}

func signRawInput(packet *psbt.Packet, h *psbt.Hasher, i int, ring *signer.Ring, t *consensus.SigHashType) ([]byte, bool) {
	ok, err := packet.SignInput(h, i, ring, psbt.SignOptions{SigHash: t})
	sig, _ := packet.Inputs[i].TapKeySig()
	return sig, ok && err == nil
}

func validInput(h *psbt.Hasher, i int, in *consensus.TxIn) bool {
	return len(in.ScriptSig) == 0 && len(in.Witness) == 1 && h.Verify(i, in.Witness[0]) == nil
}

// inputError is why an input is not valid, empty if it is.
func inputError(tx *consensus.Tx, h *psbt.Hasher, i int) string {
	coins := make([]consensus.Coin, len(tx.In))
	for j := range tx.In {
		key, err := h.Key(j)
		if j == i && err != nil {
			return "Witness program hash mismatch" // another script than Taproot's
		}
		out, _ := h.Spent(j)
		coins[j] = consensus.Coin{Value: out.Value, Key: key}
	}
	check := consensus.SpendChecks(tx, tx.TxID(), coins)[i]
	signature, err := check.Signature()
	if err == nil && !signature.Verify() {
		err = check.Invalid()
	}
	if e, ok := errors.AsType[*consensus.RuleError](err); ok {
		return e.Kind.Error()
	}
	return ""
}
