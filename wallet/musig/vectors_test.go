package musig

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcec/v2/schnorr/musig2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
)

// The files testdata/bip327_*.json and bip328.json are bip-0327/vectors and
// bip-0328/vectors.json of the repository of the BIPs, at commit
// 7fe0b034ec967b52a5a28276419117326df93263.

// hexBytes is hex of either case.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func loadVectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func pick[T any](from []hexBytes, at []int, to func(hexBytes) T) (list []T) {
	for _, i := range at {
		list = append(list, to(from[i]))
	}
	return list
}

func rawKey(b hexBytes) (p PubKey)     { copy(p[:], b); return p }
func rawNonce(b hexBytes) (n PubNonce) { copy(n[:], b); return n }

// tweaked applies tweaks of the vectors, which no derivation gives.
func tweaked(k *Key, tweaks []hexBytes, xonly []bool) (*Key, error) {
	c := *k
	for i, t := range tweaks {
		if !xonly[i] {
			if err := c.tweak([32]byte(t)); err != nil {
				return nil, err
			}
			continue
		}
		even := c.point
		even[0] = 2
		d := Key{point: even}
		if err := d.tweak([32]byte(t)); err != nil {
			return nil, err
		}
		c.point = d.point
		c.tweaks = append(c.tweaks[:len(c.tweaks):len(c.tweaks)], musig2.KeyTweakDesc{Tweak: [32]byte(t), IsXOnly: true})
	}
	return &c, nil
}

func TestKeyAggregationVectorsOfBIP327(t *testing.T) {
	var v struct {
		PubKeys []hexBytes
		Tweaks  []hexBytes
		Valid   []struct {
			Keys     []int `json:"key_indices"`
			Expected hexBytes
		} `json:"valid_test_cases"`
		Errors []struct {
			Keys    []int  `json:"key_indices"`
			Tweaks  []int  `json:"tweak_indices"`
			XOnly   []bool `json:"is_xonly"`
			Comment string
		} `json:"error_test_cases"`
	}
	loadVectors(t, "bip327_key_agg", &v)
	for i, c := range v.Valid {
		k, err := AggregateOrdered(pick(v.PubKeys, c.Keys, rawKey))
		if err != nil {
			t.Fatal(i, err)
		}
		if x := k.Public().XOnly(); !bytes.Equal(x[:], c.Expected) {
			t.Errorf("case %d: got %x, want %s", i, x, c.Expected)
		}
	}
	for _, c := range v.Errors {
		k, err := AggregateOrdered(pick(v.PubKeys, c.Keys, rawKey))
		if err == nil {
			_, err = tweaked(k, pick(v.Tweaks, c.Tweaks, func(b hexBytes) hexBytes { return b }), c.XOnly)
		}
		if !errors.Is(err, ErrKey) && !errors.Is(err, ErrKeys) {
			t.Errorf("%s: got %v", c.Comment, err)
		}
	}
}

func TestKeySortVectorsOfBIP327(t *testing.T) {
	var v struct {
		PubKeys []hexBytes
		Sorted  []hexBytes `json:"sorted_pubkeys"`
	}
	loadVectors(t, "bip327_key_sort", &v)
	var keys []PubKey
	for _, b := range v.PubKeys {
		keys = append(keys, rawKey(b))
	}
	for i, p := range Sort(keys) {
		if p != rawKey(v.Sorted[i]) {
			t.Errorf("place %d: got %s, want %s", i, p, v.Sorted[i])
		}
	}
}

