package musig

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/btcsuite/btcd/btcec/v2"
	"golang.org/x/crypto/chacha20poly1305"

	"lode/consensus"
	"lode/internal/atomicfile"
)

// nonceVersion is the version of the nonce files that this program writes.
const nonceVersion = 1

// tempPattern is what a nonce file is called until it is whole.
const tempPattern = ".nonce-*"

// maxNonceFile bounds what is read of one, in bytes.
const maxNonceFile = 4096

// nonceDoc is a nonce file. All but Sealed is no secret, and sealed with it.
type nonceDoc struct {
	Version     int                `json:"version"`
	Key         consensus.HexBytes `json:"key"`         // that the signature is for, 33 bytes
	Participant consensus.HexBytes `json:"participant"` // 33 bytes
	Message     consensus.HexBytes `json:"message"`     // that is signed, a signature hash of 32 bytes
	PubNonce    consensus.HexBytes `json:"pubnonce"`    // 66 bytes
	Anchor      identity           `json:"anchor"`
	Sealed      consensus.HexBytes `json:"sealed,omitempty"` // 24 bytes for the cipher, the sealed secret
}

// seal encrypts a secret nonce with a key that follows from the private key.
func (d *nonceDoc) seal(private *btcec.PrivateKey, nonce *secret) error {
	aead, bound, err := d.cipher(private)
	if err != nil {
		return err
	}
	d.Sealed = make([]byte, aead.NonceSize(), aead.NonceSize()+len(nonce)+aead.Overhead())
	if _, err := rand.Read(d.Sealed); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	d.Sealed = aead.Seal(d.Sealed, d.Sealed, nonce[:], bound)
	return nil
}

// open decrypts what seal made, if nothing in the file was changed.
func (d *nonceDoc) open(private *btcec.PrivateKey) (*secret, error) {
	aead, bound, err := d.cipher(private)
	if err != nil {
		return nil, err
	}
	n := aead.NonceSize()
	if len(d.Sealed) < n {
		return nil, errors.New("the sealed part is cut")
	}
	plain, err := aead.Open(nil, d.Sealed[:n], d.Sealed[n:], bound)
	if err != nil {
		return nil, errors.New("it was changed, or is sealed for another private key")
	}
	defer clear(plain)
	s := new(secret)
	if copy(s[:], plain) != len(s) || len(plain) != len(s) {
		return nil, errors.New("the sealed part has a wrong length")
	}
	return s, nil
}

// cipher gives the cipher and the text that it binds the secret to.
func (d *nonceDoc) cipher(private *btcec.PrivateKey) (aead sealer, bound []byte, err error) {
	plain := *d
	plain.Sealed = nil
	if bound, err = json.Marshal(plain); err != nil {
		return nil, nil, err
	}
	scalar := private.Key.Bytes()
	key := consensus.TaggedHash("lode/musig/nonce-file", scalar[:])
	clear(scalar[:])
	defer clear(key[:])
	aead, err = chacha20poly1305.NewX(key[:])
	return aead, bound, err
}

// sealer is a cipher that also authenticates (cipher.AEAD).
type sealer interface {
	NonceSize() int
	Overhead() int
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

// readNonce reads a nonce file. The kind of its errors is ErrNonceDamaged, or that
// there is none.
func readNonce(path string) (*nonceDoc, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxNonceFile+1))
	if err != nil {
		return nil, err
	}
	d, err := parseNonce(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNonceDamaged, path, err)
	}
	return d, nil
}

func parseNonce(b []byte) (*nonceDoc, error) {
	if len(b) > maxNonceFile {
		return nil, fmt.Errorf("more than %d bytes", maxNonceFile)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	d := new(nonceDoc)
	if err := dec.Decode(d); err != nil {
		return nil, errors.New("it is not the JSON object of a nonce")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("there is something behind its JSON object")
	}
	switch {
	case d.Version != nonceVersion:
		return nil, fmt.Errorf("version %d, this program knows %d", d.Version, nonceVersion)
	case len(d.Key) != 33 || len(d.Participant) != 33 || len(d.Message) != 32 || len(d.PubNonce) != 66:
		return nil, errors.New("a field has a wrong length")
	}
	return d, nil
}

// writeNonce writes a nonce file that is whole or not there, readable by its
// owner alone.
func writeNonce(path string, d *nonceDoc) (err error) {
	b, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return err
	}
	temp, err := atomicfile.WriteTemp(filepath.Dir(path), tempPattern, append(b, '\n'))
	if err != nil {
		return err
	}
	return atomicfile.Rename(temp, path)
}
