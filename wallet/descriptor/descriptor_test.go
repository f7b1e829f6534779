package descriptor

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"pgregory.net/rapid"

	"lode/consensus"
)

func regtest(t testing.TB) Network {
	t.Helper()
	spec, err := consensus.EmbeddedSpec("regtest")
	if err != nil {
		t.Fatal(err)
	}
	return NetworkOf(spec)
}

// seedKey is the master key of "abandon ... about" on regtest.
const seedKey = "tprv8ZgxMBicQKsPe5YMU9gHen4Ez3ApihUfykaqUorj9t6FDqy3nP6eoXiAo2ssvpAjoLroQxHqr3R5nE3a5dU3DHTjTgJDd7zrbniJr6nrCzd"

// TestBitcoinCoreDerivesTheSame: the descriptors of Bitcoin Core's wallet for the
// words "abandon ... about", and what it derives from them.
func TestBitcoinCoreDerivesTheSame(t *testing.T) {
	d, err := Parse("tr("+seedKey+"/86h/1h/0h/<0;1>/*)", regtest(t))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"tr([73c5da0a/86h/1h/0h]tpubDDfvzhdVV4unsoKt5aE6dcsNsfeWbTgmLZPi8LQDYU2xixrYemMfWJ3BaVneH3u7DBQePdTwhpybaKRU95pi6PMUtLPBJLVQRpzEnjfjZzX/0/*)",
		"tr([73c5da0a/86h/1h/0h]tpubDDfvzhdVV4unsoKt5aE6dcsNsfeWbTgmLZPi8LQDYU2xixrYemMfWJ3BaVneH3u7DBQePdTwhpybaKRU95pi6PMUtLPBJLVQRpzEnjfjZzX/1/*)",
	}
	for i, d := range d.Expand() {
		normal, err := d.Normalized()
		if err != nil {
			t.Fatal(err)
		}
		if got := normal.String(); got != AddChecksum(want[i]) {
			t.Errorf("normalized %s, want %s", got, want[i])
		}
		if _, err := d.Public().OutputKey(0); !errors.Is(err, ErrNoPrivate) {
			t.Errorf("a hardened step without a private key: %v", err)
		}
	}
	for i, list := range [][]string{{
		"bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhg",
		"bcrt1p90h6z3p36n9hrzy7580h5l429uwchyg8uc9sz4jwzhdtuhqdl5eqkcyx0f",
		"bcrt1p40qqa84kpphe5vtcwd8zv7v6w7p62cmupf6f60mf8pxdkcv2455qgtw98j",
	}, {
		"bcrt1p6uav7en8k7zsumsqugdmg5j6930zmzy4dg7jcddshsr0fvxlqx7qnc7l22",
		"bcrt1pwhn9lzpaukrjwvwe365x7hcgvtcfywwsaxcq7j04jgrfcxzdq23q6mfcm3",
		"bcrt1p8hh0alzgx4f6xfnvsrfa6q7v9q44mu298ntrs3szzha5yrezdr3q6pnz6t",
	}} {
		for index, want := range list {
			if got, err := d.Expand()[i].Address(uint32(index)); err != nil || got != want {
				t.Errorf("%d/%d: %s, %v, want %s", i, index, got, err, want)
			}
		}
	}
	receive := d.Expand()[0]
	origins, err := receive.Origins(7)
	if err != nil || len(origins) != 1 || fmt.Sprintf("%x %d", origins[0].Fingerprint, origins[0].Path) != "73c5da0a [2147483734 2147483649 2147483648 0 7]" {
		t.Errorf("origins %v, %v", origins, err)
	}
}

