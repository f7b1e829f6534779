package psbt

import (
	"encoding/binary"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/ecdsa"

	"lode/consensus"
)

// Types of the global map.
const (
	GlobalUnsignedTx       = 0x00 // version 0
	GlobalXPub             = 0x01
	GlobalTxVersion        = 0x02 // version 2, as the next four
	GlobalFallbackLockTime = 0x03
	GlobalInputCount       = 0x04
	GlobalOutputCount      = 0x05
	GlobalTxModifiable     = 0x06
	GlobalSilentShare      = 0x07 // BIP375
	GlobalSilentProof      = 0x08 // BIP375
	GlobalVersion          = 0xfb
	Proprietary            = 0xfc // of every map
)

// Types of the maps of inputs.
const (
	InNonWitnessUTXO       = 0x00
	InWitnessUTXO          = 0x01
	InPartialSig           = 0x02
	InSigHash              = 0x03
	InRedeemScript         = 0x04
	InWitnessScript        = 0x05
	InDerivation           = 0x06
	InFinalScriptSig       = 0x07
	InFinalWitness         = 0x08
	InRIPEMD160            = 0x0a
	InSHA256               = 0x0b
	InHash160              = 0x0c
	InHash256              = 0x0d
	InPrevTxID             = 0x0e // version 2, as the next four
	InOutputIndex          = 0x0f
	InSequence             = 0x10
	InRequiredTime         = 0x11
	InRequiredHeight       = 0x12
	InTapKeySig            = 0x13 // BIP371, as the next five
	InTapScriptSig         = 0x14
	InTapLeafScript        = 0x15
	InTapDerivation        = 0x16
	InTapInternalKey       = 0x17
	InTapMerkleRoot        = 0x18
	InMuSigParticipants    = 0x1a // BIP373, as the next two
	InMuSigPubNonce        = 0x1b
	InMuSigPartialSig      = 0x1c
	InSilentShare          = 0x1d // BIP375
	InSilentProof          = 0x1e // BIP375
	lockTimeThreshold      = 500_000_000
	muSigPubNonceSize      = 66
	compressedSize         = 33
	maxTapDepth            = 128
	tapLeafVersionReserved = 0x01
)

// Types of the maps of outputs.
const (
	OutRedeemScript      = 0x00
	OutWitnessScript     = 0x01
	OutDerivation        = 0x02
	OutAmount            = 0x03 // version 2
	OutScript            = 0x04 // version 2
	OutTapInternalKey    = 0x05 // BIP371, as the next two
	OutTapTree           = 0x06
	OutTapDerivation     = 0x07
	OutMuSigParticipants = 0x08 // BIP373
	OutSilentInfo        = 0x09 // BIP375
	OutSilentLabel       = 0x0a // BIP375
)

// presence says whether a field may be in a version.
type presence uint8

const (
	allowed presence = iota
	required
	forbidden
)

// field is what is known of a type. Reasons are in the words of Bitcoin Core,
// which tools match on.
type field struct {
	name      string // what a second one of it is called
	v0, v2    presence
	keyReason string                         // why the data of a key is refused
	key       func(n int) bool               // whether its length is right; nil: there must be none
	check     func(key, value []byte) string // a reason, or nothing
}

func (f *field) in(version uint32) presence {
	if version == 0 {
		return f.v0
	}
	return f.v2
}

const sizeReason = "Size of value was not the stated size"

func length(sizes ...int) func(int) bool {
	return func(n int) bool {
		for _, size := range sizes {
			if n == size {
				return true
			}
		}
		return false
	}
}

// size wants a value of so many bytes.
func size(want int) func(key, value []byte) string {
	return func(_, value []byte) string {
		if len(value) != want {
			return sizeReason
		}
		return ""
	}
}

