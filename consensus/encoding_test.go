package consensus

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCompactSize(t *testing.T) {
	for _, tc := range []struct {
		n    uint64
		text string
	}{
		{0, "00"}, {1, "01"}, {0xfc, "fc"},
		{0xfd, "fdfd00"}, {0xff, "fdff00"}, {0x100, "fd0001"}, {0xffff, "fdffff"},
		{0x10000, "fe00000100"}, {0xffffffff, "feffffffff"},
		{0x100000000, "ff0000000001000000"}, {1<<64 - 1, "ffffffffffffffffff"},
	} {
		got := AppendCompactSize(nil, tc.n)
		if !bytes.Equal(got, unhex(t, tc.text)) || CompactSizeLen(tc.n) != len(got) {
			t.Errorf("%d is %x of length %d, want %s", tc.n, got, CompactSizeLen(tc.n), tc.text)
		}
		d := NewDecoder(got)
		if back := d.CompactSize(); back != tc.n || d.Finish() != nil {
			t.Errorf("%s is %d (%v), want %d", tc.text, back, d.Err(), tc.n)
		}
	}
	for _, text := range []string{
		"", "fd", "fd00", "fe000000", "ff00000000000000", // cut short
		"fd0000", "fdfc00", "fe00000000", "feffff0000", "ff0000000000000000", "ffffffffff00000000", // not the shortest
	} {
		d := NewDecoder(unhex(t, text))
		if n := d.CompactSize(); n != 0 || !errors.Is(d.Err(), ErrDecode) {
			t.Errorf("%q is %d (%v), want an error", text, n, d.Err())
		}
	}
}

func TestDecoderErrorSticks(t *testing.T) {
	d := NewDecoder([]byte{1, 2, 3})
	if d.Uint32() != 0 {
		t.Error("four bytes were read from three")
	}
	first := d.Err()
	if d.Uint8() != 0 || d.Uint16() != 0 || d.Uint64() != 0 || d.Hash() != (Hash{}) || d.VarBytes() != nil || d.Rest() != nil {
		t.Error("something was read after an error")
	}
	if first == nil || d.Finish() != first {
		t.Errorf("the first error %v became %v", first, d.Err())
	}
	d = NewDecoder([]byte{1, 2, 3})
	if got := d.Bytes(-1); got != nil || d.Err() == nil {
		t.Error("a negative number of bytes was read")
	}
	d = NewDecoder([]byte{1, 2, 3})
	if d.Uint8() != 1 || !bytes.Equal(d.Rest(), []byte{2, 3}) || d.Finish() == nil {
		t.Error("two bytes left over are no error")
	}
}

const (
	nullInputHex = "0000000000000000000000000000000000000000000000000000000000000000ffffffff"
	oneInputHex  = nullInputHex + "00" + "ffffffff"
	oneOutputHex = "0100000000000000" + "016a"
)

