package consensus

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors of BIP340, from the file that comes with it.
func TestBIP340(t *testing.T) {
	f, err := os.Open("testdata/bip340-test-vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	verified := 0
	for _, row := range rows[1:] {
		message := unhex(t, row[4])
		if len(message) != len(Hash{}) {
			// Since 2022 BIP340 signs messages of any length, but what a
			// transaction signs is always a hash.
			continue
		}
		sig := Signature{[32]byte(unhex(t, row[2])), Hash(message), [64]byte(unhex(t, row[5]))}
		if got, want := sig.Verify(), row[6] == "TRUE"; got != want {
			t.Errorf("vector %s: verifies is %v, want %v (%s)", row[0], got, want, row[7])
		}
		verified++
	}
	if verified != 15 {
		t.Errorf("%d vectors with a message of 32 bytes, want 15", verified)
	}
}

// hexText is a byte string in hex in the vectors, or null.
type hexText []byte

func (h *hexText) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type scriptTree struct {
	leaf        bool
	script      hexText
	leafVersion byte
	branches    []scriptTree
}

func (s *scriptTree) UnmarshalJSON(doc []byte) error {
	if doc[0] == '[' {
		return json.Unmarshal(doc, &s.branches)
	}
	var leaf struct {
		Script      hexText
		LeafVersion byte
	}
	s.leaf = true
	err := json.Unmarshal(doc, &leaf)
	s.script, s.leafVersion = leaf.Script, leaf.LeafVersion
	return err
}

// root is the hash of a tree of scripts, with the hashes of its leaves in order
// and the path from each to the root (BIP341).
func (s *scriptTree) root() (root Hash, leaves []Hash, paths [][]byte) {
	if s.leaf {
		h := TaggedHash("TapLeaf", []byte{s.leafVersion}, AppendVarBytes(nil, s.script))
		return h, []Hash{h}, [][]byte{nil}
	}
	left, leftLeaves, leftPaths := s.branches[0].root()
	right, rightLeaves, rightPaths := s.branches[1].root()
	for i := range leftPaths {
		leftPaths[i] = append(leftPaths[i], right[:]...)
	}
	for i := range rightPaths {
		rightPaths[i] = append(rightPaths[i], left[:]...)
	}
	return tapBranch(left, right), append(leftLeaves, rightLeaves...), append(leftPaths, rightPaths...)
}

func (s *scriptTree) scripts() [][]byte {
	if s.leaf {
		return [][]byte{s.script}
	}
	return append(s.branches[0].scripts(), s.branches[1].scripts()...)
}

// walletVectors is bip341-wallet-test-vectors.json, from the files of BIP341.
type walletVectors struct {
	ScriptPubKey []struct {
		Given struct {
			InternalPubkey hexText
			ScriptTree     *scriptTree
		}
		Intermediary struct {
			LeafHashes    []hexText
			MerkleRoot    hexText
			TweakedPubkey hexText
		}
		Expected struct {
			ScriptPubKey            hexText
			Bip350Address           string
			ScriptPathControlBlocks []hexText
		}
	}
	KeyPathSpending []struct {
		Given struct {
			RawUnsignedTx hexText
			UtxosSpent    []struct {
				ScriptPubKey hexText
				AmountSats   Amount
			}
		}
		Intermediary struct {
			HashAmounts, HashOutputs, HashPrevouts, HashScriptPubkeys, HashSequences hexText
		}
		InputSpending []struct {
			Given struct {
				TxinIndex  int
				MerkleRoot hexText
				HashType   SigHashType
			}
			Intermediary struct {
				InternalPubkey, SigMsg, SigHash hexText
			}
			Expected struct{ Witness []hexText }
		}
		Auxiliary struct{ FullySignedTx hexText }
	}
}

func readWalletVectors(t *testing.T) (v walletVectors) {
	doc, err := os.ReadFile("testdata/bip341-wallet-test-vectors.json")
	if err == nil {
		err = json.Unmarshal(doc, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBIP341OutputKeys(t *testing.T) {
	vectors := readWalletVectors(t).ScriptPubKey
	for i, v := range vectors {
		var root []byte
		var leaves []Hash
		var paths, scripts [][]byte
		if tree := v.Given.ScriptTree; tree != nil {
			var h Hash
			h, leaves, paths = tree.root()
			root, scripts = h[:], tree.scripts()
		}
		if !bytes.Equal(root, v.Intermediary.MerkleRoot) {
			t.Errorf("%d: merkle root %x, want %x", i, root, v.Intermediary.MerkleRoot)
		}
		internal := [32]byte(v.Given.InternalPubkey)
		key, odd, err := TweakKey(internal, root)
		if err != nil || !bytes.Equal(key[:], v.Intermediary.TweakedPubkey) {
			t.Errorf("%d: output key %x (%v), want %x", i, key, err, v.Intermediary.TweakedPubkey)
		}
		if got := TaprootScript(key); !bytes.Equal(got, v.Expected.ScriptPubKey) {
			t.Errorf("%d: script %x, want %x", i, got, v.Expected.ScriptPubKey)
		}
		if got := Address("bc", key); got != v.Expected.Bip350Address {
			t.Errorf("%d: address %s, want %s", i, got, v.Expected.Bip350Address)
		}
		for n := range leaves {
			if !bytes.Equal(leaves[n][:], v.Intermediary.LeafHashes[n]) {
				t.Errorf("%d: leaf %d is %x, want %x", i, n, leaves[n], v.Intermediary.LeafHashes[n])
			}
			control := append([]byte{v.Expected.ScriptPathControlBlocks[n][0] &^ 1}, internal[:]...)
			if odd {
				control[0] |= 1
			}
			if control = append(control, paths[n]...); !bytes.Equal(control, v.Expected.ScriptPathControlBlocks[n]) {
				t.Errorf("%d: control block %d is %x, want %x", i, n, control, v.Expected.ScriptPathControlBlocks[n])
			}
			if got := scriptPathError(key, [][]byte{scripts[n], control}, nil); got != ErrScriptPath {
				t.Errorf("%d: script %d of the output: %v", i, n, got)
			}
		}
	}
	if len(vectors) != 7 {
		t.Errorf("%d vectors, want 7", len(vectors))
	}
}

func TestBIP341KeyPath(t *testing.T) {
	inputs := 0
	for _, v := range readWalletVectors(t).KeyPathSpending {
		tx, err := DecodeTx(v.Given.RawUnsignedTx)
		if err != nil {
			t.Fatal(err)
		}
		spent := make([]TxOut, len(v.Given.UtxosSpent))
		for i, u := range v.Given.UtxosSpent {
			spent[i] = TxOut{Value: u.AmountSats, Script: u.ScriptPubKey}
		}
		h := NewSigHasher(tx, spent)
		for _, part := range []struct {
			name string
			got  [32]byte
			want []byte
		}{
			{"hashAmounts", h.amounts, v.Intermediary.HashAmounts},
			{"hashOutputs", h.outputs, v.Intermediary.HashOutputs},
			{"hashPrevouts", h.prevouts, v.Intermediary.HashPrevouts},
			{"hashScriptPubkeys", h.scripts, v.Intermediary.HashScriptPubkeys},
			{"hashSequences", h.sequences, v.Intermediary.HashSequences},
		} {
			if !bytes.Equal(part.got[:], part.want) {
				t.Errorf("%s is %x, want %x", part.name, part.got, part.want)
			}
		}
		signed, err := DecodeTx(v.Auxiliary.FullySignedTx)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range v.InputSpending {
			inputs++
			i, hashType := in.Given.TxinIndex, in.Given.HashType
			message := h.appendMessage(nil, i, hashType, nil)
			if !bytes.Equal(message, in.Intermediary.SigMsg) {
				t.Errorf("input %d: message %x, want %x", i, message, in.Intermediary.SigMsg)
			}
			hash, ok := h.SigHash(i, hashType, nil)
			if !ok || !bytes.Equal(hash[:], in.Intermediary.SigHash) {
				t.Errorf("input %d: hash %x, want %x", i, hash[:], in.Intermediary.SigHash)
			}
			key, _, err := TweakKey([32]byte(in.Intermediary.InternalPubkey), in.Given.MerkleRoot)
			if err != nil || !bytes.Equal(TaprootScript(key), spent[i].Script) {
				t.Errorf("input %d: the output key is %x (%v)", i, key, err)
			}
			// The rules take the witness of the signed transaction as it is.
			check := SpendCheck{Tx: signed, Input: i, Key: key, hash: NewSigHasher(signed, spent)}
			sig, err := check.Signature()
			if err != nil || !sig.Verify() || !bytes.Equal(in.Expected.Witness[0], signed.In[i].Witness[0]) {
				t.Errorf("input %d: the signature does not verify (%v)", i, err)
			}
		}
	}
	if inputs != 7 {
		t.Errorf("%d inputs, want 7", inputs)
	}
}

func TestTweakKeyErrors(t *testing.T) {
	for _, tc := range []struct {
		name     string
		internal string
	}{
		{"zero", "0000000000000000000000000000000000000000000000000000000000000000"},
		{"not on the curve", "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"},
		{"above the field", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	} {
		if _, _, err := TweakKey([32]byte(unhex(t, tc.internal)), nil); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
	}
}
