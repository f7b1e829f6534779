package psbt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// vector is a test vector of BIP174, 370, 371, 373 or 375. Of BIP375's invalid
// ones those are "valid" here that are a PSBT, and wrong in what they say.
type vector struct {
	BIP        int
	Kind, Case string
	PSBT       string
}

func (v *vector) String() string { return fmt.Sprintf("BIP%d %s: %s", v.BIP, v.Kind, v.Case) }

func vectors(t testing.TB) (list []vector) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil || len(list) < 130 {
		t.Fatal(len(list), err)
	}
	return list
}

// role is the PSBT of BIP174's story with this name.
func role(t testing.TB, name string) *Packet {
	p, err := Decode(roleText(t, name))
	if err != nil {
		t.Fatal(name, err)
	}
	return p
}

func roleText(t testing.TB, name string) string {
	for _, v := range vectors(t) {
		if v.Kind == "role" && v.Case == name {
			return v.PSBT
		}
	}
	t.Fatalf("no vector %q", name)
	return ""
}

func TestVectorsOfTheBIPs(t *testing.T) {
	for _, v := range vectors(t) {
		p, err := Decode(v.PSBT)
		if v.Kind == "invalid" {
			if !errors.Is(err, ErrFormat) || p != nil {
				t.Errorf("%v: got %v, want a refusal", &v, err)
			}
			continue
		}
		if v.Case == "extracted" {
			continue // not a PSBT
		}
		if err != nil {
			t.Errorf("%v: %v", &v, err)
			continue
		}
		if p.String() != v.PSBT {
			t.Errorf("%v: written back it is another", &v)
		}
		if p.Clone().String() != v.PSBT {
			t.Errorf("%v: its clone is another", &v)
		}
		want, found := strings.CutPrefix(v.Kind, "locktime ")
		if !found {
			continue
		}
		tx, err := p.Tx()
		switch {
		case want == "none" && !errors.Is(err, ErrLockTime):
			t.Errorf("%v: got %v, want no lock time", &v, err)
		case want != "none" && (err != nil || fmt.Sprint(tx.LockTime) != want):
			t.Errorf("%v: got %v, %v", &v, tx, err)
		}
	}
}

// readAll asks for everything that a packet can be asked for.
func readAll(p *Packet) {
	_, _ = p.Tx()
	_, _ = p.ID()
	p.XPubs()
	p.Modifiable()
	p.HasSilent()
	for i := range p.Inputs {
		in := &p.Inputs[i]
		p.PrevOut(i)
		in.NonWitnessUTXO()
		in.WitnessUTXO()
		in.SigHash()
		in.TapDerivations()
		in.Derivations()
		in.FinalWitness()
		in.MuSigGroups()
		in.MuSigNonces()
		in.MuSigPartialSigs()
	}
	for i := range p.Outputs {
		out := &p.Outputs[i]
		out.TapDerivations()
		out.Derivations()
		out.TapTree()
		out.MuSigGroups()
		out.SilentInfo()
	}
}

// What strangers send is read and written back byte for byte, or refused.
func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		if p, err := Decode(v.PSBT); err == nil {
			f.Add(p.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if string(p.Bytes()) != string(b) {
			t.Fatalf("written back:\n%x\nread:\n%x", p.Bytes(), b)
		}
		readAll(p)
	})
}

func TestPacketOfATransaction(t *testing.T) {
	want := role(t, "created")
	p, err := New(0, want.tx)
	if err != nil || p.String() != want.String() {
		t.Fatal(p, err)
	}
	if _, err := New(1, want.tx); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}
