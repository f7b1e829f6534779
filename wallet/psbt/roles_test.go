package psbt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"pgregory.net/rapid"

	"lode/consensus"
)

// keys signs with the private keys of output keys.
type keys map[[32]byte]*btcec.PrivateKey

func (k keys) Sign(t *Task) (sig [64]byte, ok bool, err error) {
	key, ok := k[t.OutputKey]
	if !ok {
		return sig, false, nil
	}
	s, err := schnorr.Sign(key, t.Message[:])
	if err != nil {
		return sig, false, err
	}
	return [64]byte(s.Serialize()), true, nil
}

// key n and its x-only public key.
func key(n byte) (*btcec.PrivateKey, [32]byte) {
	private, public := btcec.PrivKeyFromBytes([]byte{31: n})
	return private, [32]byte(schnorr.SerializePubKey(public))
}

// only is a signer with these keys.
func only(list ...byte) keys {
	k := make(keys)
	for _, n := range list {
		private, public := key(n)
		k[public] = private
	}
	return k
}

// payment spends a coin of 1,000 sat of each key, to two outputs.
func payment(version uint32, list ...byte) *Packet {
	tx := &consensus.Tx{Version: 2, LockTime: 7}
	for _, n := range list {
		tx.In = append(tx.In, consensus.TxIn{PrevOut: consensus.OutPoint{TxID: consensus.Hash{n}, Index: uint32(n)}, Sequence: 0xfffffffd})
	}
	_, to := key(200)
	tx.Out = []consensus.TxOut{{Value: 600, Script: consensus.TaprootScript(to)}, {Value: 300, Script: consensus.TaprootScript(to)}}
	p, err := New(version, tx)
	if err != nil {
		panic(err)
	}
	for i, n := range list {
		_, public := key(n)
		p.Inputs[i].SetWitnessUTXO(consensus.TxOut{Value: 1000, Script: consensus.TaprootScript(public)})
	}
	return p
}

