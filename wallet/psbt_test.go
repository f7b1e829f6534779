package wallet

import (
	"errors"
	"path/filepath"
	"testing"

	"lode/consensus"
	"lode/wallet/psbt"
	psbtkeys "lode/wallet/psbt/signer"
)

// psbtWallet is a wallet with one coin of 50.
func psbtWallet(t *testing.T) (*Wallet, *simNode) {
	t.Helper()
	n, w := newSimNode(t), newTestWallet(t, words(t))
	n.mine(w.testKey(t, KeyPath{ReceiveChain, 0}))
	n.mineMany(101, [32]byte{1})
	w.testSync(t, n)
	return w, n
}

// A machine with nothing but the secret signs what one without it has made.
func TestPSBTIsSignedByTheSecretAlone(t *testing.T) {
	for _, version := range []uint32{0, 2} {
		w, n := psbtWallet(t)
		d, err := w.Draft(Payment{Payees: []Payee{{To: [32]byte{7}, Amount: 10 * consensus.SatPerCoin}}, Rate: DefaultFeeRate})
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.PSBT(d, version)
		if err != nil {
			t.Fatal(err)
		}
		origin := p.Inputs[0].TapDerivations()[0].Origin
		if origin.PathString() != "m/86h/1h/0h/0/0" || origin.Fingerprint != w.account.Fingerprint {
			t.Errorf("the key of the input comes from %s", origin.PathString())
		}
		if _, ok := p.Inputs[0].TapInternalKey(); !ok {
			t.Error("no internal key")
		}
		change := consensus.TaprootScript(w.testKey(t, KeyPath{ChangeChain, 0}))
		p, err = psbt.Decode(p.String())
		if err != nil {
			t.Fatal(err)
		}

		s := w.testSecret(t)
		ring, err := s.PSBTRing(w.spec, p)
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := ring.Origin(change); !ok || o.PathString() != "m/86h/1h/0h/1/0" || ring.Has(consensus.TaprootScript([32]byte{7})) {
			t.Error("the change is not told from the payment")
		}
		if n, err := p.Sign(ring, psbt.SignOptions{}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if err := p.Finalize(); err != nil {
			t.Fatal(err)
		}
		tx, err := p.Extract(nil)
		if err != nil {
			t.Fatal(err)
		}
		draft, own, err := w.DraftOf(tx)
		if !own || err != nil {
			t.Fatal("it spends a coin of the wallet", err)
		}
		if err := w.Commit(draft, tx); err != nil {
			t.Fatal(err)
		}
		if _, own, err := w.DraftOf(tx); own || err != nil {
			t.Error("a payment that is known is to be sent again, and no more", err)
		}
		rival := tx.Clone()
		rival.LockTime++
		if _, _, err := w.DraftOf(rival); !errors.Is(err, ErrChanged) {
			t.Errorf("a rival of a payment: %v", err)
		}
		if err := n.Send(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		n.mine([32]byte{1}, tx)
		w.testSync(t, n)
		if b := w.Balance(); b.Confirmed != 40*consensus.SatPerCoin-d.Fee {
			t.Errorf("%s remain", b.Confirmed)
		}
	}
}

func TestPSBTThatIsNotBelieved(t *testing.T) {
	w, _ := psbtWallet(t)
	d, err := w.Draft(Payment{Payees: []Payee{{To: [32]byte{7}, Amount: consensus.SatPerCoin}}, Rate: DefaultFeeRate})
	if err != nil {
		t.Fatal(err)
	}
	good, err := w.PSBT(d, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := w.testSecret(t)

	// An amount that the wallet knows better.
	p := good.Clone()
	out, _ := p.Inputs[0].WitnessUTXO()
	out.Value += 1000
	p.Inputs[0].SetWitnessUTXO(out)
	if err := w.UpdatePSBT(p, new(psbtkeys.Ring)); !errors.Is(err, psbt.ErrAmount) {
		t.Error(err)
	}
	// Who does not know it gives a signature that is worth nothing.
	ring, err := s.PSBTRing(w.spec, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sign(ring, psbt.SignOptions{}); err != nil {
		t.Fatal(err)
	}
	out.Value -= 1000
	p.Inputs[0].SetWitnessUTXO(out)
	if err := p.Finalize(); !errors.Is(err, psbt.ErrSignature) {
		t.Error(err)
	}

	// Somebody else's output with an origin of this wallet is not its change.
	p = good.Clone()
	tx, _ := p.Tx()
	for i := range tx.Out {
		p.Outputs[i].SetTapDerivation(psbt.TapDerivation{Key: [32]byte{9}, Origin: psbt.KeyOrigin{Fingerprint: w.account.Fingerprint,
			Path: []uint32{86 | psbt.Hardened, 1 | psbt.Hardened, psbt.Hardened, 1, 7}}})
	}
	if ring, err = s.PSBTRing(w.spec, p); err != nil || ring.Has(consensus.TaprootScript([32]byte{7})) {
		t.Error("an origin was believed", err)
	}
	// Neither does one that nobody can derive do harm.
	for _, path := range [][]uint32{nil, {1}, {86 | psbt.Hardened, 1 | psbt.Hardened, 1<<31 - 1 | psbt.Hardened, 1, 7}, {86 | psbt.Hardened, 1 | psbt.Hardened, psbt.Hardened, 2, 7}} {
		p.Inputs[0].SetTapDerivation(psbt.TapDerivation{Key: [32]byte{byte(len(path))}, Origin: psbt.KeyOrigin{Fingerprint: w.account.Fingerprint, Path: path}})
	}
	if _, err := s.PSBTRing(w.spec, p); err != nil {
		t.Error(err)
	}

	// Other networks.
	p.Inputs[0].SetTapDerivation(psbt.TapDerivation{Key: [32]byte{9}, Origin: psbt.KeyOrigin{Path: []uint32{86 | psbt.Hardened, psbt.Hardened, psbt.Hardened, 0, 0}}})
	if _, err := s.PSBTRing(w.spec, p); !errors.Is(err, ErrPSBTNetwork) {
		t.Error(err)
	}
	p = good.Clone()
	p.SetXPub(psbt.XPub{Key: append([]byte{0x04, 0x88, 0xb2, 0x1e}, make([]byte, 74)...)})
	if _, err := s.PSBTRing(w.spec, p); !errors.Is(err, ErrPSBTNetwork) {
		t.Error(err)
	}
	segwit := tx.Clone()
	segwit.Out[0].Script = append([]byte{0, 20}, make([]byte, 20)...)
	if p, err = psbt.New(0, segwit); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PSBTRing(w.spec, p); !errors.Is(err, ErrPSBTNetwork) {
		t.Error(err)
	}
	if err := WritePSBT(filepath.Join(t.TempDir(), "no", "such"), good); err == nil {
		t.Error("written to nowhere")
	}
}

// A PSBT that says nothing of keys is signed by a wallet that knows what it spends.
func TestPSBTWithoutOrigins(t *testing.T) {
	w, _ := psbtWallet(t)
	d, err := w.Draft(Payment{Payees: []Payee{{To: [32]byte{7}, Amount: consensus.SatPerCoin}}, Rate: DefaultFeeRate})
	if err != nil {
		t.Fatal(err)
	}
	p, err := psbt.New(0, d.Tx)
	if err != nil {
		t.Fatal(err)
	}
	ring := new(psbtkeys.Ring)
	if err := w.UpdatePSBT(p, ring); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Sign(ring, psbt.SignOptions{}); n != 0 || err != nil {
		t.Error("signed without private keys", n, err)
	}
	if err := w.AddPrivate(ring, p, w.testSecret(t)); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Sign(ring, psbt.SignOptions{}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := p.Finalize(); err != nil {
		t.Error(err)
	}
}