func TestDecodeTx(t *testing.T) {
	for _, tc := range []struct{ name, text, says string }{
		{"plain", "02000000" + "01" + oneInputHex + "01" + oneOutputHex + "00000000", ""},
		{"with a witness", "02000000" + "0001" + "01" + oneInputHex + "01" + oneOutputHex + "0102aabb" + "00000000", ""},
		{"with an empty element", "02000000" + "0001" + "01" + oneInputHex + "01" + oneOutputHex + "0100" + "00000000", ""},
		{"no inputs and no outputs", "02000000" + "00" + "00" + "00000000", ""},
		{"superfluous witness", "02000000" + "0001" + "01" + oneInputHex + "01" + oneOutputHex + "00" + "00000000", "superfluous"},
		{"no inputs but a witness", "02000000" + "0001" + "00" + "01" + oneOutputHex + "00000000", "superfluous"},
		{"unknown flag", "02000000" + "0002" + "01" + oneInputHex + "01" + oneOutputHex + "00000000", "flags 0x2"},
		{"unknown flag beside a witness", "02000000" + "0003" + "01" + oneInputHex + "01" + oneOutputHex + "0102aabb" + "00000000", "flags 0x3"},
		{"a byte too many", "02000000" + "01" + oneInputHex + "01" + oneOutputHex + "00000000" + "00", "1 bytes too many"},
		{"a byte too few", "02000000" + "01" + oneInputHex + "01" + oneOutputHex + "000000", "cut short"},
		{"2^64-1 inputs", "02000000" + "ffffffffffffffffff" + oneInputHex, "announced"},
		{"a count in a long form", "02000000" + "fd0100" + oneInputHex + "01" + oneOutputHex + "00000000", "shortest form"},
	} {
		tx, err := DecodeTx(unhex(t, tc.text))
		if tc.says != "" {
			if !errors.Is(err, ErrDecode) || !strings.Contains(err.Error(), tc.says) || tx != nil {
				t.Errorf("%s: %v, want %q", tc.name, err, tc.says)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if got := tx.Bytes(); !bytes.Equal(got, unhex(t, tc.text)) || tx.Size() != len(got) {
			t.Errorf("%s: encoded as %x", tc.name, got)
		}
	}
}

// The first block of regtest, whose hash and weight everybody knows.
func TestGenesisBlock(t *testing.T) {
	r := regtestRules(t)
	b := r.Genesis()
	if got, want := b.Header.Hash().String(), "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"; got != want {
		t.Errorf("hash %s, want %s", got, want)
	}
	if got, want := b.Txs[0].TxID().String(), "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"; got != want {
		t.Errorf("txid %s, want %s", got, want)
	}
	if b.Txs[0].WTxID() != b.Txs[0].TxID() {
		t.Error("without a witness, both ids are the same")
	}
	if b.Size() != 285 || b.StrippedSize() != 285 || b.Weight() != 1140 || b.Txs[0].VSize() != 204 {
		t.Errorf("size %d, stripped %d, weight %d, vsize %d", b.Size(), b.StrippedSize(), b.Weight(), b.Txs[0].VSize())
	}
	h, err := DecodeHeader(b.Bytes()[:HeaderSize])
	if err != nil || h != b.Header {
		t.Errorf("header %v (%v)", h, err)
	}
	for _, n := range []int{HeaderSize - 1, HeaderSize + 1} {
		if _, err := DecodeHeader(b.Bytes()[:n]); !errors.Is(err, ErrDecode) {
			t.Errorf("%d bytes are a header: %v", n, err)
		}
	}
	if _, err := DecodeBlock(b.Bytes()[:b.Size()-1]); !errors.Is(err, ErrDecode) {
		t.Error("a block that is cut short was decoded")
	}
}

func TestHashText(t *testing.T) {
	h := Hash{31: 0xab}
	const text = "ab00000000000000000000000000000000000000000000000000000000000000"
	if h.String() != text || h[31] != 0xab {
		t.Errorf("%s, want %s", h, text)
	}
	if got, err := ParseHash(text); err != nil || got != h {
		t.Errorf("%s (%v), want %s", got, err, h)
	}
	for _, bad := range []string{"", text[:63], text + "0", "x" + text[1:]} {
		if _, err := ParseHash(bad); err == nil {
			t.Errorf("%q is a hash", bad)
		}
	}
	doc, err := json.Marshal(h)
	var back Hash
	if err == nil {
		err = json.Unmarshal(doc, &back)
	}
	if err != nil || back != h || string(doc) != `"`+text+`"` {
		t.Errorf("JSON %s, back %s (%v)", doc, back, err)
	}
}

// TestMerkleBranch leads from the first leaf to the root, whatever that leaf is.
func TestMerkleBranch(t *testing.T) {
	for n := 1; n < 40; n++ {
		leaves := make([]Hash, n)
		for i := range leaves {
			leaves[i] = DoubleSHA256([]byte{byte(i)})
		}
		branch := MerkleBranch(leaves)
		leaves[0] = DoubleSHA256([]byte("another"))
		if root, _ := MerkleRoot(leaves); BranchRoot(leaves[0], branch) != root {
			t.Errorf("%d leaves: the branch leads elsewhere", n)
		}
	}
}

func TestMerkleRoot(t *testing.T) {
	leaf := func(i byte) Hash { return Hash{i} }
	node := func(a, b Hash) Hash { return DoubleSHA256(slices.Concat(a[:], b[:])) }
	a, b, c, d, e := leaf(1), leaf(2), leaf(3), leaf(4), leaf(5)
	ab, cc, cd, ee := node(a, b), node(c, c), node(c, d), node(e, e)
	for _, tc := range []struct {
		name    string
		leaves  []Hash
		root    Hash
		mutated bool
	}{
		{"none", nil, Hash{}, false},
		{"one", []Hash{a}, a, false},
		{"two", []Hash{a, b}, ab, false},
		{"three", []Hash{a, b, c}, node(ab, cc), false},
		{"three, the last repeated", []Hash{a, b, c, c}, node(ab, cc), true},
		{"four", []Hash{a, b, c, d}, node(ab, cd), false},
		{"five", []Hash{a, b, c, d, e}, node(node(ab, cd), node(ee, ee)), false},
		{"five, the last pair repeated", []Hash{a, b, c, d, e, e, e, e}, node(node(ab, cd), node(ee, ee)), true},
		{"six, the last pair repeated", []Hash{a, b, c, d, a, b, a, b}, node(node(ab, cd), node(ab, ab)), true},
		{"equal ones that are no pair", []Hash{a, b, b, a}, node(ab, node(b, a)), false},
	} {
		before := slices.Clone(tc.leaves)
		root, mutated := MerkleRoot(tc.leaves)
		if root != tc.root || mutated != tc.mutated {
			t.Errorf("%s: root %s, mutated %v; want %s, %v", tc.name, root, mutated, tc.root, tc.mutated)
		}
		if !slices.Equal(before, tc.leaves) {
			t.Errorf("%s: the leaves were changed", tc.name)
		}
	}
}

func TestFillReservedValue(t *testing.T) {
	commitment := TxOut{Script: WitnessCommitment(Hash{}, [32]byte{})}
	in := []TxIn{{PrevOut: OutPoint{Index: nullIndex}}}
	for _, tc := range []struct {
		name string
		b    Block
		fill bool
	}{
		{"no transactions", Block{}, false},
		{"no commitment", Block{Txs: []*Tx{{In: in}}}, false},
		{"no inputs", Block{Txs: []*Tx{{Out: []TxOut{commitment}}}}, false},
		{"a commitment", Block{Txs: []*Tx{{In: in, Out: []TxOut{commitment}}}}, true},
		{"a commitment and a witness", Block{Txs: []*Tx{{In: []TxIn{{Witness: [][]byte{{1}}}}, Out: []TxOut{commitment}}}}, false},
	} {
		tc.b.FillReservedValue()
		filled := len(tc.b.Txs) > 0 && len(tc.b.Txs[0].In) > 0 && len(tc.b.Txs[0].In[0].Witness) == 1 &&
			bytes.Equal(tc.b.Txs[0].In[0].Witness[0], make([]byte, 32))
		if filled != tc.fill {
			t.Errorf("%s: filled %v, want %v", tc.name, filled, tc.fill)
		}
	}
	if in[0].Witness != nil {
		t.Error("the transaction itself was changed")
	}
}

func regtestRules(t testing.TB) *Rules {
	t.Helper()
	spec, err := EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	return &spec.Rules
}