// TestErrorsSayWhere: the place of a mistake, and never a key.
func TestErrorsSayWhere(t *testing.T) {
	net := regtest(t)
	const key = "a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"
	mistyped := strings.Replace(seedKey, "MBicQ", "MBicR", 1)
	for text, want := range map[string]string{
		"":                     "character 1: '' is not a valid descriptor function",
		"tr":                   "character 1: 'tr' is not a valid descriptor function",
		"Tr(" + key + ")":      "character 1: 'Tr' is not a valid descriptor function",
		"tr()":                 "character 4: No key provided",
		"tr(" + key:            "character 68: tr(): expected ','",
		"tr(" + key + "))":     "character 69: something follows the descriptor",
		"tr(" + key[1:] + ")":  "character 4: key is not valid",
		"tr(" + key[2:] + ")":  "character 4: Pubkey is invalid: 31 bytes",
		"tr(" + mistyped + ")": "character 4: key is not valid: its checksum is wrong",
		"tr(xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB)": "character 4: key is of another network",
		"tr(L4rK1yDtCWekvXuE6oXD9jCYfFNV2cWRpVuPLBcCU2z8TrisoyY1)":                                                            "character 4: key is of another network",
		"tr(" + seedKey + "/0/x)":                  "character 118: Key path value is not a number",
		"tr(" + seedKey + "/2147483648)":           "character 116: Key path value is out of range",
		"tr(" + seedKey + "/*/0)":                  "character 118: something follows the *",
		"tr(" + seedKey + "/<0;0>)":                "character 119: Duplicated key path value 0",
		"tr(" + seedKey + "/<0>)":                  "character 117: Multipath key path specifiers must have at least two items",
		"tr([73c5da0/86h]" + seedKey + ")":         "character 5: Fingerprint is not 4 bytes",
		"tr([73c5da0a/86h" + seedKey + ")":         "character 14: Key path value is not a number",
		"tr(" + key + ",{pk(" + key + ")})":        "character 138: tr(): expected ','",
		"wsh(tr(" + key + "))":                     "character 5: Can not have tr() inside wsh()",
		"multi(3," + seedKey + "," + seedKey + ")": "character 1: multi(): a threshold of 3 of 2",
		"raw(zz)": "character 5: Raw script is not hex",
		"addr(bcrt1p8wpt9v4frpf3tkn0srd97pksgsxc5hs52lafxwru9kgeephvs7rqjeprhh)": "look at character 64",
		"tr(" + key + ")#":                           "character 70: Expected 8 character checksum, not 0 characters",
		"tr(" + key + ")\n":                          "character 69: Invalid characters in payload",
		"tr(musig(" + key + "))":                     "character 10: Pubkey is invalid: 32 bytes",
		"tr(musig())":                                "character 10: No key provided",
		"tr(musig(musig(" + seedKey + "))":           "character 10: musig() is only allowed in tr() and rawtr()",
		"wsh(" + strings.Repeat("and_v(", 200):       "more than 128 expressions",
		"tr(" + key + "," + strings.Repeat("{", 200): "at most 128 nesting levels",
	} {
		d, err := Parse(text, net)
		if _, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrDescriptor) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, %v, want %s", text, d, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "tprv") || strings.Contains(err.Error(), "a34b")) {
			t.Errorf("%.80s: the error shows a key: %v", text, err)
		}
	}
	if _, err := Parse(strings.Repeat("(", maxLength+1), net); err == nil {
		t.Error("a very long descriptor passed")
	}
	if _, err := Parse("raw(6a"+strings.Repeat("ff", 65536)+")", net); err != nil {
		t.Errorf("the script of a large data output: %v", err)
	}
	if _, err := Parse("raw(6a"+strings.Repeat("ff", 1<<20)+")", net); err == nil {
		t.Error("a script that fits no block passed")
	}
}

// TestForeignScriptsAreRefused: they are read and written back, and nothing is
// derived from them.
func TestForeignScriptsAreRefused(t *testing.T) {
	net := regtest(t)
	for _, text := range []string{
		"wpkh(" + seedKey + "/84h/1h/0h/0/*)", "sh(wpkh(" + seedKey + "))", "combo(" + seedKey + ")",
		"tr(" + seedKey + ",{pk(" + seedKey + "/1),and_v(v:pk(" + seedKey + "/2),older(144))})",
		"wsh(thresh(2,pk(" + seedKey + "/0/*),s:pk(" + seedKey + "/1/*),sln:older(12960)))",
		"sh(wsh(sortedmulti(2," + seedKey + "/0," + seedKey + "/1)))", "raw(6a)",
		"wsh(andor(pk(" + seedKey + "),or_i(0,1),sha256(" + strings.Repeat("ab", 32) + ")))",
	} {
		d, err := Parse(text, net)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if d.Private() != AddChecksum(text) {
			t.Errorf("%s is written back as %s", text, d.Private())
		}
		if _, err := d.Address(0); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: an address was derived: %v", text, err)
		}
		if _, err := d.OutputPrivateKey(0); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: a private key was derived: %v", text, err)
		}
		if d.IsPrivate() != strings.Contains(text, "tprv") || strings.Contains(d.String(), "tprv") || !strings.HasPrefix(d.Kind()+"(", strings.SplitAfter(text, "(")[0]) {
			t.Errorf("%s: private %v, kind %s, public %s", text, d.IsPrivate(), d.Kind(), d)
		}
	}
}