var globalFields = map[uint64]field{
	GlobalUnsignedTx: {name: "unsigned tx", v0: required, v2: forbidden, keyReason: "Global unsigned tx key is more than one byte type"},
	GlobalXPub: {name: "global xpub", key: length(78), keyReason: "Size of key was not the expected size for the type global xpub",
		check: func(key, value []byte) string {
			if !validKey(key[45:]) {
				return "Invalid pubkey"
			}
			return checkOrigin(value)
		}},
	GlobalTxVersion:        {name: "tx version", v0: forbidden, v2: required, check: size(4)},
	GlobalFallbackLockTime: {name: "fallback locktime", v0: forbidden, check: size(4)},
	GlobalInputCount:       {name: "input count", v0: forbidden, v2: required, check: checkCount},
	GlobalOutputCount:      {name: "output count", v0: forbidden, v2: required, check: checkCount},
	GlobalTxModifiable:     {name: "tx modifiable flags", v0: forbidden, check: size(1)},
	GlobalSilentShare:      {name: "silent payment share", v0: forbidden, key: length(compressedSize), keyReason: "Silent payment share key is not 34 bytes", check: size(compressedSize)},
	GlobalSilentProof:      {name: "silent payment proof", v0: forbidden, key: length(compressedSize), keyReason: "Silent payment proof key is not 34 bytes", check: size(64)},
	GlobalVersion:          {name: "version", v2: required, keyReason: "Global version key is more than one byte type", check: size(4)},
	Proprietary:            proprietary,
}

var proprietary = field{name: "proprietary key", key: func(int) bool { return true }, check: func(key, _ []byte) string {
	d := consensus.NewDecoder(key)
	d.VarBytes()
	d.CompactSize()
	if d.Err() != nil {
		return "Proprietary key is cut short"
	}
	return ""
}}

var inputFields = map[uint64]field{
	InNonWitnessUTXO: {name: "input non-witness utxo", keyReason: "Non-witness utxo key is more than one byte type", check: func(_, value []byte) string {
		if _, err := consensus.DecodeTx(value); err != nil {
			return "Non-witness UTXO is not a transaction: " + err.Error()
		}
		return ""
	}},
	InWitnessUTXO: {name: "input witness utxo", keyReason: "Witness utxo key is more than one byte type", check: func(_, value []byte) string {
		if _, ok := decodeTxOut(value); !ok {
			return sizeReason
		}
		return ""
	}},
	InPartialSig:     {name: "input partial signature for pubkey", key: length(33, 65), keyReason: "Size of key was not the expected size for the type partial signature pubkey", check: checkPartialSig},
	InSigHash:        {name: "input sighash type", keyReason: "Sighash type key is more than one byte type", check: size(4)},
	InRedeemScript:   {name: "input redeemScript", keyReason: "Input redeemScript key is more than one byte type"},
	InWitnessScript:  {name: "input witnessScript", keyReason: "Input witnessScript key is more than one byte type"},
	InDerivation:     derivation,
	InFinalScriptSig: {name: "input final scriptSig", keyReason: "Final scriptSig key is more than one byte type"},
	InFinalWitness: {name: "input final scriptWitness", keyReason: "Final scriptWitness key is more than one byte type", check: func(_, value []byte) string {
		if _, ok := decodeWitness(value); !ok {
			return sizeReason
		}
		return ""
	}},
	InRIPEMD160:   preimage("ripemd160", 20),
	InSHA256:      preimage("sha256", 32),
	InHash160:     preimage("hash160", 20),
	InHash256:     preimage("hash256", 32),
	InPrevTxID:    {name: "input previous txid", v0: forbidden, v2: required, check: size(32)},
	InOutputIndex: {name: "input output index", v0: forbidden, v2: required, check: size(4)},
	InSequence:    {name: "input sequence", v0: forbidden, check: size(4)},
	InRequiredTime: {name: "input required time locktime", v0: forbidden, check: func(_, value []byte) string {
		if len(value) == 4 && binary.LittleEndian.Uint32(value) < lockTimeThreshold {
			return "Required time locktime is a height"
		}
		return size(4)(nil, value)
	}},
	InRequiredHeight: {name: "input required height locktime", v0: forbidden, check: func(_, value []byte) string {
		if len(value) == 4 && (binary.LittleEndian.Uint32(value) >= lockTimeThreshold || binary.LittleEndian.Uint32(value) == 0) {
			return "Required height locktime is zero or a time"
		}
		return size(4)(nil, value)
	}},
	InTapKeySig: {name: "input Taproot key signature", keyReason: "Input Taproot key signature key is more than one byte type",
		check: checkSchnorr("Input Taproot key path signature")},
	InTapScriptSig: {name: "input Taproot script signature", key: length(64), keyReason: "Input Taproot script signature key is not 65 bytes",
		check: checkSchnorr("Input Taproot script path signature")},
	InTapLeafScript: {name: "input Taproot leaf script", key: func(n int) bool { return n >= 33 && (n-33)%32 == 0 && n <= 33+32*maxTapDepth },
		keyReason: "Input Taproot leaf script key's control block size is not valid", check: func(_, value []byte) string {
			if len(value) == 0 {
				return "Input Taproot leaf script must be at least 1 byte"
			}
			return ""
		}},
	InTapDerivation: {name: "input Taproot BIP32 keypath", key: length(32), keyReason: "Input Taproot BIP32 keypath key is not at 33 bytes",
		check: checkTapDerivation("Input")},
	InTapInternalKey:    {name: "input Taproot internal key", keyReason: "Input Taproot internal key key is more than one byte type", check: size(32)},
	InTapMerkleRoot:     {name: "input Taproot merkle root", keyReason: "Input Taproot merkle root key is more than one byte type", check: size(32)},
	InMuSigParticipants: participants("Input", "input"),
	InMuSigPubNonce: {name: "input musig2 pubnonce", key: length(66, 98), keyReason: "Input musig2 pubnonce key is not expected size of 67 or 99 bytes",
		check: func(_, value []byte) string {
			if len(value) != muSigPubNonceSize {
				return "Input musig2 pubnonce value is not 66 bytes"
			}
			return ""
		}},
	InMuSigPartialSig: {name: "input musig2 partial sig", key: length(66, 98), keyReason: "Input musig2 partial sig key is not expected size of 67 or 99 bytes", check: size(32)},
	InSilentShare:     {name: "input silent payment share", v0: forbidden, key: length(compressedSize), keyReason: "Input silent payment share key is not 34 bytes", check: size(compressedSize)},
	InSilentProof:     {name: "input silent payment proof", v0: forbidden, key: length(compressedSize), keyReason: "Input silent payment proof key is not 34 bytes", check: size(64)},
	Proprietary:       proprietary,
}

