package wallet

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"golang.org/x/text/unicode/norm"

	"lode/consensus"
)

// DefaultWorkFactor is the base-2 logarithm of the scrypt work that opening a
// secret file takes: about a second, as the age tool has it.
const DefaultWorkFactor = 18

// maxWorkFactor bounds what a secret file may make this program do: 2^22 is
// about fifteen seconds and 4 GiB.
const maxWorkFactor = 22

// maxSecretSize bounds what is read of a secret file, in bytes.
const maxSecretSize = 1 << 16

// The versions of secrets. What needs no more than words is written as version 1,
// so that older programs read it.
const (
	secretVersion      = 2
	secretVersionWords = 1
)

// Kinds of errors of secret files.
var (
	ErrPassphrase = errors.New("wrong passphrase")
	ErrEmpty      = errors.New("the passphrase is empty")
	ErrDamaged    = errors.New("damaged")
	ErrNetwork    = errors.New("a wallet of another network")
)

// Secret is what the passphrase protects.
type Secret struct {
	Version  int    `json:"version"`
	Network  string `json:"network"`
	CoinType uint32 `json:"coin_type"`
	Mnemonic string `json:"mnemonic,omitempty"` // the words; NFKD, single spaces
	// Since version 2:
	Extra       string             `json:"mnemonic_passphrase,omitempty"` // of BIP39; NFKD
	Descriptors []string           `json:"descriptors,omitempty"`         // that were imported, with private keys
	Identity    consensus.HexBytes `json:"identity,omitempty"`            // of a wallet without words, in its watch file too
}

func newSecret(spec *consensus.Spec, mnemonic, extra string) *Secret {
	s := &Secret{Network: spec.Name, CoinType: spec.Defaults.CoinType, Mnemonic: mnemonic, Extra: norm.NFKD.String(extra)}
	if mnemonic == "" {
		s.Identity = make([]byte, 32)
		rand.Read(s.Identity) // which never fails
	}
	return s
}

// seal encrypts s with a passphrase.
func (s *Secret) seal(passphrase string, workFactor int) ([]byte, error) {
	if passphrase == "" {
		return nil, ErrEmpty
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("preparing the passphrase: %w", err)
	}
	recipient.SetWorkFactor(workFactor)
	plain, err := s.encode()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err == nil {
		if _, err = w.Write(plain); err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("encrypting the words: %w", err)
	}
	return out.Bytes(), nil
}

func (s *Secret) encode() ([]byte, error) {
	if s.Version = secretVersion; s.Mnemonic != "" && s.Extra == "" && len(s.Descriptors) == 0 {
		s.Version = secretVersionWords
	}
	return json.Marshal(s)
}

// sealPlain encodes s without encryption: for coins of no value, see
// CreateOptions.Plain.
func (s *Secret) sealPlain() ([]byte, error) {
	b, err := s.encode()
	return append(b, '\n'), err
}

// isPlain reports whether a secret file is as sealPlain made it.
func isPlain(sealed []byte) bool { return len(sealed) > 0 && sealed[0] == '{' }

// IsPlain reports whether the secret file has no passphrase. It is false if there
// is none.
func (f Files) IsPlain() (bool, error) {
	b, err := readFile(f.Secret, maxSecretSize)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return isPlain(b), err
}

// openSecret decrypts what seal made, or reads what sealPlain made.
func openSecret(sealed []byte, passphrase string) (*Secret, error) {
	if isPlain(sealed) {
		return parseSecret(sealed)
	}
	if passphrase == "" {
		return nil, ErrEmpty
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("preparing the passphrase: %w", err)
	}
	identity.SetMaxWorkFactor(maxWorkFactor)
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, ErrPassphrase
	}
	var plain []byte
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(r, maxSecretSize))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer clear(plain)
	return parseSecret(plain)
}

// parseSecret reads the JSON of a secret.
func parseSecret(plain []byte) (s *Secret, err error) {
	s = new(Secret)
	if err := json.Unmarshal(plain, s); err != nil {
		return nil, fmt.Errorf("%w: what is in it is not a wallet", ErrDamaged)
	}
	if s.Version != secretVersion && s.Version != secretVersionWords {
		return nil, fmt.Errorf("it has version %d, this program knows 1 and %d: use the program that made it", s.Version, secretVersion)
	}
	if s.Mnemonic == "" && s.Version == secretVersion {
		return s, nil
	}
	if s.Mnemonic, err = ParseMnemonic(s.Mnemonic); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}

// OpenSecret decrypts the secret file of a wallet of this network.
func (f Files) OpenSecret(spec *consensus.Spec, passphrase string) (*Secret, error) {
	sealed, err := readFile(f.Secret, maxSecretSize)
	if err != nil {
		return nil, f.missing(err)
	}
	s, err := openSecret(sealed, passphrase)
	if err != nil {
		return nil, fmt.Errorf("wallet %s: %w", f.Secret, err)
	}
	if s.Network != spec.Name || s.CoinType != spec.Defaults.CoinType {
		return nil, fmt.Errorf("wallet %s: %w: it was made for %q, want %q", f.Secret, ErrNetwork, s.Network, spec.Name)
	}
	return s, nil
}

// ChangePassphrase encrypts the secret file anew.
func (f Files) ChangePassphrase(s *Secret, passphrase string, workFactor int) error {
	sealed, err := s.seal(passphrase, workFactor)
	if err != nil {
		return err
	}
	return writeFile(f.Secret, sealed)
}

// WriteSecret replaces the secret file by one with the same passphrase, or with none
// if it has none.
func (f Files) WriteSecret(s *Secret, passphrase string, workFactor int) error {
	plain, err := f.IsPlain()
	if err != nil {
		return err
	}
	if !plain {
		return f.ChangePassphrase(s, passphrase, workFactor)
	}
	b, err := s.sealPlain()
	if err != nil {
		return err
	}
	defer clear(b)
	return writeFile(f.Secret, b)
}

// missing says what to do about a file of the wallet that is not there.
func (f Files) missing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w at %s: make one with `lode wallet create`, or say which with --name; `lode wallet list` lists them", ErrNoWallet, f.Secret)
	}
	return err
}