// TestOutputsWithoutKeys: addr, raw, and what is inferred from a script.
func TestOutputsWithoutKeys(t *testing.T) {
	net := regtest(t)
	d, err := Parse("rawtr(a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd)", net)
	if err != nil {
		t.Fatal(err)
	}
	script, _ := d.Script(0)
	addr, _ := d.Address(0)
	for _, text := range []string{fmt.Sprintf("raw(%x)", script), "addr(" + addr + ")", "addr(" + strings.ToUpper(addr) + ")"} {
		other, err := Parse(text, net)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := other.Address(5); err != nil || got != addr || other.IsSolvable() || other.IsRange() {
			t.Errorf("%s: %s, %v", text, got, err)
		}
		if _, err := other.PrivateKey(0); !errors.Is(err, ErrNoPrivate) {
			t.Errorf("%s has a private key: %v", text, err)
		}
		if _, err := other.InternalKey(0); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s has an internal key: %v", text, err)
		}
	}
	if got := Infer(script, net); got != d.String() {
		t.Errorf("inferred %s, want %s", got, d)
	}
	if got := Infer([]byte{0x6a}, net); !strings.HasPrefix(got, "raw(6a)#") {
		t.Errorf("inferred %s", got)
	}
	off := append([]byte{0x51, 0x20}, make([]byte, 32)...)
	if got := Infer(off, net); !strings.HasPrefix(got, "addr(bcrt1p") {
		t.Errorf("inferred %s", got)
	}
}

// randomKey draws an extended private key.
func randomKey(t *rapid.T, net Network) string {
	seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")
	key, err := hdkeychain.NewMaster(seed, &chaincfg.Params{HDPrivateKeyID: net.Private})
	if err != nil {
		t.Fatal(err)
	}
	return key.String()
}

// TestFormsAgree: whatever is derived from the private form is derived from the
// public and the normalized one, and the private keys belong to it.
func TestFormsAgree(t *testing.T) {
	net := regtest(t)
	rapid.Check(t, func(t *rapid.T) {
		path := ""
		for range rapid.IntRange(0, 3).Draw(t, "steps") {
			path += fmt.Sprintf("/%d%s", rapid.IntRange(0, 1<<31-1).Draw(t, "n"), rapid.SampledFrom([]string{"", "h", "'"}).Draw(t, "mark"))
		}
		tail := rapid.SampledFrom([]string{"", "/*", "/<0;1>/*", "/7"}).Draw(t, "tail")
		origin := rapid.SampledFrom([]string{"", "[d34db33f]", "[d34db33f/1/2h]"}).Draw(t, "origin")
		text := origin + randomKey(t, net) + path + tail
		if rapid.Bool().Draw(t, "musig") {
			other := randomKey(t, net) + "/1h"
			text = rapid.SampledFrom([]string{
				"musig(" + text + "," + other + ")",
				"musig(" + other + "," + strings.TrimSuffix(strings.TrimSuffix(text, tail), "/*") + ")" + tail,
			}).Draw(t, "sum")
		}
		text = rapid.SampledFrom([]string{"tr(", "rawtr("}).Draw(t, "fn") + text + ")"
		whole, err := Parse(text, net)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		index := rapid.Uint32Range(0, 1<<31-1).Draw(t, "index")
		for _, d := range whole.Expand() {
			compareForms(t, d, net, index)
		}
	})
}

func compareForms(t *rapid.T, d *Descriptor, net Network, index uint32) {
	want, err := d.OutputKey(index)
	if err != nil {
		t.Fatalf("%s: %v", d.Private(), err)
	}
	again, err := Parse(d.Private(), net)
	if err != nil || again.Private() != d.Private() || again.String() != d.String() {
		t.Fatalf("%s is read as %v, %v", d.Private(), again, err)
	}
	normal, err := d.Normalized()
	if err != nil {
		t.Fatal(err)
	}
	if normal.IsPrivate() || normal.IsRange() != d.IsRange() {
		t.Fatalf("normalized %s", normal)
	}
	if got, err := normal.OutputKey(index); err != nil || got != want {
		t.Fatalf("%s gives %x, %v, want %x", normal, got, err, want)
	}
	if m, ok, err := d.MuSig(index); ok || err != nil {
		compareMuSig(t, m, err)
		return
	}
	private, err := d.OutputPrivateKey(index)
	if err != nil || [32]byte(schnorr.SerializePubKey(private.PubKey())) != want {
		t.Fatalf("%s: another private key than of %x, %v", d, want, err)
	}
}

