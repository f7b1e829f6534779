package wallet

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
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

// The versions of Bitcoin's extended public keys (BIP32). Coin type 1 is that of
// every test network (SLIP-44).
var (
	bitcoinMain = [4]byte{0x04, 0x88, 0xb2, 0x1e}
	bitcoinTest = [4]byte{0x04, 0x35, 0x87, 0xcf}
)

const testCoinType = 1

func bitcoinVersion(coinType uint32) [4]byte {
	if coinType == testCoinType {
		return bitcoinTest
	}
	return bitcoinMain
}

// Account is the public side of an account of the words, m/86'/coin'/number'
// (BIP86): it makes every address and no signature.
type Account struct {
	Number      uint32
	Fingerprint [4]byte // of the master key (BIP32)
	CoinType    uint32
	xpub        *hdkeychain.ExtendedKey
	whole       *descriptor.Descriptor
	chains      []*descriptor.Descriptor
}

// master is the key that all others come from (BIP32).
func (s *Secret) master(private [4]byte) (*hdkeychain.ExtendedKey, error) {
	seed := bip39.NewSeed(s.Mnemonic, s.Extra)
	defer clear(seed)
	master, err := hdkeychain.NewMaster(seed, &chaincfg.Params{HDPrivateKeyID: private})
	if err != nil {
		return nil, fmt.Errorf("deriving the master key: %w", err)
	}
	return master, nil
}

// ErrNoWords is the kind of the error for a wallet without words.
var ErrNoWords = errors.New("the wallet has no words: it is made of descriptors")

// accountDescriptor is the private descriptor of an account.
func (s *Secret) accountDescriptor(net descriptor.Network, number uint32) (string, error) {
	if s.Mnemonic == "" {
		return "", ErrNoWords
	}
	master, err := s.master(net.Private)
	if err != nil {
		return "", err
	}
	defer master.Zero()
	key := master
	for _, step := range []uint32{purpose, s.CoinType, number} {
		if key, err = key.Derive(hdkeychain.HardenedKeyStart + step); err != nil {
			return "", fmt.Errorf("deriving the account key: %w", err)
		}
		defer key.Zero()
	}
	public, err := master.ECPubKey()
	if err != nil {
		return "", fmt.Errorf("deriving the fingerprint: %w", err)
	}
	fingerprint := address.Hash160(public.SerializeCompressed())[:4]
	return fmt.Sprintf("tr([%x/%dh/%dh/%dh]%s/<0;1>/*)", fingerprint, purpose, s.CoinType, number, key), nil
}

// account derives the public side of an account.
func (s *Secret) account(spec *consensus.Spec, number uint32) (*Account, error) {
	net := descriptor.NetworkOf(spec)
	text, err := s.accountDescriptor(net, number)
	if err != nil {
		return nil, err
	}
	d, err := descriptor.Parse(text, net)
	if err != nil {
		return nil, err
	}
	return newAccount(d.Public(), number, s.CoinType)
}

// newAccount reads tr([fingerprint/86h/coin'/number']KEY/<0;1>/*).
func newAccount(d *descriptor.Descriptor, number, coinType uint32) (*Account, error) {
	origins, err := d.Expand()[0].Origins(0)
	if err != nil {
		return nil, err
	}
	a := &Account{Number: number, Fingerprint: origins[0].Fingerprint, CoinType: coinType, xpub: d.RootKey(), whole: d, chains: d.Expand()}
	if len(a.chains) != 2 || a.xpub == nil {
		return nil, errors.New("an account is not what a wallet makes")
	}
	return a, nil
}

// accountOf is the account of a source.
func accountOf(s *source, spec *consensus.Spec) (*Account, error) {
	return newAccount(s.whole, *s.Account, spec.Defaults.CoinType)
}

// ParseAccount reads what XPub and Fingerprint gave of account 0, with the versions
// of this network or, as wallets of before had them, of Bitcoin.
func ParseAccount(xpub, fingerprint string, spec *consensus.Spec) (*Account, error) {
	key, err := hdkeychain.NewKeyFromString(xpub)
	if err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	coinType, net := spec.Defaults.CoinType, descriptor.NetworkOf(spec)
	version := [4]byte(key.Version())
	if key.IsPrivate() || key.Depth() != 3 || version != net.Public && version != bitcoinVersion(coinType) {
		return nil, errors.New("account key: want a public key of depth 3 with the version of this network")
	}
	if key, err = key.CloneWithVersion(net.Public[:]); err != nil {
		return nil, fmt.Errorf("account key: %w", err)
	}
	d, err := descriptor.Parse(fmt.Sprintf("tr([%s/%dh/%dh/0h]%s/<0;1>/*)", fingerprint, purpose, coinType, key), net)
	if err != nil {
		return nil, err
	}
	return newAccount(d, 0, coinType)
}

// sourceDoc is how the watch file has a new account.
func (a *Account) sourceDoc() *sourceDoc {
	return &sourceDoc{Descriptor: a.Descriptor(), Account: &a.Number, Active: [2]bool{true, true}}
}

// XPub is the extended public key of the account (BIP32).
func (a *Account) XPub() string { return a.xpub.String() }

// bitcoinXPub is XPub with Bitcoin's version.
func (a *Account) bitcoinXPub() string {
	version := bitcoinVersion(a.CoinType)
	key, err := a.xpub.CloneWithVersion(version[:])
	if err != nil {
		panic("wallet: " + err.Error())
	}
	return key.String()
}

// AccountPath is the path of the account: m/86'/coin'/0'.
func (a *Account) AccountPath() string {
	return fmt.Sprintf("m/%d'/%d'/%d'", purpose, a.CoinType, a.Number)
}

// Descriptor describes all addresses of the account (BIP380, BIP386, BIP389),
// with its checksum.
func (a *Account) Descriptor() string { return a.whole.String() }

// OutputKey is the Taproot output key of a key of the account: its internal key
// tweaked with no scripts (BIP86).
func (a *Account) OutputKey(p KeyPath) ([32]byte, error) { return a.chains[p.Chain].OutputKey(p.Index) }

// outputPrivateKey is the private key of an output (BIP341).
func (s *signer) outputPrivateKey(id KeyID) (*btcec.PrivateKey, error) {
	if id.IsSilent() {
		return s.silentPrivateKey(id)
	}
	d, err := s.descriptor(id)
	if err != nil {
		return nil, err
	}
	key, err := d.OutputPrivateKey(id.Index)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", id, err)
	}
	return key, nil
}
