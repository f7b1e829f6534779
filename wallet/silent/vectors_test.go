package silent

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	//lint:ignore SA1019 HASH160 is made of it
	"golang.org/x/crypto/ripemd160"

	"lode/consensus"
)

// vector is one of BIP352's. See testdata/README.md.
type vector struct {
	Comment string
	Sending []struct {
		Given struct {
			Vin        []vectorInput
			Recipients []struct {
				Address string
				Scan    consensus.HexBytes `json:"scan_pub_key"`
				Spend   consensus.HexBytes `json:"spend_pub_key"`
				Count   int
			}
		}
		Expected struct {
			Outputs [][]consensus.HexBytes
			Keys    []consensus.HexBytes `json:"input_pub_keys"`
		}
	}
	Receiving []struct {
		Given struct {
			Vin     []vectorInput
			Outputs []consensus.HexBytes
			Keys    struct {
				Scan  consensus.HexBytes `json:"scan_priv_key"`
				Spend consensus.HexBytes `json:"spend_priv_key"`
			} `json:"key_material"`
			Labels []uint32
		}
		Expected struct {
			Addresses []string
			Outputs   []struct {
				Tweak     consensus.HexBytes `json:"priv_key_tweak"`
				Key       consensus.HexBytes `json:"pub_key"`
				Signature consensus.HexBytes
			}
			NumOutputs *int `json:"n_outputs"`
			Tweak      consensus.HexBytes
		}
	}
}

type vectorInput struct {
	TxID      consensus.Hash
	Vout      uint32
	ScriptSig consensus.HexBytes
	Witness   consensus.HexBytes `json:"txinwitness"`
	Prevout   struct {
		ScriptPubKey struct{ Hex consensus.HexBytes }
	}
	Private consensus.HexBytes `json:"private_key"`
}