// compareMuSig adds the tweaks to the aggregate.
func compareMuSig(t *rapid.T, m MuSig, err error) {
	if err != nil || len(m.Participants) != 2 || len(m.Private) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for i, p := range m.Private {
		if !p.PubKey().IsEqual(m.Participants[i]) {
			t.Fatal("the private key of another participant")
		}
	}
	var sum btcec.JacobianPoint
	m.Aggregate.AsJacobian(&sum)
	for _, tweak := range m.Tweaks {
		var s btcec.ModNScalar
		s.SetBytes(&tweak)
		var point btcec.JacobianPoint
		btcec.ScalarBaseMultNonConst(&s, &point)
		btcec.AddNonConst(&sum, &point, &sum)
	}
	sum.ToAffine()
	if !btcec.NewPublicKey(&sum.X, &sum.Y).IsEqual(m.Internal) {
		t.Fatal("the tweaks lead to another key")
	}
}

// TestIndexOfHardenedChildren: /*h is derived from the private key alone.
func TestIndexOfHardenedChildren(t *testing.T) {
	d, err := Parse("tr("+seedKey+"/1/*h)", regtest(t))
	if err != nil {
		t.Fatal(err)
	}
	key, err := d.OutputKey(3)
	private, err2 := d.OutputPrivateKey(3)
	if err != nil || err2 != nil || [32]byte(schnorr.SerializePubKey(private.PubKey())) != key {
		t.Errorf("%v, %v", err, err2)
	}
	if _, err := d.Public().OutputKey(3); !errors.Is(err, ErrNoPrivate) {
		t.Errorf("derived without a private key: %v", err)
	}
	if _, err := d.Normalized(); !errors.Is(err, ErrNoPrivate) {
		t.Errorf("normalized: %v", err)
	}
	if _, err := d.OutputKey(1 << 31); !errors.Is(err, ErrIndex) {
		t.Errorf("index 2^31: %v", err)
	}
	several, err := Parse("tr("+seedKey+"/<0;1>)", regtest(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := several.OutputKey(0); err == nil {
		t.Error("one key of several descriptors")
	}
}

// FuzzParse: what is read is written back as it was, and its public form has no
// private key.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"tr(" + seedKey + "/86h/1h/0h/<0;1>/*)", "rawtr(a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd)",
		"tr(musig(" + seedKey + "," + seedKey + "/1)/0/*)", "wsh(and_v(v:pk(" + seedKey + "),older(1)))", "raw(6a)#c0kqnu7p",
		"sh(multi(1,[d34db33f/1']" + seedKey + "/*'))", "tr(" + seedKey + ",{pk(" + seedKey + "),pk(" + seedKey + ")})",
	} {
		f.Add(text)
	}
	net := regtest(f)
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text, net)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseChecked(d.Private(), net)
		if err != nil || again.Private() != d.Private() {
			t.Fatalf("%q is written as %q and read as %v", text, d.Private(), err)
		}
		public, err := Parse(d.String(), net)
		if err != nil || public.IsPrivate() || public.String() != d.String() {
			t.Fatalf("%q has the public form %q: %v", text, d.String(), err)
		}
		for _, one := range d.Expand() {
			if _, err := one.OutputKey(0); err != nil && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrNoPrivate) {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

// TestKeysAreTheCallers: who overwrites a key that it was given does not overwrite the
// descriptor's.
func TestKeysAreTheCallers(t *testing.T) {
	const wif = "cVpF924EspNh8KjYsfhgY96mmxvT6DgdWiTYMtMjuM74hJaU5psW"
	for _, text := range []string{"rawtr(" + wif + ")", "tr(" + wif + ")"} {
		d, err := Parse(text, regtest(t))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			for _, get := range []func(uint32) (*btcec.PrivateKey, error){d.PrivateKey, d.OutputPrivateKey} {
				key, err := get(0)
				if err != nil || key.Key.IsZero() {
					t.Fatalf("%s: the key is gone: %v", d.root.fn, err)
				}
				key.Zero()
			}
		}
	}
}
