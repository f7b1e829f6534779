package wallet

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	bip39 "github.com/tyler-smith/go-bip39"

	"golang.org/x/text/unicode/norm"

	"lode/consensus"
	"lode/wallet/descriptor"
)

const testWords = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"

// TestBIP86 checks the vectors of BIP86, which are for Bitcoin: coin type 0 and
// prefix bc.
func TestBIP86(t *testing.T) {
	net := descriptor.Network{AddressPrefix: "bc", Private: [4]byte{0x04, 0x88, 0xad, 0xe4}, Public: bitcoinMain, WIF: 0x80}
	text, err := (&Secret{Mnemonic: testWords}).accountDescriptor(net, 0)
	if err != nil {
		t.Fatal(err)
	}
	const xprv = "xprv9xgqHN7yz9MwCkxsBPN5qetuNdQSUttZNKw1dcYTV4mkaAFiBVGQziHs3NRSWMkCzvgjEe3n9xV8oYywvM8at9yRqyaZVz6TYYhX98VjsUk"
	if want := "tr([73c5da0a/86h/0h/0h]" + xprv + "/<0;1>/*)"; text != want {
		t.Errorf("account %s, want %s", text, want)
	}
	d, err := descriptor.Parse(text, net)
	if err != nil {
		t.Fatal(err)
	}
	account, err := newAccount(d.Public(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	const xpub = "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ"
	if got := account.XPub(); got != xpub {
		t.Errorf("account key %s, want %s", got, xpub)
	}
	for _, c := range []struct {
		path                      KeyPath
		internal, output, address string
	}{
		{KeyPath{0, 0}, "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115", "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c",
			"bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"},
		{KeyPath{0, 1}, "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145", "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb",
			"bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"},
		{KeyPath{1, 0}, "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef", "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc",
			"bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"},
	} {
		chain := d.Expand()[c.path.Chain]
		internal, err := chain.InternalKey(c.path.Index)
		if err != nil {
			t.Fatal(err)
		}
		output, err := account.OutputKey(c.path)
		if err != nil {
			t.Fatal(err)
		}
		private, err := chain.OutputPrivateKey(c.path.Index)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(internal.SerializeCompressed()[1:]); got != c.internal {
			t.Errorf("%s: internal key %s, want %s", c.path, got, c.internal)
		}
		if got := hex.EncodeToString(output[:]); got != c.output {
			t.Errorf("%s: output key %s, want %s", c.path, got, c.output)
		}
		if got := hex.EncodeToString(private.PubKey().SerializeCompressed()[1:]); got != c.output {
			t.Errorf("%s: the private key is of %s, want %s", c.path, got, c.output)
		}
		if got := consensus.Address("bc", output); got != c.address {
			t.Errorf("%s: address %s, want %s", c.path, got, c.address)
		}
	}
}

// TestAccountOfEveryNetwork: the key of an account is read back, with the versions
// of its network and with those that wallets of before wrote, and no others.
func TestAccountOfEveryNetwork(t *testing.T) {
	for name, want := range map[string]string{"main": "Lpub", "testnet": "tpub", "regtest": "tpub"} {
		spec, err := consensus.EmbeddedSpec(name)
		if err != nil {
			t.Fatal(err)
		}
		secret := newSecret(spec, testWords, "")
		account, err := secret.account(spec, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(account.XPub(), want) {
			t.Errorf("%s: %.4s, want %s", name, account.XPub(), want)
		}
		for _, text := range []string{account.XPub(), account.bitcoinXPub()} {
			again, err := ParseAccount(text, "73c5da0a", spec)
			if err != nil || again.Descriptor() != account.Descriptor() {
				t.Errorf("%s: %.4s is read as %v, %v", name, text, again, err)
			}
		}
		other := map[string]string{"main": "regtest", "testnet": "main", "regtest": "main"}[name]
		if foreign, err := consensus.EmbeddedSpec(other); err != nil {
			t.Fatal(err)
		} else if _, err := ParseAccount(account.XPub(), "73c5da0a", foreign); err == nil {
			t.Errorf("an account key of %s passed on %s", name, other)
		}
		private, err := secret.accountDescriptor(descriptor.NetworkOf(spec), 0)
		if err != nil {
			t.Fatal(err)
		}
		key := strings.TrimSuffix(private[strings.Index(private, "]")+1:], "/<0;1>/*)")
		if _, err := ParseAccount(key, "73c5da0a", spec); err == nil {
			t.Error("a private account key passed")
		}
	}
}

// TestBIP39 checks the vectors that BIP39 names, English and Japanese: from the
// words, however they are written, to the master key.
func TestBIP39(t *testing.T) {
	b, err := os.ReadFile("testdata/bip39.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Mnemonic, Passphrase, Seed, Xprv string }
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	regtest := spec(t, "regtest")
	for _, c := range list {
		words, err := ParseMnemonic(c.Mnemonic)
		if err != nil {
			t.Errorf("%s: %v", c.Mnemonic, err)
			continue
		}
		secret := newSecret(regtest, words, c.Passphrase)
		if got := hex.EncodeToString(bip39.NewSeed(secret.Mnemonic, secret.Extra)); got != c.Seed {
			t.Errorf("%s: seed %s, want %s", c.Mnemonic, got, c.Seed)
		}
		master, err := secret.master([4]byte{0x04, 0x88, 0xad, 0xe4})
		if err != nil || master.String() != c.Xprv {
			t.Errorf("%s: master key %s, %v, want %s", c.Mnemonic, master, err, c.Xprv)
		}
	}
}

// TestWordsOfEveryList: each list of BIP39 is read, with its marks composed or not,
// and a word of another one is named by its place.
func TestWordsOfEveryList(t *testing.T) {
	lists := wordLists()
	if len(lists) != 10 {
		t.Fatalf("%d lists", len(lists))
	}
	for _, l := range lists {
		if len(l.index) != 2048 {
			t.Errorf("%s has %d words", l.name, len(l.index))
		}
		byIndex := make([]string, 2048)
		for word, i := range l.index {
			byIndex[i] = word
		}
		words := slices.Repeat(byIndex[700:701], 12)
		for _, last := range byIndex { // one in sixteen has the checksum
			if words[11] = last; l.checksum(words) {
				break
			}
		}
		want := strings.Join(words, " ")
		for _, text := range []string{want, norm.NFC.String(want), strings.Join(words, "\u3000")} {
			if got, err := ParseMnemonic(text); err != nil || got != want {
				t.Errorf("%s: %v", l.name, err)
			}
		}
		words[4] = "secretword"
		if _, err := ParseMnemonic(strings.Join(words, " ")); !errors.Is(err, ErrMnemonic) || !strings.Contains(err.Error(), "word 5 is not in the ") {
			t.Errorf("%s: %v", l.name, err)
		}
	}
}

func TestParseMnemonic(t *testing.T) {
	for _, words := range []int{12, 24} {
		m, err := NewMnemonic(words)
		if err != nil || len(strings.Fields(m)) != words {
			t.Fatalf("%d words asked for, got %d, %v", words, len(strings.Fields(m)), err)
		}
		if got, err := ParseMnemonic("  " + strings.ToUpper(strings.ReplaceAll(m, " ", " \n\t")) + "\n"); err != nil || got != m {
			t.Errorf("the same words in another dress: %v", err)
		}
	}
	for name, c := range map[string]struct{ words, want string }{
		"empty":          {"", "0 words"},
		"eleven":         {strings.Repeat("abandon ", 11), "11 words"},
		"thirteen":       {strings.Repeat("abandon ", 13), "13 words"},
		"unknown word":   {strings.Replace(testWords, "about", "secretword", 1), "word 12"},
		"wrong checksum": {strings.Repeat("abandon ", 12), "checksum"},
	} {
		_, err := ParseMnemonic(c.words)
		if !errors.Is(err, ErrMnemonic) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secretword") {
			t.Errorf("%s: the error shows a word", name)
		}
	}
	if _, err := NewMnemonic(13); err == nil {
		t.Error("13 words were made")
	}
}

func TestKeyPathText(t *testing.T) {
	var p KeyPath
	if err := p.UnmarshalText([]byte("1/2147483647")); err != nil || p != (KeyPath{1, 2147483647}) {
		t.Errorf("got %v, %v", p, err)
	}
	for _, bad := range []string{"", "0", "0/", "/0", "2/0", "0/2147483648", "0/-1", "00/1", "0/01", "0/1/2", " 0/1"} {
		if err := p.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q passed as %v", bad, p)
		}
	}
}
