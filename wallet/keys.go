package wallet

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	bip39 "github.com/tyler-smith/go-bip39"

	"lode/consensus"
	"lode/wallet/descriptor"
)

// purpose is the first step of every path here: single-key Taproot (BIP86).
const purpose = 86

// The two chains of keys below an account (BIP44).
const (
	ReceiveChain = 0 // addresses that are handed out
	ChangeChain  = 1 // addresses that the wallet pays its own change to
)

// KeyPath is a key of the account: the chain and the index in it.
type KeyPath struct{ Chain, Index uint32 }

// String gives "0/5".
func (p KeyPath) String() string { return fmt.Sprintf("%d/%d", p.Chain, p.Index) }

// MarshalText is String.
func (p KeyPath) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *KeyPath) UnmarshalText(text []byte) error {
	chain, index, _ := strings.Cut(string(text), "/")
	c, err1 := strconv.ParseUint(chain, 10, 32)
	i, err2 := strconv.ParseUint(index, 10, 31)
	*p = KeyPath{uint32(c), uint32(i)}
	if err1 != nil || err2 != nil || c > ChangeChain || p.String() != string(text) {
		return fmt.Errorf("%.20q is not the path of a key, such as 0/5", text)
	}
	return nil
}

// The versions of extended keys (BIP32). Coin type 1 is that of every test
// network (SLIP-44) and goes with tprv and tpub.
var (
	mainVersions = chaincfg.Params{HDPrivateKeyID: [4]byte{0x04, 0x88, 0xad, 0xe4}, HDPublicKeyID: [4]byte{0x04, 0x88, 0xb2, 0x1e}}
	testVersions = chaincfg.Params{HDPrivateKeyID: [4]byte{0x04, 0x35, 0x83, 0x94}, HDPublicKeyID: [4]byte{0x04, 0x35, 0x87, 0xcf}}
)

const testCoinType = 1

func versions(coinType uint32) *chaincfg.Params {
	if coinType == testCoinType {
		return &testVersions
	}
	return &mainVersions
}

// NewMnemonic makes the words of a new wallet: 12 (128 bits) or 24 (256 bits).
func NewMnemonic(words int) (string, error) {
	if words != 12 && words != 24 {
		return "", fmt.Errorf("%d words asked for: want 12 or 24", words)
	}
	entropy, err := bip39.NewEntropy(words / 3 * 32)
	if err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	return bip39.NewMnemonic(entropy)
}

// ErrMnemonic is the kind of every error of ParseMnemonic.
var ErrMnemonic = errors.New("not a usable mnemonic")

// ParseMnemonic checks words (BIP39, English) and gives them in lower case with
// single spaces. No error repeats a word: they are secret.
func ParseMnemonic(s string) (string, error) {
	words := strings.Fields(strings.ToLower(s))
	if n := len(words); n < 12 || n > 24 || n%3 != 0 {
		return "", fmt.Errorf("%w: it has %d words, want 12, 15, 18, 21 or 24", ErrMnemonic, n)
	}
	for i, w := range words {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return "", fmt.Errorf("%w: word %d is not in the English list of BIP39", ErrMnemonic, i+1)
		}
	}
	mnemonic := strings.Join(words, " ")
	if _, err := bip39.EntropyFromMnemonic(mnemonic); err != nil {
		return "", fmt.Errorf("%w: the checksum is wrong; look for a mistyped or swapped word", ErrMnemonic)
	}
	return mnemonic, nil
}

// Account is the public side of a wallet, m/86'/coin'/0' (BIP86): it makes
// every address and no signature.
type Account struct {
	Fingerprint [4]byte // of the master key (BIP32)
	CoinType    uint32
	xpub        *hdkeychain.ExtendedKey
	chains      [2]*hdkeychain.ExtendedKey
}

// signer is the private side.
type signer struct {
	account *hdkeychain.ExtendedKey
	public  *Account
}

// newSigner derives the account from words that ParseMnemonic has accepted.
func newSigner(mnemonic string, coinType uint32) (*signer, error) {
	seed := bip39.NewSeed(mnemonic, "")
	master, err := hdkeychain.NewMaster(seed, versions(coinType))
	if err != nil {
		return nil, fmt.Errorf("deriving the master key: %w", err)
	}
	defer master.Zero()
	key := master
	for _, step := range []uint32{purpose, coinType, 0} {
		if key, err = key.Derive(hdkeychain.HardenedKeyStart + step); err != nil {
			return nil, fmt.Errorf("deriving the account key: %w", err)
		}
	}
	first, err := master.Derive(hdkeychain.HardenedKeyStart) // any child names its parent
	if err != nil {
		return nil, fmt.Errorf("deriving the fingerprint: %w", err)
	}
	parent := first.ParentFingerprint()
	xpub, err := key.Neuter()
	if err != nil {
		return nil, fmt.Errorf("deriving the public account key: %w", err)
	}
	public, err := newAccount(xpub, [4]byte{byte(parent >> 24), byte(parent >> 16), byte(parent >> 8), byte(parent)}, coinType)
	if err != nil {
		return nil, err
	}
	return &signer{key, public}, nil
}

