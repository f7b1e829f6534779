// Package message signs messages with the key of an address, and verifies that
// somebody did: BIP322 in its simple form, for Taproot outputs that are spent by
// key. It is pure, and reads no more than what it is given.
//
// A signature is the witness of a transaction that can never be in a block: it
// spends an output of another one, to_spend, that commits to the message and pays
// the address. In text it is base64. Some programs put "smp" in front, for
// simple, as newer drafts of the BIP ask for; that is read and not written, as
// most do not know it.
package message

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"lode/consensus"
)

// Kinds of errors of Verify.
var (
	ErrEncoding  = errors.New("not a signature of BIP322 in its simple form")
	ErrForm      = errors.New("not a signature by the key of a Taproot address")
	ErrSignature = errors.New("the signature is not by this address for this message")
)

// MaxMessage bounds messages that are signed, in bytes.
const MaxMessage = 1 << 20

// simplePrefix may stand before the base64 of a simple signature.
const simplePrefix = "smp"

// maxText bounds the text of a signature: base64 of a count, a length and 65 bytes.
const maxText = len(simplePrefix) + (2+65+2)/3*4

// Hash is the tagged hash of a message (BIP322: message_hash).
func Hash(message []byte) consensus.Hash {
	return consensus.TaggedHash("BIP0322-signed-message", message)
}

// toSpend pays the output key, and commits to the message.
func toSpend(key [32]byte, message []byte) *consensus.Tx {
	hash := Hash(message)
	return &consensus.Tx{
		In: []consensus.TxIn{{
			PrevOut:   consensus.OutPoint{Index: math.MaxUint32},
			ScriptSig: append([]byte{0x00, 0x20}, hash[:]...), // OP_0, and a push of 32 bytes
		}},
		Out: []consensus.TxOut{{Script: consensus.TaprootScript(key)}},
	}
}

// toSign spends to_spend.
func toSign(spend *consensus.Tx) *consensus.Tx {
	return &consensus.Tx{
		In:  []consensus.TxIn{{PrevOut: consensus.OutPoint{TxID: spend.TxID()}}},
		Out: []consensus.TxOut{{Script: []byte{0x6a}}}, // OP_RETURN
	}
}

// SigHash is what the output key of an address signs for a message. kind is
// SigHashDefault or SigHashAll: the BIP wants everything to be signed.
func SigHash(key [32]byte, message []byte, kind consensus.SigHashType) consensus.Hash {
	spend := toSpend(key, message)
	hash, _ := consensus.NewSigHasher(toSign(spend), spend.Out).SigHash(0, kind, nil)
	return hash
}

// Sign gives the signature of a message in base64. private is the key of the
// output, after its Taproot tweak: see OutputKey.
func Sign(private *btcec.PrivateKey, message []byte) (string, error) {
	if len(message) > MaxMessage {
		return "", fmt.Errorf("a message of %d bytes: want at most %d", len(message), MaxMessage)
	}
	hash := SigHash([32]byte(schnorr.SerializePubKey(private.PubKey())), message, consensus.SigHashDefault)
	var aux [32]byte
	if _, err := rand.Read(aux[:]); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	signature, err := schnorr.Sign(private, hash[:], schnorr.CustomNonce(aux))
	if err != nil {
		return "", fmt.Errorf("signing the message: %w", err)
	}
	return encode(signature.Serialize()), nil
}

// encode writes a witness of one element.
func encode(signature []byte) string {
	return base64.StdEncoding.EncodeToString(consensus.AppendVarBytes([]byte{1}, signature))
}

// OutputKey is the private key of the Taproot output that belongs to a private
// key alone, with no scripts (BIP86): itself, negated if its point has an odd y
// coordinate, plus the tweak (BIP341).
func OutputKey(internal *btcec.PrivateKey) (*btcec.PrivateKey, error) {
	public := internal.PubKey().SerializeCompressed()
	scalar := internal.Key
	if public[0] == 3 { // odd
		scalar.Negate()
	}
	tweak := consensus.TaggedHash("TapTweak", public[1:])
	var t btcec.ModNScalar
	if overflow := t.SetByteSlice(tweak[:]); overflow || scalar.Add(&t).IsZero() {
		return nil, errors.New("this key has no Taproot output")
	}
	return &btcec.PrivateKey{Key: scalar}, nil
}

// Verify fails unless the signature is of this message by the output key of an
// address. The error is of kind ErrEncoding or ErrForm where it cannot be a
// signature at all, and else of kind ErrSignature.
func Verify(key [32]byte, message []byte, signature string) error {
	sig, kind, err := decode(signature)
	if err != nil {
		return err
	}
	check := consensus.Signature{Key: key, Message: SigHash(key, message, kind), Sig: sig}
	if !check.Verify() {
		return ErrSignature
	}
	return nil
}

// decode reads a witness of one Schnorr signature over everything.
func decode(text string) (sig [64]byte, kind consensus.SigHashType, err error) {
	if len(text) > maxText {
		return sig, 0, fmt.Errorf("%w: it has %d characters, at most %d are possible", ErrEncoding, len(text), maxText)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(text, simplePrefix))
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder ignores
		return sig, 0, fmt.Errorf("%w: want base64", ErrEncoding)
	}
	switch {
	case len(b) == 2+64 && bytes.HasPrefix(b, []byte{1, 64}):
		return [64]byte(b[2:]), consensus.SigHashDefault, nil
	case len(b) == 2+65 && bytes.HasPrefix(b, []byte{1, 65}) && consensus.SigHashType(b[66]) == consensus.SigHashAll:
		return [64]byte(b[2:66]), consensus.SigHashAll, nil
	case len(b) == 65 && b[0] >= 27 && b[0] <= 42:
		return sig, 0, fmt.Errorf("%w: it has the form of Bitcoin's old signatures (BIP137), which Taproot addresses do not have", ErrForm)
	}
	return sig, 0, fmt.Errorf("%w: want one signature of 64 or 65 bytes over everything", ErrForm)
}