// TestNonceVectorsOfBIP327 runs the cases of NonceGen that have all that Lode's
// nonces are made of, through the package that Lode makes them with.
func TestNonceVectorsOfBIP327(t *testing.T) {
	var v struct {
		Cases []struct {
			Rand   hexBytes `json:"rand_"`
			SK     hexBytes
			PK     hexBytes
			AggPK  hexBytes
			Msg    *hexBytes
			Extra  hexBytes `json:"extra_in"`
			Secret hexBytes `json:"expected_secnonce"`
			Public hexBytes `json:"expected_pubnonce"`
		} `json:"test_cases"`
	}
	loadVectors(t, "bip327_nonce_gen", &v)
	ran := 0
	for i, c := range v.Cases {
		public, err := btcec.ParsePubKey(c.PK)
		if err != nil {
			t.Fatal(err)
		}
		options := []musig2.NonceGenOption{musig2.WithPublicKey(public), musig2.WithCustomRand(bytes.NewReader(c.Rand))}
		if len(c.SK) > 0 {
			private, _ := btcec.PrivKeyFromBytes(c.SK)
			options = append(options, musig2.WithNonceSecretKeyAux(private))
		}
		if len(c.AggPK) > 0 {
			agg, err := schnorr.ParsePubKey(c.AggPK)
			if err != nil {
				t.Fatal(err)
			}
			options = append(options, musig2.WithNonceCombinedKeyAux(agg))
		}
		if c.Msg != nil {
			if len(*c.Msg) != 32 {
				continue // signature hashes have 32 bytes
			}
			options = append(options, musig2.WithNonceMessageAux([32]byte(*c.Msg)))
		}
		if len(c.Extra) > 0 {
			options = append(options, musig2.WithNonceAuxInput(c.Extra))
		}
		n, err := musig2.GenNonces(options...)
		if err != nil || !bytes.Equal(n.SecNonce[:], c.Secret) || !bytes.Equal(n.PubNonce[:], c.Public) {
			t.Errorf("case %d: got %x, %v", i, n.PubNonce, err)
		}
		ran++
	}
	if ran != 2 {
		t.Errorf("%d cases ran, want 2", ran)
	}
}

// fakeSigners makes a session of public keys and nonces alone.
func fakeSession(key *Key, message [32]byte, nonces []PubNonce) (*Session, error) {
	m := make(map[PubKey]PubNonce)
	for i, p := range key.list {
		m[p] = nonces[i]
	}
	return NewSession(key, message, m)
}