var outputFields = map[uint64]field{
	OutRedeemScript:   {name: "output redeemScript", keyReason: "Output redeemScript key is more than one byte type"},
	OutWitnessScript:  {name: "output witnessScript", keyReason: "Output witnessScript key is more than one byte type"},
	OutDerivation:     derivation,
	OutAmount:         {name: "output amount", v0: forbidden, v2: required, check: size(8)},
	OutScript:         {name: "output script", v0: forbidden}, // version 2 wants it or a silent payment: see checkOutput
	OutTapInternalKey: {name: "output Taproot internal key", keyReason: "Output Taproot internal key key is more than one byte type", check: size(32)},
	OutTapTree:        {name: "output Taproot tree", keyReason: "Output Taproot tree key is more than one byte type", check: checkTapTree},
	OutTapDerivation: {name: "output Taproot BIP32 keypath", key: length(32), keyReason: "Output Taproot BIP32 keypath key is not at 33 bytes",
		check: checkTapDerivation("Output")},
	OutMuSigParticipants: participants("Output", "output"),
	OutSilentInfo:        {name: "output silent payment data", v0: forbidden, check: size(2 * compressedSize)},
	OutSilentLabel:       {name: "output silent payment label", v0: forbidden, check: size(4)},
	Proprietary:          proprietary,
}

// KnownGlobal reports whether a type of the global map is one of those above.
func KnownGlobal(t uint64) bool { _, ok := globalFields[t]; return ok }

// KnownInput reports whether a type of an input's map is one of those above.
func KnownInput(t uint64) bool { _, ok := inputFields[t]; return ok }

