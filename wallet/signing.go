package wallet

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

// FillPSBT notes in a PSBT what the wallet knows: the outputs that its inputs
// spend, and, if origins are wanted, where the keys of inputs and outputs come
// from.
func (w *Wallet) FillPSBT(p *psbt.Packet, origins bool) error {
	w.refresh()
	for i := range p.Inputs {
		in := &p.Inputs[i]
		out, own := w.ours(p.PrevOut(i))
		if in.IsFinal() || !own {
			continue
		}
		if have, ok := in.WitnessUTXO(); ok && (have.Value != out.Value || string(have.Script) != string(out.Script)) {
			return fmt.Errorf("input %d: the PSBT says that it spends %s, and it spends %s", i, have.Value, out.Value)
		}
		in.SetWitnessUTXO(*out)
		id, _ := w.keys.find(out.Script)
		if id.IsSilent() {
			continue
		}
		if of, err := w.describeShared(in, id); of || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		d, err := w.tapDerivation(out.Script)
		if err != nil {
			return err
		}
		if in.SetTapInternalKey(d.Key); origins {
			in.SetTapDerivation(d)
		}
	}
	tx, err := p.Tx()
	if err != nil {
		return err
	}
	for i := range p.Outputs {
		id, own := w.keys.find(tx.Out[i].Script)
		if !own || !origins || id.IsSilent() {
			continue
		}
		if of, err := w.describeShared(&p.Outputs[i], id); of || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		d, err := w.tapDerivation(tx.Out[i].Script)
		if err != nil {
			return err
		}
		p.Outputs[i].SetTapInternalKey(d.Key)
		p.Outputs[i].SetTapDerivation(d)
	}
	return nil
}

// describeShared adds what the owners of a key have to know (BIP373), and reports
// whether there are several.
func (w *Wallet) describeShared(s musig.Section, id KeyID) (bool, error) {
	d, ok := w.DescriptorOf(id)
	if !ok {
		return false, nil
	}
	return musig.Describe(s, d, id.Index)
}

// tapDerivation is the internal key of an output of the wallet, and its origin.
func (w *Wallet) tapDerivation(script []byte) (d psbt.TapDerivation, err error) {
	id, _ := w.keys.find(script)
	from, ok := w.DescriptorOf(id)
	if !ok {
		return d, fmt.Errorf("key %s: the wallet has no such keys", id)
	}
	internal, err := from.InternalKey(id.Index)
	if err != nil {
		return d, err
	}
	d.Key = [32]byte(schnorr.SerializePubKey(internal))
	if origins, err := from.Origins(id.Index); err == nil && len(origins) == 1 {
		d.Origin = psbt.KeyOrigin{Fingerprint: origins[0].Fingerprint, Path: origins[0].Path}
	}
	return d, nil
}

// Signer signs what the keys of the wallet can sign, in PSBTs.
func (w *Wallet) Signer(s *Secret) psbt.Signer { return &keySigner{w, w.newSigner(s)} }

type keySigner struct {
	w    *Wallet
	keys *signer
}

// Sign gives the signature of a task if the output key is the wallet's.
func (k *keySigner) Sign(t *psbt.Task) (sig [64]byte, ok bool, err error) {
	private, ok, err := k.private(t.OutputKey)
	if err != nil || !ok {
		return sig, false, err
	}
	defer private.Zero()
	var aux [32]byte
	if _, err := rand.Read(aux[:]); err != nil {
		return sig, false, fmt.Errorf("reading random bytes: %w", err)
	}
	signature, err := schnorr.Sign(private, t.Message[:], schnorr.CustomNonce(aux))
	if err != nil {
		return sig, false, err
	}
	return [64]byte(signature.Serialize()), true, nil
}

// private is the private key of an output key of the wallet.
func (k *keySigner) private(output [32]byte) (*btcec.PrivateKey, bool, error) {
	id, ok := k.w.keys.find(consensus.TaprootScript(output))
	if !ok {
		return nil, false, nil
	}
	private, err := k.keys.outputPrivateKey(id)
	if errors.Is(err, descriptor.ErrNoPrivate) {
		return nil, false, nil // it is only watched
	}
	return private, err == nil, err
}

// SignTx signs inputs of a transaction that the wallet has keys for: those for
// which it gives true. spent is what the inputs spend.
func (w *Wallet) SignTx(s *Secret, tx *consensus.Tx, spent []consensus.TxOut, kind consensus.SigHashType) (signed []bool, err error) {
	signed = make([]bool, len(tx.In))
	hasher, by := consensus.NewSigHasher(tx, spent), &keySigner{w, w.newSigner(s)}
	for i := range tx.In {
		key, ok := consensus.TaprootKey(spent[i].Script)
		if !ok {
			continue
		}
		hash, ok := hasher.SigHash(i, kind, nil)
		if !ok {
			return nil, fmt.Errorf("input %d: %w", i, consensus.ErrSigHashType)
		}
		sig, ok, err := by.Sign(&psbt.Task{Input: i, OutputKey: key, Message: hash})
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		witness := sig[:]
		if kind != consensus.SigHashDefault {
			witness = append(witness, byte(kind))
		}
		tx.In[i].Witness, signed[i] = [][]byte{witness}, true
	}
	return signed, nil
}

// ChangeAt is the place of the change in a draft, or -1 if there is none.
func (d *Draft) ChangeAt() int {
	if d.Change == 0 {
		return -1
	}
	return d.changeAt
}

// Arrange puts the outputs of a draft into an order: outs are all but the change,
// payees those that pay the draft's payees, by number. The change goes to a place
// among them, or where it is if that is negative, and to another key if that is not
// nil.
func (d *Draft) Arrange(outs []consensus.TxOut, payees []int, changeAt int, changeTo *[32]byte) {
	list := slices.Clone(outs)
	for i, at := range payees {
		list[at].Value = d.Payees[i].Amount
	}
	d.outputs = slices.Clone(payees)
	if d.Change > 0 {
		change := d.Tx.Out[d.changeAt]
		if changeTo != nil {
			change.Script, d.elsewhere = consensus.TaprootScript(*changeTo), true
		}
		if changeAt >= 0 {
			d.changeAt = min(changeAt, len(list))
		}
		list = slices.Insert(list, d.changeAt, change)
		for i := range d.outputs {
			if d.outputs[i] >= d.changeAt {
				d.outputs[i]++
			}
		}
	}
	d.Tx.Out = list
}

// CheckSecret fails unless a secret is that of the wallet's keys.
func (w *Wallet) CheckSecret(h *Held) error {
	return h.Use(func(s *Secret) error {
		for i, of := range w.sourced {
			if of.Account == nil {
				continue
			}
			_, err := w.newSigner(s).descriptor(KeyID{uint32(i), KeyPath{}})
			return err
		}
		return nil
	})
}
