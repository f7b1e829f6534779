package psbt

import (
	"bytes"
	"errors"
	"fmt"

	"lode/consensus"
)

// Kinds of errors of signers and finalizers.
var (
	ErrCoin      = errors.New("what the input spends is not known")
	ErrAmount    = errors.New("amounts contradict each other")
	ErrScript    = errors.New("it spends an output that is not Taproot's, which Lode does not sign")
	ErrSigHash   = errors.New("the type of signatures is not the one that the PSBT wants")
	ErrSignature = errors.New("the signature is not valid")
)

// Hasher gives the messages that signatures of a packet sign. It is of the packet
// as it was when it was asked for.
type Hasher struct {
	Tx     *consensus.Tx
	spent  []consensus.TxOut
	known  []bool
	all    bool // every known
	silent bool // an output is a silent payment
	hasher *consensus.SigHasher
}

// UTXO gives the output that input i spends. It is false if the PSBT does not
// tell. Errors are of kind ErrAmount: the PSBT tells two things.
func (p *Packet) UTXO(i int) (out consensus.TxOut, ok bool, err error) {
	in := &p.Inputs[i]
	said, ok := in.WitnessUTXO()
	tx, whole := in.NonWitnessUTXO()
	if !whole {
		return said, ok, nil
	}
	prev := p.PrevOut(i)
	if prev.Index >= uint32(len(tx.Out)) || tx.TxID() != prev.TxID {
		return out, false, fmt.Errorf("input %d: %w: the transaction in it is not the one that it spends", i, ErrAmount)
	}
	out = tx.Out[prev.Index]
	if ok && (said.Value != out.Value || !bytes.Equal(said.Script, out.Script)) {
		return out, false, fmt.Errorf("input %d: %w: its witness UTXO says %s, the transaction that it spends says %s for script %x",
			i, ErrAmount, said.Value, out.Value, out.Script)
	}
	return out, true, nil
}

// Hasher prepares the messages of all inputs. Errors are those of Tx and UTXO.
// What an input spends may be missing: then only some messages can be had.
func (p *Packet) Hasher() (*Hasher, error) {
	tx, err := p.Tx()
	if err != nil {
		return nil, err
	}
	h := &Hasher{Tx: tx, spent: make([]consensus.TxOut, len(p.Inputs)), known: make([]bool, len(p.Inputs)), all: true, silent: p.HasSilent()}
	for i := range p.Inputs {
		if h.spent[i], h.known[i], err = p.UTXO(i); err != nil {
			return nil, err
		}
		h.all = h.all && h.known[i]
	}
	h.hasher = consensus.NewSigHasher(tx, h.spent)
	return h, nil
}

// Spent gives what input i spends, if it is known.
func (h *Hasher) Spent(i int) (consensus.TxOut, bool) { return h.spent[i], h.known[i] }

// Key is the output key that input i spends. Errors are of kind ErrCoin and
// ErrScript.
func (h *Hasher) Key(i int) (key [32]byte, err error) {
	if !h.known[i] {
		return key, fmt.Errorf("input %d: %w", i, ErrCoin)
	}
	key, ok := consensus.TaprootKey(h.spent[i].Script)
	if !ok {
		return key, fmt.Errorf("input %d: %w", i, ErrScript)
	}
	return key, nil
}

// Message is what the key-path signature of input i signs (BIP341). Errors are of
// the kinds ErrCoin and ErrSigHash.
func (h *Hasher) Message(i int, t consensus.SigHashType) (consensus.Hash, error) {
	if alone := t&consensus.SigHashAnyoneCanPay != 0; !h.known[i] || !alone && !h.all {
		return consensus.Hash{}, fmt.Errorf("input %d: %w, and signatures commit to it", i, ErrCoin)
	}
	message, ok := h.hasher.SigHash(i, t, nil)
	if !ok {
		return message, fmt.Errorf("input %d: signature of type %#02x: %w", i, byte(t), consensus.ErrSigHashType)
	}
	return message, nil
}

// Fee is what remains for the miner. Errors are of kind ErrCoin and ErrAmount.
func (h *Hasher) Fee() (fee consensus.Amount, err error) {
	const most = consensus.Amount(1) << 53 // more than any network's coins
	for i := range h.spent {
		if !h.known[i] {
			return 0, fmt.Errorf("input %d: %w", i, ErrCoin)
		}
		if v := h.spent[i].Value; v < 0 || v > most || fee+v > most {
			return 0, fmt.Errorf("input %d: %w: it spends %s", i, ErrAmount, v)
		}
		fee += h.spent[i].Value
	}
	for i := range h.Tx.Out {
		v := h.Tx.Out[i].Value
		if v < 0 || v > fee {
			return 0, fmt.Errorf("output %d: %w: it pays %s, of which no more than %s is left", i, ErrAmount, v, fee)
		}
		fee -= v
	}
	return fee, nil
}

// sigHashOf reads the type at the end of a signature.
func sigHashOf(sig []byte) (t consensus.SigHashType, ok bool) {
	switch len(sig) {
	case 64:
		return consensus.SigHashDefault, true
	case 65:
		t = consensus.SigHashType(sig[64])
		return t, t != consensus.SigHashDefault
	}
	return 0, false
}

// Verify checks a key-path signature of input i, of 64 or 65 bytes.
func (h *Hasher) Verify(i int, sig []byte) error {
	key, err := h.Key(i)
	if err != nil {
		return err
	}
	t, ok := sigHashOf(sig)
	if !ok {
		return fmt.Errorf("input %d: %w: it has no usable type", i, ErrSignature)
	}
	message, err := h.Message(i, t)
	if err != nil {
		return err
	}
	s := consensus.Signature{Key: key, Message: message, Sig: [64]byte(sig)}
	if !s.Verify() {
		return fmt.Errorf("input %d: %w", i, ErrSignature)
	}
	return nil
}
