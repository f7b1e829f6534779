package walletrpc

import (
	"encoding/hex"
	"encoding/json"
	"errors"

	"lode/consensus"
	"lode/rpc"
	"lode/wallet"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

// psbtCalls are the calls that sign what others have made.
func (m *Manager) psbtCalls() calls {
	return calls{
		"walletcreatefundedpsbt":       m.on(walletCreateFundedPSBT),
		"walletprocesspsbt":            m.on(walletProcessPSBT),
		"signrawtransactionwithwallet": m.on(signRawTransaction),
	}
}

// sigHashTypes are the names of hash types in Bitcoin Core.
var sigHashTypes = map[string]consensus.SigHashType{
	"DEFAULT": consensus.SigHashDefault, "ALL": 0x01, "NONE": 0x02, "SINGLE": 0x03,
	"ALL|ANYONECANPAY": 0x81, "NONE|ANYONECANPAY": 0x82, "SINGLE|ANYONECANPAY": 0x83,
}

// readSigHash reads the name of a hash type; nil if none is wanted.
func readSigHash(a *rpc.Args, i int) *consensus.SigHashType {
	if a.Absent(i) {
		return nil
	}
	name := a.Text(i, "")
	t, ok := sigHashTypes[name]
	if !ok {
		a.Fail(fail(codeParameter, "'%.40s' is not a valid sighash parameter.", name))
	}
	return &t
}

// psbtError gives an error of a PSBT Bitcoin Core's code and text.
func psbtError(err error) error {
	if errors.Is(err, psbt.ErrSigHash) {
		return fail(codeDecode, "Specified sighash value does not match value stored in PSBT")
	}
	return orderError(err, codeVerify)
}

func walletProcessPSBT(c *call) (any, error) {
	text, sign, kind := c.a.Text(0, ""), c.a.Flag(1, true), readSigHash(c.a, 2)
	origins, finalize := c.a.Flag(3, true), c.a.Flag(4, true)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	p, err := psbt.Decode(text)
	if err != nil {
		return nil, fail(codeDecode, "TX decode failed %v", err)
	}
	if sign = sign && !c.w.WatchOnly(); sign && c.o.isLocked() {
		return nil, errLocked
	}
	if err := c.w.FillPSBT(p, origins); err != nil {
		return nil, fail(codeVerify, "%v", err)
	}
	if sign {
		err := c.o.withSecret(func(s *wallet.Secret) error {
			if _, err := p.Sign(c.w.Signer(s), psbt.SignOptions{SigHash: kind}); err != nil {
				return err
			}
			return c.o.files.Cosign(c.m.cfg.Spec, s, p)
		})
		if err != nil && !errors.Is(err, psbt.ErrCoin) {
			return nil, psbtError(err)
		}
	}
	answer := struct {
		PSBT     string `json:"psbt"`
		Complete bool   `json:"complete"`
		Hex      string `json:"hex,omitempty"`
	}{}
	done := p.Clone()
	if err := musig.Finalize(done); err == nil {
		if tx, err := done.Extract(nil); err == nil {
			answer.Complete, answer.Hex = true, hexOf(tx)
		}
	}
	if finalize {
		p = done
	}
	answer.PSBT = p.String()
	return answer, nil
}

// inputErrorJSON is why an input of a transaction is not signed.
type inputErrorJSON struct {
	TxID      consensus.Hash `json:"txid"`
	Vout      uint32         `json:"vout"`
	Witness   []string       `json:"witness"`
	ScriptSig string         `json:"scriptSig"`
	Sequence  uint32         `json:"sequence"`
	Error     string         `json:"error"`
}

func inputError(in *consensus.TxIn, text string) inputErrorJSON {
	e := inputErrorJSON{TxID: in.PrevOut.TxID, Vout: in.PrevOut.Index, Witness: []string{}, ScriptSig: hex.EncodeToString(in.ScriptSig), Sequence: in.Sequence, Error: text}
	for _, item := range in.Witness {
		e.Witness = append(e.Witness, hex.EncodeToString(item))
	}
	return e
}

func signRawTransaction(c *call) (any, error) {
	tx := c.a.Tx(0, "TX decode failed. Make sure the tx has at least one input.")
	kind := readSigHash(c.a, 2)
	if err := c.a.Err(); err != nil {
		return nil, err
	}
	if kind == nil {
		kind = new(consensus.SigHashType)
	}
	switch {
	case c.w.WatchOnly():
		return nil, fail(codeWallet, "Error: Private keys are disabled for this wallet")
	case c.o.isLocked():
		return nil, errLocked
	}
	named, err := previousOutputs(c.a, 1)
	if err != nil {
		return nil, err
	}
	spent, known, err := c.spentBy(tx, named)
	if err != nil {
		return nil, err
	}
	all := true
	for i := range tx.In {
		all = all && known[i]
	}
	if all { // a signature is of all that is spent
		err := c.o.withSecret(func(s *wallet.Secret) error {
			_, err := c.w.SignTx(s, tx, spent, *kind)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	answer := struct {
		Hex      string           `json:"hex"`
		Complete bool             `json:"complete"`
		Errors   []inputErrorJSON `json:"errors,omitempty"`
	}{Hex: hexOf(tx)}
	answer.Errors = inputErrors(tx, spent, known)
	answer.Complete = len(answer.Errors) == 0
	return answer, nil
}

// inputErrors says which inputs have no valid signature.
func inputErrors(tx *consensus.Tx, spent []consensus.TxOut, known []bool) (list []inputErrorJSON) {
	coins, complete := make([]consensus.Coin, len(tx.In)), true
	for i := range tx.In {
		key, ok := consensus.TaprootKey(spent[i].Script)
		complete = complete && known[i] && ok
		coins[i] = consensus.Coin{Value: spent[i].Value, Key: key}
	}
	var checks []consensus.SpendCheck
	if complete {
		checks = consensus.SpendChecks(tx, tx.TxID(), coins)
	}
	for i := range tx.In {
		in := &tx.In[i]
		switch {
		case !known[i]:
			list = append(list, inputError(in, "Input not found or already spent"))
		case len(in.Witness) == 0:
			list = append(list, inputError(in, "Unable to sign input, invalid stack size (possibly missing key)"))
		case !complete:
			list = append(list, inputError(in, "Unable to verify input, as not all that the transaction spends is known"))
		default:
			if sig, err := checks[i].Signature(); err != nil || !sig.Verify() {
				list = append(list, inputError(in, "Invalid Schnorr signature"))
			}
		}
	}
	return list
}

// spentBy finds what a transaction spends: as it was named, in the ledger, the
// mempool or the wallet.
func (c *call) spentBy(tx *consensus.Tx, named map[consensus.OutPoint]consensus.TxOut) (spent []consensus.TxOut, known []bool, err error) {
	spent, known = make([]consensus.TxOut, len(tx.In)), make([]bool, len(tx.In))
	for i := range tx.In {
		o := tx.In[i].PrevOut
		if spent[i], known[i] = named[o]; known[i] {
			continue
		}
		coin, ok, err := c.m.cfg.Chain.Coin(o)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			spent[i], known[i] = coin.Output(), true
			continue
		}
		if tx, ok := c.m.cfg.Pool.ByTxID(o.TxID); ok && o.Index < uint32(len(tx.Out)) {
			spent[i], known[i] = tx.Out[o.Index], true
		}
	}
	return spent, known, nil
}

// previousOutputs reads [{"txid", "vout", "scriptPubKey", "amount"}].
func previousOutputs(a *rpc.Args, i int) (map[consensus.OutPoint]consensus.TxOut, error) {
	found := make(map[consensus.OutPoint]consensus.TxOut)
	if a.Absent(i) {
		return found, nil
	}
	list := a.List(i)
	if err := a.Err(); err != nil {
		return nil, err
	}
	if len(list) > maxBatchInputs {
		return nil, fail(codeParameter, "at most %d outputs can be named", maxBatchInputs)
	}
	for _, raw := range list {
		m := rpc.ObjectArgs(raw, "txid", "vout", "scriptPubKey", "redeemScript", "witnessScript", "amount")
		o, err := outPoint(pick(m, raw))
		if err != nil {
			return nil, err
		}
		if m.Absent(2) {
			return nil, fail(codeType, "Missing scriptPubKey")
		}
		script, err := hex.DecodeString(m.Text(2, ""))
		if err != nil {
			return nil, fail(codeDecode, "scriptPubKey must be hexadecimal string (not '%.80s')", m.Text(2, ""))
		}
		if m.Absent(5) {
			return nil, fail(codeType, "Missing amount for %s", o)
		}
		value := m.Amount(5, 0, maxAmount)
		if err := m.Err(); err != nil {
			return nil, err
		}
		found[o] = consensus.TxOut{Value: value, Script: script}
	}
	return found, nil
}

// pick is an object with the txid and vout of another one alone.
func pick(m *rpc.Args, raw json.RawMessage) json.RawMessage {
	if m.Err() != nil {
		return raw
	}
	b, _ := json.Marshal(map[string]json.RawMessage{"txid": orNull(m.Raw(0)), "vout": orNull(m.Raw(1))})
	return b
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}