// KnownOutput reports whether a type of an output's map is one of those above.
func KnownOutput(t uint64) bool { _, ok := outputFields[t]; return ok }

var derivation = field{name: "pubkey derivation path", key: length(33, 65), keyReason: "Size of key was not the expected size for the type BIP32 keypath",
	check: func(key, value []byte) string {
		if !validKey(key) {
			return "Invalid pubkey"
		}
		return checkOrigin(value)
	}}

func preimage(hash string, n int) field {
	return field{name: "input " + hash + " preimage", key: length(n), keyReason: "Size of key was not the expected size for the type " + hash + " preimage"}
}

func participants(where, name string) field {
	return field{name: name + " participant pubkeys for an aggregate key", key: length(compressedSize),
		keyReason: where + " musig2 participants pubkeys aggregate key is not 34 bytes", check: func(_, value []byte) string {
			if len(value)%compressedSize != 0 {
				return where + " musig2 participants pubkeys value size is not a multiple of 33"
			}
			return ""
		}}
}

func validKey(b []byte) bool {
	if len(b) == 65 && b[0] != 4 { // hybrid keys
		return false
	}
	_, err := btcec.ParsePubKey(b)
	return err == nil
}

// checkOrigin wants a fingerprint and steps of a path.
func checkOrigin(value []byte) string {
	if len(value)%4 != 0 || len(value) == 0 {
		return "Invalid length for HD key path"
	}
	return ""
}

// checkTapDerivation wants leaf hashes, and a fingerprint with steps of a path.
func checkTapDerivation(where string) func(key, value []byte) string {
	return func(_, value []byte) string {
		d := consensus.NewDecoder(value)
		n := d.Count(32)
		d.Bytes(32 * n)
		if d.Err() != nil {
			return where + " Taproot BIP32 keypath has an invalid length"
		}
		return checkOrigin(d.Rest())
	}
}

func checkCount(_, value []byte) string {
	d := consensus.NewDecoder(value)
	d.CompactSize()
	if d.Finish() != nil {
		return sizeReason
	}
	return ""
}

// checkPartialSig wants a signature as ECDSA scripts take it (BIP66).
func checkPartialSig(key, value []byte) string {
	if !validKey(key) {
		return "Invalid pubkey"
	}
	const reason = "Signature is not a valid encoding"
	if len(value) == 0 {
		return reason
	}
	der, t := value[:len(value)-1], value[len(value)-1]&^byte(consensus.SigHashAnyoneCanPay)
	if _, err := ecdsa.ParseDERSignature(der); err != nil || t < 1 || t > 3 {
		return reason
	}
	return ""
}

func checkSchnorr(name string) func(key, value []byte) string {
	return func(_, value []byte) string {
		switch {
		case len(value) < 64:
			return name + " is shorter than 64 bytes"
		case len(value) > 65:
			return name + " is longer than 65 bytes"
		}
		return ""
	}
}

// checkTapTree wants the leaves of one whole tree, depth first.
func checkTapTree(_, value []byte) string {
	if len(value) == 0 {
		return "Output Taproot tree must not be empty"
	}
	var open []byte // depths of subtrees that wait for their other half
	d := consensus.NewDecoder(value)
	for whole := false; len(d.Rest()) > 0 && d.Err() == nil; {
		depth, version := d.Uint8(), d.Uint8()
		d.VarBytes()
		if d.Err() != nil {
			break
		}
		switch {
		case depth > maxTapDepth:
			return "Output Taproot tree has as leaf greater than Taproot maximum depth"
		case version&tapLeafVersionReserved != 0:
			return "Output Taproot tree has a leaf with an invalid leaf version"
		case whole, len(open) > 0 && open[len(open)-1] > depth:
			return "Output Taproot tree is malformed"
		}
		for len(open) > 0 && open[len(open)-1] == depth {
			open, depth = open[:len(open)-1], depth-1
		}
		open = append(open, depth)
		whole = depth == 0
	}
	if d.Err() != nil || len(open) != 1 || open[0] != 0 {
		return "Output Taproot tree is malformed"
	}
	return ""
}