// again parses what was written.
func again(t interface{ Fatal(...any) }, p *Packet) *Packet {
	q, err := Parse(p.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSignersOneAfterAnother(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		p := payment(version, 1, 2, 3)
		if n, err := p.Sign(only(1, 3), SignOptions{}); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		p = again(t, p)
		if err := p.Clone().Finalize(); !errors.Is(err, ErrIncomplete) {
			t.Error(err)
		}
		if n, err := p.Sign(only(1, 2), SignOptions{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := p.Extract(nil); !errors.Is(err, ErrIncomplete) {
			t.Error(err)
		}
		if err := p.Finalize(); err != nil {
			t.Fatal(err)
		}
		if p = again(t, p); p.Inputs[0].Has(InTapKeySig) || !p.Inputs[0].Has(InWitnessUTXO) {
			t.Error("a final input keeps what it spends and no partial signature")
		}
		tx, err := p.Extract(nil)
		if err != nil {
			t.Fatal(err)
		}
		unsigned, _ := p.Tx()
		if tx.TxID() != unsigned.TxID() || len(tx.In[1].Witness) != 1 {
			t.Error("another transaction")
		}
		// One changed bit in a witness, an output or an amount is found.
		bad := p.Clone()
		w, _ := bad.Inputs[1].FinalWitness()
		w[0] = slices.Clone(w[0])
		w[0][3] ^= 1
		bad.Inputs[1].Set(InFinalWitness, nil, encodeWitness(w))
		if _, err := bad.Extract(nil); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
		bad = p.Clone()
		out, _ := bad.Inputs[2].WitnessUTXO()
		out.Value++
		bad.Inputs[2].SetWitnessUTXO(out)
		if _, err := bad.Extract(nil); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
		if err := bad.Finalize(); !errors.Is(err, ErrSignature) {
			t.Error(err)
		}
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	_, two := key(2)
	prev := &consensus.Tx{Version: 2, In: []consensus.TxIn{{}}, Out: []consensus.TxOut{{Value: 999, Script: consensus.TaprootScript(two)}}}
	all, none := consensus.SigHashAll, consensus.SigHashNone
	for name, c := range map[string]struct {
		break_ func(p *Packet)
		o      SignOptions
		want   error
	}{
		"a coin that is not known": {func(p *Packet) { p.Inputs[1].Delete(InWitnessUTXO) }, SignOptions{}, ErrCoin},
		"another script":           {func(p *Packet) { p.Inputs[1].SetWitnessUTXO(consensus.TxOut{Value: 1000, Script: []byte{0, 20}}) }, SignOptions{}, ErrScript},
		"a witness UTXO against the transaction": {func(p *Packet) {
			p.Inputs[1].SetNonWitnessUTXO(prev)
			p.tx = p.tx.Clone()
			p.tx.In[1].PrevOut = consensus.OutPoint{TxID: prev.TxID()}
		}, SignOptions{}, ErrAmount},
		"a transaction that is not spent": {func(p *Packet) { p.Inputs[1].SetNonWitnessUTXO(prev) }, SignOptions{}, ErrAmount},
		"more than comes in": {func(p *Packet) {
			p.Inputs[1].SetWitnessUTXO(consensus.TxOut{Value: -200, Script: consensus.TaprootScript(two)})
		}, SignOptions{}, ErrAmount},
		"a type that was not asked for": {func(p *Packet) { p.Inputs[1].SetSigHash(consensus.SigHashNone) }, SignOptions{}, ErrSigHash},
		"another type than asked for":   {func(p *Packet) { p.Inputs[1].SetSigHash(consensus.SigHashAll) }, SignOptions{SigHash: &none}, ErrSigHash},
		"a signature of another type":   {func(p *Packet) { p.Inputs[1].SetTapKeySig(make([]byte, 64)) }, SignOptions{SigHash: &all}, ErrSigHash},
	} {
		p := payment(0, 1, 2)
		c.break_(p)
		before := p.String()
		if n, err := p.Sign(only(1, 2), c.o); n != 0 || !errors.Is(err, c.want) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		if p.String() != before {
			t.Errorf("%s: something was signed", name)
		}
	}
	p := payment(2, 1)
	p.Outputs[0].Set(OutSilentInfo, nil, make([]byte, 66))
	if _, err := p.Sign(only(1), SignOptions{}); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
	if _, err := p.Convert(0); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
	if n, err := p.Sign(only(1), SignOptions{Silent: func(*Packet) error { return nil }}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if sig, _ := p.Inputs[0].TapKeySig(); len(sig) != 65 || sig[64] != byte(all) {
		t.Errorf("a silent payment wants type ALL (BIP375), got %x", sig)
	}
}

// All types of signatures, and what others may still change beside them (BIP370).
func TestSigHashTypes(t *testing.T) {
	for _, c := range []struct {
		t     consensus.SigHashType
		flags byte
	}{{0, 0}, {1, 0}, {2, 2}, {3, 4}, {0x81, 1}, {0x82, 3}, {0x83, 5}} {
		p := payment(2, 1, 2)
		p.Global.Set(GlobalTxModifiable, nil, []byte{3})
		if n, err := p.Sign(only(1, 2), SignOptions{SigHash: &c.t}); n != 2 || err != nil {
			t.Fatal(c.t, n, err)
		}
		if p.Modifiable() != c.flags {
			t.Errorf("type %#x leaves flags %d, want %d", c.t, p.Modifiable(), c.flags)
		}
		if err := p.Finalize(); err != nil {
			t.Error(err)
		}
		if _, err := p.Extract(nil); err != nil {
			t.Error(err)
		}
	}
	p := payment(0, 1, 2)
	p.Inputs[0].SetSigHash(consensus.SigHashAll) // needs no consent of its own
	if n, err := p.Sign(only(1, 2), SignOptions{}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	p.Inputs[0].SetSigHash(consensus.SigHashNone)
	if err := p.Finalize(); !errors.Is(err, ErrSigHash) {
		t.Error(err)
	}
	three := consensus.SigHashSingle
	p = payment(0, 1, 2, 3)
	if _, err := p.Sign(only(3), SignOptions{SigHash: &three}); !errors.Is(err, consensus.ErrSigHashType) {
		t.Errorf("SINGLE without its output: %v", err)
	}
}

// However the work is split among signers, and in whatever order their results
// come together, in either version, the transaction is the same.
func TestAnySplitGivesTheSameTransaction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(t, "inputs")
		var list []byte
		for i := range n {
			list = append(list, byte(i+1))
		}
		version := rapid.SampledFrom([]uint32{0, 2}).Draw(t, "version")
		p := payment(version, list...)
		whole := p.Clone()
		if _, err := whole.Sign(only(list...), SignOptions{}); err != nil {
			t.Fatal(err)
		}
		want := finish(t, whole)

		parts := rapid.IntRange(1, 3).Draw(t, "signers")
		split := make([]keys, parts)
		for i := range split {
			split[i] = make(keys)
		}
		for _, k := range list { // each key with one signer, some with more
			for _, s := range append([]int{rapid.IntRange(0, parts-1).Draw(t, "who")}, rapid.SliceOfN(rapid.IntRange(0, parts-1), 0, 2).Draw(t, "also")...) {
				private, public := key(k)
				split[s][public] = private
			}
		}
		var packets []*Packet
		for i, s := range split {
			q := again(t, p)
			if _, err := q.Sign(s, SignOptions{}); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 {
				_ = q.Finalize() // those that can be
			}
			if rapid.Bool().Draw(t, "converted") { // there and back
				other, err := q.Convert(2 - version)
				if err == nil {
					q, err = again(t, other).Convert(version)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			packets = append(packets, again(t, q))
		}
		packets = rapid.Permutation(packets).Draw(t, "order")
		all := packets[0]
		for _, q := range packets[1:] {
			var err error
			if all, err = Combine(all, q); err != nil {
				t.Fatal(err)
			}
		}
		if got := finish(t, again(t, all)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

// finish gives the transaction in hex.
func finish(t interface{ Fatal(...any) }, p *Packet) string {
	err := p.Finalize()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := p.Extract(nil)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(tx.Bytes())
}

// BIP174's story is of other scripts: Lode combines and extracts it, and signs
// none of it.
func TestStoryOfBIP174(t *testing.T) {
	combined, err := Combine(role(t, "signed by the first"), role(t, "signed by the second"))
	if err != nil || combined.String() != roleText(t, "combined") {
		t.Error("combined:", err)
	}
	unknown, err := Combine(role(t, "unknown one"), role(t, "unknown two"))
	if err != nil || unknown.String() != roleText(t, "unknown combined") {
		t.Error("combined unknown records:", err)
	}
	if _, err := Combine(role(t, "unknown one"), combined); !errors.Is(err, ErrDifferent) {
		t.Error(err)
	}
	tx, err := role(t, "finalized").Assemble()
	if err != nil || hex.EncodeToString(tx.Bytes()) != roleText(t, "extracted") {
		t.Error("extracted:", err)
	}
	if _, err := role(t, "finalized").Extract(nil); !errors.Is(err, ErrScript) {
		t.Error(err)
	}
	if err := combined.Finalize(); !errors.Is(err, ErrScript) {
		t.Error(err)
	}
	for _, v := range vectors(t) {
		p, err := Decode(v.PSBT)
		if err != nil || v.BIP != 174 || len(p.Inputs) == 0 {
			continue
		}
		before := p.String()
		if n, err := p.Sign(only(1), SignOptions{}); n != 0 || err == nil || p.String() != before {
			t.Errorf("%v: %d inputs signed, %v", &v, n, err)
		}
	}
}

// The vectors of BIP371 and BIP373 with signatures for the key path are final,
// and those with partial ones are not.
func TestFinalizeVectors(t *testing.T) {
	final := 0
	for _, v := range vectors(t) {
		p, err := Decode(v.PSBT)
		if err != nil || v.Kind != "valid" || v.BIP != 371 && v.BIP != 373 || !p.Inputs[0].Has(InTapKeySig) {
			continue
		}
		if err := p.Finalize(); err != nil {
			t.Errorf("%v: %v", &v, err)
		}
		final++
	}
	if final < 3 {
		t.Errorf("only %d vectors have a signature", final)
	}
}

func TestConvert(t *testing.T) {
	p := payment(0, 1, 2)
	p.Global.Set(0xfb, nil, le32(0)) // said, though it need not be
	p.Global.Set(0x77, []byte("x"), []byte("unknown"))
	p.Inputs[1].Set(Proprietary, []byte{1, 'a', 0}, []byte("own"))
	two, err := p.Convert(2)
	if err != nil {
		t.Fatal(err)
	}
	two = again(t, two)
	if a, _ := p.Tx(); true {
		if b, err := two.Tx(); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Error("another transaction", err)
		}
	}
	if _, ok := two.Inputs[1].Get(Proprietary, []byte{1, 'a', 0}); !ok || !two.Global.Has(0x77) {
		t.Error("records were lost")
	}
	zero, err := two.Convert(0)
	if err != nil {
		t.Fatal(err)
	}
	p.Global.Delete(0xfb)
	if zero = again(t, zero); zero.String() != p.String() {
		t.Errorf("there and back:\n%s\n%s", zero, p)
	}
	// Inputs that want different kinds of lock times have no transaction.
	two.Inputs[0].Set(InRequiredHeight, nil, le32(5))
	two.Inputs[1].Set(InRequiredTime, nil, le32(lockTimeThreshold))
	if _, err := two.Convert(0); !errors.Is(err, ErrLockTime) {
		t.Error(err)
	}
}

func TestJoin(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		a, b := payment(version, 1, 2), payment(version, 3)
		if _, err := a.Sign(only(1), SignOptions{}); err != nil {
			t.Fatal(err)
		}
		all, err := Join(rand.Shuffle, a, b)
		if err != nil {
			t.Fatal(err)
		}
		if all = again(t, all); len(all.Inputs) != 3 || len(all.Outputs) != 4 {
			t.Fatal(len(all.Inputs), len(all.Outputs))
		}
		if n, err := all.Sign(only(1, 2, 3), SignOptions{}); n != 3 || err != nil {
			t.Error("a signature for another transaction was kept:", n, err)
		}
		finish(t, all)
		if _, err := Join(rand.Shuffle, a, payment(version, 2)); !errors.As(err, new(*TwiceError)) {
			t.Error(err)
		}
		if _, err := Join(rand.Shuffle, a, payment(2-version, 3)); !errors.Is(err, ErrVersion) {
			t.Error(err)
		}
	}
	// A silent payment goes to another key when the inputs change.
	a := payment(2, 1)
	a.Outputs[0].Set(OutSilentInfo, nil, make([]byte, 66))
	all, err := Join(rand.Shuffle, a, payment(2, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again(t, all).Tx(); !errors.Is(err, ErrSilent) {
		t.Error(err)
	}
}

func TestAnalyze(t *testing.T) {
	const most = 21e14
	p := payment(0, 1, 2)
	p.Inputs[1].Delete(InWitnessUTXO)
	if a := p.Analyze(most); a.Next != Updater || a.HasFee || a.Inputs[0].Next != Signing || a.Inputs[1].HasUTXO {
		t.Errorf("%+v", a)
	}
	p = payment(0, 1, 2)
	if _, err := p.Sign(only(1), SignOptions{}); err != nil {
		t.Fatal(err)
	}
	a := p.Analyze(most)
	if a.Next != Signing || a.Inputs[0].Next != Finalizer || a.Fee != 1100 {
		t.Errorf("%+v", a)
	}
	if _, err := p.Sign(only(2), SignOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := p.Finalize(); err != nil {
		t.Fatal(err)
	}
	tx, _ := p.Extract(nil)
	if b := p.Analyze(most); b.Next != Extractor || !b.Inputs[1].Final || b.VSize != tx.VSize() || a.VSize != b.VSize {
		t.Errorf("%+v before, %+v, want %d vB", a, b, tx.VSize())
	}
	p.Inputs[0].SetWitnessUTXO(consensus.TxOut{Value: most + 1})
	if a := p.Analyze(most); a.Invalid != "PSBT is not valid. Input 0 has invalid value" {
		t.Errorf("%+v", a)
	}
	p.Inputs[0].SetWitnessUTXO(consensus.TxOut{Value: 1, Script: []byte{0x6a}})
	if a := p.Analyze(most); a.Invalid != "PSBT is not valid. Input 0 spends unspendable output" {
		t.Errorf("%+v", a)
	}
}

// What is parsed is bounded: a small PSBT takes little memory, and a large one is
// refused.
func TestBoundsOfParse(t *testing.T) {
	p := payment(0, 1)
	for i := range 1000 {
		p.Global.Set(0xf000, le32(uint32(i)), nil)
	}
	if _, err := Parse(p.Bytes()); err != nil {
		t.Error(err)
	}
	many := []byte(magic)
	many = append(many, p.Global[0].Key...)
	for i := range uint32(maxRecords + 1) {
		many = consensus.AppendVarBytes(many, append([]byte{0xf1}, le32(i)...))
		many = append(many, 0)
	}
	if _, err := Parse(many); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	whole := payment(2, 1, 2).Bytes()
	for n := range whole {
		if _, err := Parse(whole[:n]); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := Decode("cHNi dP8="); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := Decode("cHNi\ndP8="); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if p, err := Read([]byte(" " + payment(2, 1).String() + "\n")); err != nil || p.Version() != 2 {
		t.Error(err)
	}
	if p, err := Read(whole); err != nil || p.Version() != 2 {
		t.Error(err)
	}
}
