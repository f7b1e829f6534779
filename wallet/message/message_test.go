package message

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// vector is one message that was signed.
type vector struct {
	Secret    string `json:"secret"` // hex, before the Taproot tweak
	Address   string `json:"address"`
	Message   string `json:"message"`
	Signature string `json:"signature"`
}

// vectors were made by bip322-js 3.0.0 from npm: see testdata/bip322.cjs.
func vectors(t testing.TB) (list []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/bip322.json")
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	return list
}

func (v *vector) key(t *testing.T) (*btcec.PrivateKey, [32]byte) {
	t.Helper()
	secret, err := hex.DecodeString(v.Secret)
	if err != nil {
		t.Fatal(err)
	}
	internal, _ := btcec.PrivKeyFromBytes(secret)
	private, err := OutputKey(internal)
	if err != nil {
		t.Fatal(err)
	}
	return private, [32]byte(schnorr.SerializePubKey(private.PubKey()))
}

// TestHash has the two hashes of messages that the BIP names.
func TestHash(t *testing.T) {
	for message, want := range map[string]string{
		"":            "c90c269c4f8fcbe6880f72a721ddfbf1914268a794cbb21cfafee13770ae19f1",
		"Hello World": "f0eb03b1a75ac6d9847f55c624a99169b5dccba2a31f5b23bea77ba270de0a7a",
	} {
		if got := Hash([]byte(message)); hex.EncodeToString(got[:]) != want {
			t.Errorf("%q: %x, want %s", message, got[:], want)
		}
	}
}

// TestBesideLibrary: keys, addresses and signatures are those of another library.
func TestBesideLibrary(t *testing.T) {
	for i, v := range vectors(t) {
		private, key := v.key(t)
		if got := consensus.Address("bcrt", key); got != v.Address {
			t.Errorf("%d: address %s, want %s", i, got, v.Address)
		}
		if err := Verify(key, []byte(v.Message), v.Signature); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		own, err := Sign(private, []byte(v.Message))
		if err == nil {
			err = Verify(key, []byte(v.Message), own)
		}
		if err != nil {
			t.Errorf("%d: own signature: %v", i, err)
		}
	}
}

// TestLibraryVerifies has bip322-js verify what is signed here.
func TestLibraryVerifies(t *testing.T) {
	modules := os.Getenv("LODE_TEST_NODE_MODULES")
	if modules == "" {
		t.Skip("wants bip322-js: LODE_TEST_NODE_MODULES names the directory, see make messages")
	}
	list := vectors(t)
	for i := range list {
		private, _ := list[i].key(t)
		var err error
		if list[i].Signature, err = Sign(private, []byte(list[i].Message)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(list)
	file := filepath.Join(t.TempDir(), "own.json")
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "testdata/bip322.cjs", file)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestNotASignature changes every part of what is verified.
func TestNotASignature(t *testing.T) {
	v := vectors(t)[1]
	_, key := v.key(t)
	raw, err := base64.StdEncoding.DecodeString(v.Signature)
	if err != nil {
		t.Fatal(err)
	}
	text := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	other := func(i int, to byte) string {
		b := append([]byte(nil), raw...)
		b[i] = to
		return text(b)
	}
	message := []byte(v.Message)
	if err := Verify(key, message, simplePrefix+v.Signature); err != nil {
		t.Errorf("with the prefix of newer drafts: %v", err)
	}
	for name, c := range map[string]struct {
		message, signature string
		want               error
	}{
		"another message":      {v.Message + " ", v.Signature, ErrSignature},
		"another bit":          {v.Message, other(20, raw[20]^1), ErrSignature},
		"another hash type":    {v.Message, other(66, byte(consensus.SigHashNone)), ErrForm},
		"the default, written": {v.Message, other(66, byte(consensus.SigHashDefault)), ErrForm},
		"of another length":    {v.Message, other(1, 64), ErrForm},
		"of two elements":      {v.Message, other(0, 2), ErrForm},
		"without its type":     {v.Message, text(append([]byte{1, 64}, raw[2:66]...)), ErrSignature},
		"cut":                  {v.Message, v.Signature[:40], ErrForm},
		"old (BIP137)":         {v.Message, text(append([]byte{31}, raw[:64]...)), ErrForm},
		"nothing":              {v.Message, "", ErrForm},
		"not base64":           {v.Message, "~" + v.Signature[1:], ErrEncoding},
		"two lines":            {v.Message, v.Signature[:8] + "\n" + v.Signature[8:], ErrEncoding},
		"long":                 {v.Message, strings.Repeat("A", 1000), ErrEncoding},
	} {
		if err := Verify(key, []byte(c.message), c.signature); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := Sign(new(btcec.PrivateKey), make([]byte, MaxMessage+1)); err == nil {
		t.Error("a message without bound was signed")
	}
}

// FuzzDecode: what decodes is written the same way again, but for the prefix.
func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Signature)
	}
	f.Add(simplePrefix + "AUA=")
	f.Fuzz(func(t *testing.T, text string) {
		sig, kind, err := decode(text)
		if err != nil {
			return
		}
		b := sig[:]
		if kind != consensus.SigHashDefault {
			b = append(b, byte(kind))
		}
		if got := encode(b); got != strings.TrimPrefix(text, simplePrefix) {
			t.Errorf("%q is written %q", text, got)
		}
	})
}