func newAccount(xpub *hdkeychain.ExtendedKey, fingerprint [4]byte, coinType uint32) (*Account, error) {
	a := &Account{Fingerprint: fingerprint, CoinType: coinType, xpub: xpub}
	for i := range a.chains {
		var err error
		if a.chains[i], err = xpub.Derive(uint32(i)); err != nil {
			return nil, fmt.Errorf("deriving chain %d of the account: %w", i, err)
		}
	}
	return a, nil
}

// ParseAccount reads what XPub and Fingerprint gave.
func ParseAccount(xpub, fingerprint string, coinType uint32) (*Account, error) {
	key, err := hdkeychain.NewKeyFromString(xpub)
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	if key.IsPrivate() || key.Depth() != 3 || !key.IsForNet(versions(coinType)) {
		return nil, errors.New("account key: want a public key of depth 3 with the version of this network")
	}
	fp, err := hex.DecodeString(fingerprint)
	if err != nil || len(fp) != 4 {
		return nil, fmt.Errorf("fingerprint %.20q: want 8 hex digits", fingerprint)
	}
	return newAccount(key, [4]byte(fp), coinType)
}

// XPub is the extended public key of the account (BIP32).
func (a *Account) XPub() string { return a.xpub.String() }

// AccountPath is the path of the account: m/86'/coin'/0'.
func (a *Account) AccountPath() string { return fmt.Sprintf("m/%d'/%d'/0'", purpose, a.CoinType) }

// Path is the full path of a key: m/86'/coin'/0'/0/5.
func (a *Account) Path(p KeyPath) string { return a.AccountPath() + "/" + p.String() }

// Descriptor describes all addresses of the account (BIP380, BIP386, BIP389),
// with its checksum.
func (a *Account) Descriptor() string {
	return descriptor.AddChecksum(fmt.Sprintf("tr([%x/%d'/%d'/0']%s/<0;1>/*)", a.Fingerprint, purpose, a.CoinType, a.XPub()))
}

// internalKey is the x coordinate of a key before its Taproot tweak.
func (a *Account) internalKey(p KeyPath) (key [32]byte, err error) {
	child, err := a.chains[p.Chain].Derive(p.Index)
	if err != nil {
		return key, fmt.Errorf("deriving key %s: %w", p, err)
	}
	pub, err := child.ECPubKey()
	if err != nil {
		return key, fmt.Errorf("deriving key %s: %w", p, err)
	}
	return [32]byte(schnorr.SerializePubKey(pub)), nil
}

// OutputKey is the Taproot output key of a key of the account: its internal key
// tweaked with no scripts (BIP86).
func (a *Account) OutputKey(p KeyPath) ([32]byte, error) {
	internal, err := a.internalKey(p)
	if err != nil {
		return internal, err
	}
	output, _, err := consensus.TweakKey(internal, nil)
	return output, err
}

// outputPrivateKey is the private key of OutputKey: the child's, negated if its
// point has an odd y coordinate, plus the tweak (BIP341).
func (s *signer) outputPrivateKey(p KeyPath) (*btcec.PrivateKey, error) {
	chain, err := s.account.Derive(p.Chain)
	if err != nil {
		return nil, fmt.Errorf("deriving chain %d: %w", p.Chain, err)
	}
	child, err := chain.Derive(p.Index)
	if err != nil {
		return nil, fmt.Errorf("deriving key %s: %w", p, err)
	}
	private, err := child.ECPrivKey()
	if err != nil {
		return nil, fmt.Errorf("deriving key %s: %w", p, err)
	}
	public := private.PubKey().SerializeCompressed()
	scalar := private.Key
	if public[0] == 3 { // odd
		scalar.Negate()
	}
	tweak := consensus.TaggedHash("TapTweak", public[1:])
	var t btcec.ModNScalar
	if overflow := t.SetByteSlice(tweak[:]); overflow {
		return nil, fmt.Errorf("key %s has no Taproot tweak", p)
	}
	return &btcec.PrivateKey{Key: *scalar.Add(&t)}, nil
}
