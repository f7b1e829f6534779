package wallet

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"lode/consensus"
	"lode/wallet/descriptor"
	"lode/wallet/musig"
	"lode/wallet/psbt"
)

// cosignerPurpose is the first step to keys of accounts of several owners (BIP87).
// They have none in common with the wallet's own accounts.
const cosignerPurpose = 87

// Cosigner has the private keys that the words lead to, for accounts of several
// owners. It is a musig.Owner.
type Cosigner struct {
	net         descriptor.Network
	coinType    uint32
	master      *hdkeychain.ExtendedKey // nil if the wallet has no words
	fingerprint [4]byte
	imported    []*descriptor.Descriptor // with private keys
}

// Cosigner reads the keys of a secret. It is to be closed.
func (s *Secret) Cosigner(spec *consensus.Spec) (*Cosigner, error) {
	c := &Cosigner{net: descriptor.NetworkOf(spec), coinType: s.CoinType}
	for _, text := range s.Descriptors {
		d, err := descriptor.Parse(text, c.net)
		if err != nil {
			return nil, err
		}
		c.imported = append(c.imported, d.Expand()...)
	}
	if s.Mnemonic == "" {
		return c, nil
	}
	var err error
	if c.master, err = s.master(c.net.Private); err != nil {
		return nil, err
	}
	public, err := c.master.ECPubKey()
	if err != nil {
		return nil, fmt.Errorf("deriving the fingerprint: %w", err)
	}
	c.fingerprint = [4]byte(address.Hash160(public.SerializeCompressed())[:4])
	return c, nil
}

// Close forgets the keys.
func (c *Cosigner) Close() {
	if c.master != nil {
		c.master.Zero()
	}
}

// derive is the key at a path below the master key.
func (c *Cosigner) derive(path []uint32) (*hdkeychain.ExtendedKey, error) {
	if c.master == nil {
		return nil, ErrNoWords
	}
	key := c.master
	for _, step := range path {
		next, err := key.Derive(step)
		if err != nil {
			return nil, fmt.Errorf("deriving a key of several owners: %w", err)
		}
		if key != c.master {
			key.Zero()
		}
		key = next
	}
	return key, nil
}

// Key is the public key for the others, with its origin:
// [fingerprint/87h/coin'/number']xpub.
func (c *Cosigner) Key(number uint32) (string, error) {
	if number > maxAccount {
		return "", fmt.Errorf("account %d: want at most %d", number, maxAccount)
	}
	origin := psbt.KeyOrigin{Path: []uint32{psbt.Hardened | cosignerPurpose, psbt.Hardened | c.coinType, psbt.Hardened | number}}
	key, err := c.derive(origin.Path)
	if err != nil {
		return "", err
	}
	defer key.Zero()
	public, err := key.Neuter()
	if err != nil {
		return "", err
	}
	if public, err = public.CloneWithVersion(c.net.Public[:]); err != nil {
		return "", err
	}
	return fmt.Sprintf("[%x%s]%s", c.fingerprint, origin.PathString()[1:], public), nil
}

// maxOriginSteps bounds what is derived because a PSBT says so.
const maxOriginSteps = 32

// Private finds the private key of a participant, where a PSBT says that it comes
// from, or among the descriptors that were imported. What the PSBT says is checked.
func (c *Cosigner) Private(p musig.PubKey, origins []psbt.KeyOrigin) (*btcec.PrivateKey, bool, error) {
	for _, from := range origins {
		if private, ok, err := c.fromWords(p, from); ok || err != nil {
			return private, ok, err
		}
		if private, ok := c.fromImported(p, from); ok {
			return private, true, nil
		}
	}
	return nil, false, nil
}

func (c *Cosigner) fromWords(p musig.PubKey, from psbt.KeyOrigin) (*btcec.PrivateKey, bool, error) {
	if c.master == nil || from.Fingerprint != c.fingerprint || len(from.Path) > maxOriginSteps {
		return nil, false, nil
	}
	key, err := c.derive(from.Path)
	if err != nil {
		return nil, false, err
	}
	private, err := key.ECPrivKey()
	if key != c.master {
		key.Zero()
	}
	if err != nil {
		return nil, false, err
	}
	if musig.PubKey(private.PubKey().SerializeCompressed()) != p {
		private.Zero()
		return nil, false, nil
	}
	return private, true, nil
}

// fromImported looks at descriptors of several owners with a private key. Where
// participants have an index, it is the last step of their path.
func (c *Cosigner) fromImported(p musig.PubKey, from psbt.KeyOrigin) (*btcec.PrivateKey, bool) {
	index := uint32(0)
	if n := len(from.Path); n > 0 && from.Path[n-1] < psbt.Hardened {
		index = from.Path[n-1]
	}
	for _, d := range c.imported {
		m, ok, err := d.MuSig(index)
		if !ok || err != nil {
			continue
		}
		for i, public := range m.Participants {
			if m.Private[i] != nil && musig.PubKey(public.SerializeCompressed()) == p {
				return &btcec.PrivateKey{Key: m.Private[i].Key}, true
			}
		}
	}
	return nil, false
}

// Cosign does what is due for the inputs of a PSBT that several owners sign, of
// whom this wallet is one. It is no error if there are none.
func (f Files) Cosign(spec *consensus.Spec, s *Secret, p *psbt.Packet) error {
	keys, err := s.Cosigner(spec)
	if err != nil {
		return err
	}
	defer keys.Close()
	signer := &musig.Signer{Owner: keys, Store: f.Nonces()}
	if _, err = signer.Step(p); errors.Is(err, musig.ErrNothing) || errors.Is(err, musig.ErrNotOurs) {
		return nil
	}
	return err
}

// Nonces is where the secret nonces of the wallet wait between two rounds.
func (f Files) Nonces() *musig.Store { return musig.NewStore(musig.DirOf(filepath.Dir(f.Secret))) }
