package descriptor

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
)

// bitcoin is the network of the BIPs' vectors.
var bitcoin = Network{"bc", [4]byte{0x04, 0x88, 0xad, 0xe4}, [4]byte{0x04, 0x88, 0xb2, 0x1e}, 0x80}

// vector is a descriptor and what it gives: scripts, or descriptors.
type vector struct {
	Descriptor string
	Gives      []string
}

type vectors struct {
	Valid   []vector
	Invalid []string
}

// readVectors reads those of the BIPs, as their pages list them.
func readVectors(t *testing.T) (v struct {
	BIP380 struct {
		Checksums   []string
		ValidKeys   []string `json:"valid_keys"`
		InvalidKeys []string `json:"invalid_keys"`
	}
	BIP32 struct {
		Chains  []struct{ Seed, Path, Xpub, Xprv string }
		Invalid []string
	}
	BIP386, BIP389, BIP390 vectors
	BIP328                 []struct {
		Aggregate, Xpub string
		Keys            []string
	}
}) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestBIP380Checksums(t *testing.T) {
	for i, text := range readVectors(t).BIP380.Checksums {
		_, err := Parse(text, bitcoin)
		if good := i < 2; good != (err == nil) {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := ParseChecked(text, bitcoin); (i == 0) != (err == nil) {
			t.Errorf("%s, with a checksum that must be there: %v", text, err)
		}
	}
}

func TestBIP380Keys(t *testing.T) {
	v := readVectors(t).BIP380
	for _, k := range v.ValidKeys {
		text := "pk(" + k + ")"
		d, err := Parse(text, bitcoin)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		want := text
		if strings.Count(k, "'") == 2 { // mixed marks become those of the last one
			want = strings.ReplaceAll(text, "h]", "']")
			want = strings.ReplaceAll(want, "/0h", "/0'")
		}
		if got, _, _ := strings.Cut(d.Private(), "#"); got != want {
			t.Errorf("%s is written back as %s", text, got)
		}
		if private := strings.Contains(k, "xprv") || k[0] == '5' || k[0] == 'L'; d.IsPrivate() != private {
			t.Errorf("%s: private is %v", text, d.IsPrivate())
		}
		if public := d.Public(); public.IsPrivate() || public.String() != d.String() || strings.Contains(d.String(), "xprv") {
			t.Errorf("%s: public form %s, and %s", text, d, public)
		}
	}
	for _, k := range v.InvalidKeys {
		if d, err := Parse("pk("+k+")", bitcoin); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%s passed as %v, %v", k, d, err)
		}
	}
}

// check reads descriptors, compares the scripts that are said, and has those
// refused that have scripts of their own.
func (v vectors) check(t *testing.T) {
	t.Helper()
	for _, c := range v.Valid {
		d, err := Parse(c.Descriptor, bitcoin)
		if err != nil {
			t.Errorf("%s: %v", c.Descriptor, err)
			continue
		}
		if got, _, _ := strings.Cut(d.Private(), "#"); got != c.Descriptor {
			t.Errorf("%s is written back as %s", c.Descriptor, got)
		}
		for _, form := range []*Descriptor{d, d.Public()} {
			for i, want := range c.Gives {
				script, err := form.Script(uint32(i))
				if strings.Contains(c.Descriptor, "pk(") {
					if !errors.Is(err, ErrUnsupported) {
						t.Errorf("%s: %v, want a refusal", c.Descriptor, err)
					}
					continue
				}
				if got := hex.EncodeToString(script); err != nil || got != want {
					t.Errorf("%s: script %d is %s, %v, want %s", c.Descriptor, i, got, err, want)
				}
			}
		}
	}
	for _, text := range v.Invalid {
		if d, err := Parse(text, bitcoin); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%s passed as %v, %v", text, d, err)
		}
	}
}

func TestBIP32(t *testing.T) {
	v := readVectors(t).BIP32
	for _, c := range v.Chains {
		seed, err := hex.DecodeString(c.Seed)
		if err != nil {
			t.Fatal(err)
		}
		at, err := hdkeychain.NewMaster(seed, &chaincfg.Params{HDPrivateKeyID: bitcoin.Private})
		if err != nil {
			t.Fatal(err)
		}
		d, err := Parse("pk("+at.String()+c.Path+")", bitcoin)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range d.root.args[0].key.steps {
			if at, err = child(at, s[0]); err != nil {
				t.Fatal(err)
			}
		}
		if at.String() != c.Xprv || neuter(at, bitcoin.Public).String() != c.Xpub {
			t.Errorf("%s: %s, want %s", c.Path, neuter(at, bitcoin.Public), c.Xpub)
		}
	}
	for _, text := range v.Invalid {
		if _, err := Parse("pk("+text+")", bitcoin); !errors.Is(err, ErrDescriptor) {
			t.Errorf("%s passed: %v", text, err)
		}
	}
}

func TestBIP386(t *testing.T) { readVectors(t).BIP386.check(t) }

func TestBIP390(t *testing.T) { readVectors(t).BIP390.check(t) }

func TestBIP389(t *testing.T) {
	v := readVectors(t).BIP389
	for _, c := range v.Valid {
		d, err := Parse(c.Descriptor, bitcoin)
		if err != nil {
			t.Errorf("%s: %v", c.Descriptor, err)
			continue
		}
		list := d.Expand()
		if len(list) != len(c.Gives) || d.Multipath() != len(list) {
			t.Errorf("%s expands to %d", c.Descriptor, len(list))
			continue
		}
		for i, want := range c.Gives {
			if got, _, _ := strings.Cut(list[i].Private(), "#"); got != want {
				t.Errorf("%s expands to %s, want %s", c.Descriptor, got, want)
			}
		}
	}
	vectors{Invalid: v.Invalid}.check(t)
}

// TestBIP328 aggregates in the order that is given, as the vectors do.
func TestBIP328(t *testing.T) {
	for _, c := range readVectors(t).BIP328 {
		var keys []*btcec.PublicKey
		for _, text := range c.Keys {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			k, err := btcec.ParsePubKey(b)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, k)
		}
		sum, err := aggregateInOrder(keys)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(sum.SerializeCompressed()); got != c.Aggregate {
			t.Errorf("aggregate %s, want %s", got, c.Aggregate)
		}
		if got := synthetic(sum, bitcoin.Public).String(); got != c.Xpub {
			t.Errorf("extended key %s, want %s", got, c.Xpub)
		}
	}
}