func TestNonceAggregationVectorsOfBIP327(t *testing.T) {
	var v struct {
		Nonces []hexBytes `json:"pnonces"`
		Valid  []struct {
			Nonces   []int `json:"pnonce_indices"`
			Expected hexBytes
		} `json:"valid_test_cases"`
		Errors []struct {
			Nonces  []int `json:"pnonce_indices"`
			Comment string
		} `json:"error_test_cases"`
	}
	loadVectors(t, "bip327_nonce_agg", &v)
	key := mustAggregate(t, newPrivate(t), newPrivate(t))
	for i, c := range v.Valid {
		s, err := fakeSession(key, [32]byte{}, pick(v.Nonces, c.Nonces, rawNonce))
		if err != nil || !bytes.Equal(s.combined[:], c.Expected) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	for _, c := range v.Errors {
		if _, err := fakeSession(key, [32]byte{}, pick(v.Nonces, c.Nonces, rawNonce)); !errors.Is(err, ErrNonce) {
			t.Errorf("%s: got %v", c.Comment, err)
		}
	}
	// Of one signer not even half a nonce may be missing, though an aggregate's may.
	half := rawNonce(v.Nonces[0])
	clear(half[33:])
	if _, err := fakeSession(key, [32]byte{}, []PubNonce{half, rawNonce(v.Nonces[1])}); !errors.Is(err, ErrNonce) {
		t.Errorf("a signer's nonce with the point at infinity: got %v", err)
	}
}

// signCase is a case of the vectors for Sign, PartialSigVerify and the tweaks.
type signCase struct {
	Keys     []int  `json:"key_indices"`
	Nonces   []int  `json:"nonce_indices"`
	Tweaks   []int  `json:"tweak_indices"`
	XOnly    []bool `json:"is_xonly"`
	Message  int    `json:"msg_index"`
	Signer   int    `json:"signer_index"`
	Sig      hexBytes
	Expected hexBytes
	Comment  string
}

func TestSigningVectorsOfBIP327(t *testing.T) {
	type file struct {
		SK        hexBytes
		PubKeys   []hexBytes
		SecNonces []hexBytes
		SecNonce  hexBytes
		Nonces    []hexBytes `json:"pnonces"`
		Tweaks    []hexBytes
		Messages  []hexBytes `json:"msgs"`
		Message   hexBytes   `json:"msg"`
		Valid     []signCase `json:"valid_test_cases"`
		Errors    []signCase `json:"error_test_cases"`
		Fail      []signCase `json:"verify_fail_test_cases"`
		VerifyErr []signCase `json:"verify_error_test_cases"`
	}
	for _, name := range []string{"bip327_sign_verify", "bip327_tweak"} {
		var v file
		loadVectors(t, name, &v)
		if v.SecNonce == nil {
			v.SecNonce = v.SecNonces[0]
		}
		session := func(c signCase) (*Session, error) {
			key, err := AggregateOrdered(pick(v.PubKeys, c.Keys, rawKey))
			if err == nil {
				key, err = tweaked(key, pick(v.Tweaks, c.Tweaks, func(b hexBytes) hexBytes { return b }), c.XOnly)
			}
			if err != nil {
				return nil, err
			}
			message := v.Message
			if message == nil {
				message = v.Messages[c.Message]
			}
			return fakeSession(key, [32]byte(message), pick(v.Nonces, c.Nonces, rawNonce))
		}
		skip := func(c signCase) bool { return v.Message == nil && len(v.Messages[c.Message]) != 32 }
		private, _ := btcec.PrivKeyFromBytes(v.SK)
		for i, c := range v.Valid {
			if skip(c) {
				continue
			}
			s, err := session(c)
			if err != nil {
				t.Fatal(name, i, err)
			}
			nonce := secret(v.SecNonce)
			sig, err := s.sign(private, &nonce)
			if err != nil || !bytes.Equal(sig[:], c.Expected) {
				t.Errorf("%s, case %d: got %x, %v", name, i, sig, err)
			}
			if err := s.Verify(s.key.list[c.Signer], sig); err != nil {
				t.Errorf("%s, case %d: %v", name, i, err)
			}
			if nonce != (secret{}) {
				t.Errorf("%s, case %d: the secret nonce is still there", name, i)
			}
		}
		for _, c := range append(v.Errors, v.VerifyErr...) {
			if _, err := session(c); err == nil {
				t.Errorf("%s: taken", c.Comment)
			}
		}
		for _, c := range v.Fail {
			s, err := session(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(s.key.list[c.Signer], Partial(c.Sig)); !errors.Is(err, ErrPartial) {
				t.Errorf("%s: got %v", c.Comment, err)
			}
		}
		if len(v.SecNonces) > 1 {
			s, _ := session(v.Valid[0])
			used := secret(v.SecNonces[1])
			if _, err := s.sign(private, &used); err == nil {
				t.Error("signed with a secret nonce of zeros")
			}
		}
	}
}

func TestSignatureVectorsOfBIP327(t *testing.T) {
	var v struct {
		PubKeys []hexBytes
		Nonces  []hexBytes `json:"pnonces"`
		Tweaks  []hexBytes
		Sigs    []hexBytes `json:"psigs"`
		Message hexBytes   `json:"msg"`
		Valid   []struct {
			signCase
			Partial []int `json:"psig_indices"`
		} `json:"valid_test_cases"`
		Errors []struct {
			signCase
			Partial []int `json:"psig_indices"`
		} `json:"error_test_cases"`
	}
	loadVectors(t, "bip327_sig_agg", &v)
	combine := func(c signCase, partial []int) ([64]byte, error) {
		key, err := AggregateOrdered(pick(v.PubKeys, c.Keys, rawKey))
		if err != nil {
			t.Fatal(err)
		}
		if key, err = tweaked(key, pick(v.Tweaks, c.Tweaks, func(b hexBytes) hexBytes { return b }), c.XOnly); err != nil {
			t.Fatal(err)
		}
		s, err := fakeSession(key, [32]byte(v.Message), pick(v.Nonces, c.Nonces, rawNonce))
		if err != nil {
			t.Fatal(err)
		}
		sigs := make(map[PubKey]Partial)
		for i, at := range partial {
			sigs[key.list[i]] = Partial(v.Sigs[at])
		}
		return s.Combine(sigs)
	}
	for i, c := range v.Valid {
		if sig, err := combine(c.signCase, c.Partial); err != nil || !bytes.Equal(sig[:], c.Expected) {
			t.Errorf("case %d: got %x, %v", i, sig, err)
		}
	}
	for _, c := range v.Errors {
		if _, err := combine(c.signCase, c.Partial); !errors.Is(err, ErrPartial) {
			t.Errorf("%s: got %v", c.Comment, err)
		}
	}
}

func TestVectorsOfBIP328(t *testing.T) {
	var v []struct {
		Aggregate hexBytes `json:"aggregate_pubkey"`
		Keys      []hexBytes
		XPub      string
	}
	loadVectors(t, "bip328", &v)
	if len(v) < 3 {
		t.Fatal(len(v))
	}
	version := [4]byte{0x04, 0x88, 0xb2, 0x1e}
	for i, c := range v {
		var keys []PubKey
		for _, b := range c.Keys {
			keys = append(keys, rawKey(b))
		}
		k, err := AggregateOrdered(keys)
		if err != nil {
			t.Fatal(err)
		}
		if p := k.Aggregated(); !bytes.Equal(p[:], c.Aggregate) || k.XPub(version) != c.XPub {
			t.Errorf("case %d: got %s, %s", i, p, k.XPub(version))
		}
		xpub, err := hdkeychain.NewKeyFromString(c.XPub)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []uint32{0, 1, 7, 1<<31 - 1} { // the children are those of BIP32
			if xpub, err = xpub.Derive(step); err != nil {
				t.Fatal(err)
			}
			if k, err = k.Derive(step); err != nil {
				t.Fatal(err)
			}
			if want, _ := xpub.ECPubKey(); k.Public() != pubKeyOf(want) {
				t.Errorf("case %d: child %d is %s, want %x", i, step, k.Public(), want.SerializeCompressed())
			}
		}
	}
}

// TestVectorsOfBIP390 takes those vectors that are a musig() of bare keys or of
// extended keys without a path: what musig() itself does.
func TestVectorsOfBIP390(t *testing.T) {
	key := func(s string) PubKey {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return rawKey(b)
	}
	one := []PubKey{key("02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"),
		key("03dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659"),
		key("023590a94e768f8e1815c2f24b4d80a8e3149316c3518ce7b7ad338368d038ca66")}
	var two []PubKey
	for _, s := range []string{
		"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
		"xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y"} {
		x, err := hdkeychain.NewKeyFromString(s)
		if err != nil {
			t.Fatal(err)
		}
		point, err := x.ECPubKey()
		if err != nil {
			t.Fatal(err)
		}
		two = append(two, pubKeyOf(point))
	}
	for _, c := range []struct {
		keys   []PubKey
		path   []uint32
		tr     bool
		output string
	}{
		{one, nil, false, "789d937bade6673538f3e28d8368dda4d0512f94da44cf477a505716d26a1575"},
		{one, nil, true, "79e6c3e628c9bfbce91de6b7fb28e2aec7713d377cf260ab599dcbc40e542312"},
		{two, []uint32{0, 0}, false, "9508c08832f3bb9d5e8baf8cb5cfa3669902e2f2da19acea63ff47b93faa9bfc"},
		{two, []uint32{0, 1}, false, "5ca1102663025a83dd9b5dbc214762c5a6309af00d48167d2d6483808525a298"},
		{two, []uint32{0, 2}, false, "7dbed1b89c338df6a1ae137f133a19cae6e03d481196ee6f1a5c7d1aeb56b166"},
	} {
		for range 2 { // in either order
			k, err := Aggregate(c.keys)
			if err == nil {
				k, err = k.Derive(c.path...)
			}
			if err == nil && c.tr {
				k, err = k.Taproot(nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if x := k.Public().XOnly(); hex.EncodeToString(x[:]) != c.output {
				t.Errorf("%v: got %x, want %s", c.path, x, c.output)
			}
			slices.Reverse(c.keys)
		}
	}
}

func TestAggregateRefusesHardenedSteps(t *testing.T) {
	k := mustAggregate(t, newPrivate(t), newPrivate(t))
	if _, err := k.Derive(0, hdkeychain.HardenedKeyStart); !errors.Is(err, ErrHardened) {
		t.Errorf("got %v", err)
	}
}

func newPrivate(t testing.TB) *btcec.PrivateKey {
	t.Helper()
	k, err := btcec.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func publicOf(private ...*btcec.PrivateKey) (keys []PubKey) {
	for _, p := range private {
		keys = append(keys, pubKeyOf(p.PubKey()))
	}
	return keys
}

func mustAggregate(t testing.TB, private ...*btcec.PrivateKey) *Key {
	t.Helper()
	k, err := Aggregate(publicOf(private...))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