func vectors(t *testing.T) (list []vector) {
	t.Helper()
	f, err := os.Open("testdata/send_and_receive_test_vectors.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err == nil {
		err = json.Unmarshal(raw, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 28 {
		t.Fatalf("%d vectors, want all", len(list))
	}
	return list
}

func hash160(b []byte) []byte {
	first := sha256.Sum256(b)
	h := ripemd160.New()
	h.Write(first[:])
	return h.Sum(nil)
}

// witness decodes the items of an input's witness.
func (in *vectorInput) witness() (items [][]byte) {
	if len(in.Witness) == 0 {
		return nil
	}
	d := consensus.NewDecoder(in.Witness)
	for n := d.CompactSize(); n > 0 && d.Err() == nil; n-- {
		items = append(items, d.VarBytes())
	}
	return items
}

// nums is the point H of BIP341, to which nobody has the key.
const nums = "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"

// key finds the public key of an input that takes part, as BIP352 says. The ledger holds
// Taproot inputs alone: this is here so that no vector need be left out.
func (in *vectorInput) key() (key PublicKey, taproot, ok bool) {
	script, items := in.Prevout.ScriptPubKey.Hex, in.witness()
	last := func() (PublicKey, bool, bool) {
		if n := len(items); n > 0 && len(items[n-1]) == 33 {
			key = PublicKey(items[n-1])
			_, err := key.point()
			return key, false, err == nil
		}
		return key, false, false
	}
	switch {
	case len(script) == 34 && script[0] == 0x51:
		if n := len(items); n > 1 && items[n-1][0] == 0x50 {
			items = items[:n-1] // the annex
		}
		if n := len(items); n > 1 && hex.EncodeToString(items[n-1][1:33]) == nums {
			return key, true, false
		}
		return EvenKey([32]byte(script[2:])), true, true
	case len(script) == 22 && script[0] == 0:
		return last()
	case len(script) == 23 && script[0] == 0xa9:
		if redeem := in.ScriptSig; len(redeem) == 23 && redeem[1] == 0 && redeem[2] == 20 {
			return last()
		}
	case len(script) == 25 && script[0] == 0x76:
		for i := len(in.ScriptSig); i >= 33; i-- {
			if b := in.ScriptSig[i-33 : i]; bytes.Equal(hash160(b), script[3:23]) {
				return PublicKey(b), false, true
			}
		}
	}
	return key, false, false
}

// inputsOf gives what Outputs and Tweak want.
func inputsOf(list []vectorInput) (inputs []consensus.OutPoint, secrets []InputKey, keys []PublicKey) {
	for i := range list {
		in := &list[i]
		inputs = append(inputs, consensus.OutPoint{TxID: in.TxID, Index: in.Vout})
		if key, taproot, ok := in.key(); ok {
			keys = append(keys, key)
			secret, _ := btcec.PrivKeyFromBytes(in.Private)
			secrets = append(secrets, InputKey{secret, taproot})
		}
	}
	return inputs, secrets, keys
}

// TestVectorsSending makes the outputs of all vectors of BIP352, those with other kinds of
// inputs too.
func TestVectorsSending(t *testing.T) {
	for _, v := range vectors(t) {
		for _, s := range v.Sending {
			inputs, secrets, keys := inputsOf(s.Given.Vin)
			var want []PublicKey
			for _, key := range s.Expected.Keys {
				want = append(want, PublicKey(key))
			}
			if !slices.Equal(keys, want) {
				t.Fatalf("%s: input keys %x, want %x", v.Comment, keys, want)
			}
			var to []Address
			for _, r := range s.Given.Recipients {
				a, err := ParseAddress("sp", r.Address)
				if err != nil || !bytes.Equal(a.Scan[:], r.Scan) || !bytes.Equal(a.Spend[:], r.Spend) {
					t.Fatalf("%s: %s is %x, %v", v.Comment, r.Address, a, err)
				}
				if a.Encode("sp") != r.Address {
					t.Fatalf("%s: %s is written as %s", v.Comment, r.Address, a.Encode("sp"))
				}
				for range max(1, r.Count) {
					to = append(to, a)
				}
			}
			got, err := Outputs(inputs, secrets, to)
			if len(s.Expected.Outputs[0]) == 0 {
				if err == nil {
					t.Fatalf("%s: it was paid", v.Comment)
				}
				continue
			}
			if err != nil || !slices.ContainsFunc(s.Expected.Outputs, func(set []consensus.HexBytes) bool { return sameSet(got, set) }) {
				t.Fatalf("%s: outputs %x, %v", v.Comment, got, err)
			}
		}
	}
}

// sameSet compares keys, in any order.
func sameSet(got [][32]byte, want []consensus.HexBytes) bool {
	left := slices.Clone(got)
	for _, key := range want {
		i := slices.Index(left, [32]byte(key))
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return len(left) == 0
}

// TestVectorsReceiving finds the outputs of all vectors of BIP352, and signs with their keys.
func TestVectorsReceiving(t *testing.T) {
	message, aux := sha256.Sum256([]byte("message")), sha256.Sum256([]byte("random auxiliary data"))
	for _, v := range vectors(t) {
		for _, r := range v.Receiving {
			spend, spendPub := btcec.PrivKeyFromBytes(r.Given.Keys.Spend)
			receiver, err := NewReceiver([32]byte(r.Given.Keys.Scan), PublicKey(spendPub.SerializeCompressed()))
			if err != nil {
				t.Fatal(err)
			}
			addresses := []string{receiver.Address().Encode("sp")}
			for _, m := range r.Given.Labels {
				a, err := receiver.Labelled(m)
				if err != nil {
					t.Fatal(err)
				}
				addresses = append(addresses, a.Encode("sp"))
			}
			if !slices.Equal(addresses, r.Expected.Addresses) {
				t.Fatalf("%s: addresses %s", v.Comment, addresses)
			}
			inputs, _, keys := inputsOf(r.Given.Vin)
			tweak, err := Tweak(inputs, keys)
			if len(r.Expected.Tweak) == 0 {
				if !errors.Is(err, ErrNoSecret) {
					t.Fatalf("%s: a tweak of %x, %v", v.Comment, tweak, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(tweak[:], r.Expected.Tweak) {
				t.Fatalf("%s: a tweak of %x, %v", v.Comment, tweak, err)
			}
			var outputs [][32]byte
			for _, key := range r.Given.Outputs {
				outputs = append(outputs, [32]byte(key))
			}
			many := manyLabels(100) // so that labels are looked for in both ways
			if r.Expected.NumOutputs != nil {
				many = nil // thousands of outputs, which would take long
			}
			for _, more := range [][]uint32{nil, many} {
				found := scan(t, receiver, append(slices.Clone(r.Given.Labels), more...), tweak, outputs)
				if n := r.Expected.NumOutputs; n != nil && len(found) != *n || n == nil && len(found) != len(r.Expected.Outputs) {
					t.Fatalf("%s: %d outputs, want %d", v.Comment, len(found), len(r.Expected.Outputs))
				}
				for _, want := range r.Expected.Outputs {
					f, ok := found[[32]byte(want.Key)]
					if !ok || !bytes.Equal(f.Tweak[:], want.Tweak) {
						t.Fatalf("%s: output %x: tweak %x", v.Comment, want.Key, f.Tweak)
					}
					key, err := SpendKey(spend, f.Tweak)
					if err != nil {
						t.Fatal(err)
					}
					signature, err := schnorr.Sign(key, message[:], schnorr.CustomNonce(aux))
					if err != nil || !bytes.Equal(signature.Serialize(), want.Signature) {
						t.Fatalf("%s: another signature, %v", v.Comment, err)
					}
				}
			}
		}
	}
}

func manyLabels(n uint32) (labels []uint32) {
	for m := range n {
		labels = append(labels, m+5_000)
	}
	return labels
}

func scan(t *testing.T, r *Receiver, labels []uint32, tweak PublicKey, outputs [][32]byte) map[[32]byte]Found {
	t.Helper()
	s, err := r.NewScanner(labels)
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Scan(tweak, outputs)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[[32]byte]Found)
	for _, f := range list {
		found[f.Key] = f
	}
	return found
}
